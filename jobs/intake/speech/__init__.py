"""Speech from text: which voices there are, what a text is to them, and the process that speaks.

What becomes of the speech, once it is a file, is not decided here: it goes the way of every recording.
"""
