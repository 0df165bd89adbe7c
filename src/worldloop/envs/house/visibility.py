"""What a camera sees of one thing: its 2-D box, its visible pixels and how many there would be unoccluded."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict

import numpy as np

from worldloop.core.errors import InputError
from worldloop.envs.house import shading
from worldloop.envs.house.embree import RayScene
from worldloop.envs.house.mesh import Instance, TriangleScene
from worldloop.envs.house.render import pinhole_rays, tile_shape

NEAR = 0.05
"""Metres; what is closer than this is cut away before projection."""
_KEPT = 64
# Corner k of a box has its upper bound on axis a where bit a of k is set; its edges follow from that.
_UPPER = np.array([[k >> a & 1 for a in range(3)] for k in range(8)])
_FROM, _TO = np.array([(k, k | 1 << a) for k in range(8) for a in range(3) if not k >> a & 1]).T

Box = tuple[float, float, float, float]


def project_box(
    thing: Instance, pose: np.ndarray, size: int | tuple[int, int] = 128, hfov_deg: float = 90.0
) -> Box | None:
    """Pixels (x0, y0, x1, y1) around a thing's 3-D bounds in a pinhole view, or None when out of view.

    0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height; occlusion is ignored.
    """
    height, width = (size, size) if isinstance(size, int) else size
    corners = np.array([thing.lower, thing.upper])[_UPPER, np.arange(3)]
    rotation, origin = np.asarray(pose)[:3, :3], np.asarray(pose)[:3, 3]
    local = (corners - origin) @ rotation
    ahead = local[:, 2] >= NEAR
    shown = local
    if not ahead.all():
        cut = ahead[_FROM] != ahead[_TO]
        a, b = local[_FROM[cut]], local[_TO[cut]]
        share = (NEAR - a[:, 2]) / (b[:, 2] - a[:, 2])
        shown = np.concatenate([local[ahead], a + share[:, None] * (b - a)])
        if not len(shown):
            return None
    focal = width / (2 * math.tan(math.radians(hfov_deg) / 2))
    seen = shown[:, :2] / shown[:, 2:] * focal + (width / 2, height / 2)
    (x0, y0), (x1, y1) = seen.min(axis=0).tolist(), seen.max(axis=0).tolist()
    box = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
    return box if box[2] > box[0] and box[3] > box[1] else None


class Visibility:
    """Counts pixels of one thing, with and without the rest of the scene. Thread-safe."""

    def __init__(self, scene: TriangleScene, rays: RayScene) -> None:
        self._scene = scene
        self._rays = rays
        self._alone: OrderedDict[int, RayScene] = OrderedDict()
        self._lock = threading.Lock()

    def thing(self, thing_id: int) -> Instance:
        """The instance of an id; InputError when the scene has none."""
        try:
            return self._scene.things[thing_id]
        except KeyError:
            raise InputError(f"this scene has no thing {thing_id}") from None

    def visible_pixels(
        self, thing_id: int, pose: np.ndarray, size: int | tuple[int, int] = 128, hfov_deg: float = 90.0
    ) -> int:
        """How many pixels of a pinhole view show the thing: equal to a count in `Frame.segmentation`."""
        triangles = self._hits(self._rays, self.thing(thing_id), pose, size, hfov_deg)
        return int((self._scene.instances[triangles] == thing_id).sum())

    def unoccluded_pixels(
        self, thing_id: int, pose: np.ndarray, size: int | tuple[int, int] = 128, hfov_deg: float = 90.0
    ) -> int:
        """How many pixels would show the thing if it were alone in the world."""
        thing = self.thing(thing_id)
        return len(self._hits(self._alone_rays(thing_id), thing, pose, size, hfov_deg))

    def _alone_rays(self, thing_id: int) -> RayScene:
        with self._lock:
            if thing_id not in self._alone:
                self._alone[thing_id] = RayScene(self._scene.positions[self._scene.instances == thing_id])
                while len(self._alone) > _KEPT:
                    self._alone.popitem(last=False)
            self._alone.move_to_end(thing_id)
            return self._alone[thing_id]

    def _hits(
        self, rays: RayScene, thing: Instance, pose: np.ndarray, size: int | tuple[int, int], hfov_deg: float
    ) -> np.ndarray:
        """Triangles hit by the rays of the tiles that the thing's box touches, int32 [n]; misses left out."""
        height, width = (size, size) if isinstance(size, int) else size
        box = project_box(thing, pose, (height, width), hfov_deg)
        if box is None:
            return np.empty(0, np.int32)
        table = pinhole_rays(height, width, float(hfov_deg))
        tile_rows, tile_columns = tile_shape()
        rows, columns, lanes = -(-height // tile_rows), -(-width // tile_columns), tile_rows * tile_columns
        # One pixel more on each side: a hit on the very edge may round outwards.
        across = np.arange(
            max(0, int(box[0] - 1) // tile_columns), min(columns, int(box[2] + 1) // tile_columns + 1)
        )
        down = np.arange(max(0, int(box[1] - 1) // tile_rows), min(rows, int(box[3] + 1) // tile_rows + 1))
        tiles = (down[:, None] * columns + across).ravel()
        real = table.pixels[tiles] >= 0
        pixels = np.where(real, np.arange(len(tiles) * lanes, dtype=np.int32).reshape(-1, lanes), -1)
        distance = np.zeros(len(tiles) * lanes, np.float32)
        triangle = np.full(len(tiles) * lanes, -1, np.int32)
        shading.trace(
            rays.calls(),
            table.directions[tiles],
            pixels.astype(np.int32),
            np.ascontiguousarray(np.asarray(pose)[:3], np.float32),
            distance,
            triangle,
        )
        return triangle[triangle >= 0]
