"""What is left of a rollout after many steps."""

from worldloop.metrics.long import areas, horizons, segments
from worldloop.metrics.long.curves import CURVES, curve

__all__ = ["CURVES", "areas", "curve", "horizons", "segments"]
