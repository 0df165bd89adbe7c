"""Planted defects: the truth, spoilt in one known way."""

from worldloop.metrics.defects.defect import DEFECTS, STRENGTHS, Defect, defect, load_defects

__all__ = ["DEFECTS", "STRENGTHS", "Defect", "defect", "load_defects"]
