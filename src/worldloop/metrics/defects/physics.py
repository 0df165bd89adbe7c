"""Defects of physics: the truth under other constants and laws."""
