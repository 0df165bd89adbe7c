"""Whether what is done makes a difference, the right one, at once."""
