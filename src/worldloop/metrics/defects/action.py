"""Defects of control: the truth of other actions than the ones asked for."""
