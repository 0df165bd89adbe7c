"""How good the pictures are, beside the truth and by themselves."""
