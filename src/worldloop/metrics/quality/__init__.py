"""How good the pictures are, beside the truth and by themselves."""

from worldloop.metrics.quality import closeness, detectors, drift, natural, vbench

__all__ = ["closeness", "detectors", "drift", "natural", "vbench"]
