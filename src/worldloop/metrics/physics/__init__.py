"""Physics: does what is imagined obey the laws of what is shown."""

from worldloop.metrics.physics import constants, motion, places

__all__ = ["constants", "motion", "places"]
