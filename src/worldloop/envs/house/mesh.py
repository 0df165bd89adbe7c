"""What the renderer draws and the navigation grid walks on: one triangle soup per scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True)
class Instance:
    """One thing in a scene that has an id of its own in the segmentation image."""

    id: int
    """Positive; 0 means nothing was hit."""
    category: str
    """Category name (`chair`), or `wall`, `floor`, `ceiling`, `door_frame`, `window` for the building."""
    name: str
    """Unique within the scene, such as `chair_2`."""
    lower: tuple[float, float, float]
    """Axis-aligned bounds in world metres."""
    upper: tuple[float, float, float]
    room: str = ""
    structure: bool = False
    """True for the building itself (walls, floors, ceilings), False for furniture and objects."""


@dataclass(frozen=True, slots=True, eq=False)
class TriangleScene:
    """A scene as T triangles in world coordinates (z-up, metres)."""

    key: str
    """Content key: equal keys mean equal scenes; the light cache is stored under it."""
    positions: np.ndarray
    """float32 [T,3,3]."""
    normals: np.ndarray
    """float32 [T,3,3], unit, per corner."""
    uvs: np.ndarray
    """float32 [T,3,2]; textures repeat."""
    layers: np.ndarray
    """int32 [T], index into `textures`; -1 is untextured."""
    colours: np.ndarray
    """float32 [T,3], sRGB in 0..1, multiplies the texture."""
    instances: np.ndarray
    """int32 [T], ids of `things`."""
    textures: np.ndarray
    """uint8 [K,S,S,3] sRGB, S a power of two."""
    things: Mapping[int, Instance]
    lights: np.ndarray
    """float32 [n,3], positions of the lamps (point lights, one or more per room)."""
    walkable: tuple[tuple[float, float, float, float], ...] = ()
    """Floor rectangles x0, y0, x1, y1 where an agent may stand; empty: everything inside the bounds."""
    rooms: Mapping[str, tuple[float, float, float, float]] = field(default_factory=dict)
    """Room name -> floor rectangle."""
