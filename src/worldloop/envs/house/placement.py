"""Placed furniture: what it is, where it stands, and rectangles on the floor."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from worldloop.envs.house.assets import Asset
from worldloop.envs.house.plan import Rect

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class PlacedObject:
    """One piece of furniture in a house."""

    name: str
    """Unique in the house, such as `chair_2`."""
    asset: str
    """Asset id."""
    category: str
    role: str
    position: Vector
    """World position of the asset's origin, metres."""
    yaw_deg: float
    """Turn about z, counter-clockwise; at 0 the front looks towards -y."""
    room: str
    lower: Vector
    """World bounds, metres; loose for turned pieces."""
    upper: Vector
    support: str = ""
    """Name of the object it stands on, or empty."""
    side: str = ""
    """Wall it stands or hangs against, or empty."""


def turn(yaw_deg: float) -> tuple[float, float]:
    """Cosine and sine, exact for quarter turns and rounded otherwise, so that all machines agree."""
    quarter = {0.0: (1.0, 0.0), 90.0: (0.0, 1.0), 180.0: (-1.0, 0.0), 270.0: (0.0, -1.0)}.get(yaw_deg % 360)
    return quarter or (round(math.cos(math.radians(yaw_deg)), 6), round(math.sin(math.radians(yaw_deg)), 6))


def bounds_of(asset: Asset, position: Vector, yaw_deg: float) -> tuple[Vector, Vector]:
    """World bounds of an asset's turned bounding box."""
    c, s = turn(yaw_deg)
    x = np.array([asset.lower[0], asset.lower[0] + asset.size[0]])[[0, 1, 1, 0]]
    y = np.array([asset.lower[1], asset.lower[1] + asset.size[1]])[[0, 0, 1, 1]]
    u, v = c * x - s * y + position[0], s * x + c * y + position[1]
    z = position[2] + asset.lower[2]
    low = (round(float(u.min()), 4), round(float(v.min()), 4), round(z, 4))
    return low, (round(float(u.max()), 4), round(float(v.max()), 4), round(z + asset.size[2], 4))


def overlap(a: Rect, b: Rect, margin: float = 0.0) -> bool:
    """Whether two floor rectangles overlap, or come closer than `margin`."""
    return a[0] < b[2] + margin and b[0] < a[2] + margin and a[1] < b[3] + margin and b[1] < a[3] + margin


def front(rect: Rect, yaw: float, clear: float) -> Rect:
    """The floor before a piece that faces one of the four directions."""
    x0, y0, x1, y1 = rect
    return {
        0.0: (x0, y0 - clear, x1, y0),
        90.0: (x1, y0, x1 + clear, y1),
        180.0: (x0, y1, x1, y1 + clear),
        270.0: (x0 - clear, y0, x0, y1),
    }[yaw % 360]


def within(rect: Rect, room: Rect) -> bool:
    """Whether a rectangle lies in a room."""
    return rect[0] >= room[0] and rect[1] >= room[1] and rect[2] <= room[2] and rect[3] <= room[3]
