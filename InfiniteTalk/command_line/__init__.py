"""What `generate_infinitetalk` is made of: its arguments, what they order, and the models they load."""
