"""What the models of the published size hold and move, traced on torch's `meta` device."""
