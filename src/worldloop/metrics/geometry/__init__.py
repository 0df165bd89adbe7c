"""Geometry: do the imagined frames show one world, and the one that is there?"""

from worldloop.metrics.geometry import points, rerender, revisit

__all__ = ["points", "rerender", "revisit"]
