"""How good the pictures are, beside the truth and by themselves."""

from worldloop.metrics.quality import closeness, drift, natural

__all__ = ["closeness", "drift", "natural"]
