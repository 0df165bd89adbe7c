"""How good the pictures are, beside the truth and by themselves."""

from worldloop.metrics.quality import closeness, detectors, drift, natural

__all__ = ["closeness", "detectors", "drift", "natural"]
