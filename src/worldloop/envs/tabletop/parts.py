"""Pictures of rigid parts by rays, under one soft lamp: what the table and other small stages are drawn with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from worldloop.core import InputError
from worldloop.envs.house import shading
from worldloop.envs.house.embree import MovingScene, RayScene
from worldloop.envs.house.render import Frame, RayTable, pinhole_rays, smooth_edges
from worldloop.envs.tabletop import kernels
from worldloop.envs.tabletop.shapes import Surface


class Part(NamedTuple):
    """What moves as one."""

    body: str
    """Whose motion it follows; empty for what stands still."""
    surface: Surface
    rays: RayScene
    first_paint: int
    """Material of the surface's paint 0."""
    id: int
    """Instance id in segmentations."""


class PartsRenderer:
    """Draws parts wherever they are placed. Not for sharing between threads; what is costly is shared by all."""

    def __init__(
        self,
        parts: Sequence[Part],
        albedo: Sequence[tuple[float, ...]],
        gloss: np.ndarray,
        texture: np.ndarray,
        lamp: tuple[float, float, float],
        spread: float,
    ) -> None:
        """albedo: sRGB in 0..1 of each material. gloss: float32 [M]. texture: uint8 [S,S,3], multiplied with the first
        material. lamp: the middle of a square lamp of half side `spread`, metres."""
        self._parts = list(parts)
        self._scene = MovingScene([p.rays for p in parts])
        self._calls = self._scene.calls()
        self._offsets = np.cumsum([0, *(len(p.surface.corners) for p in parts[:-1])]).astype(np.int32)
        self._ids = np.array([p.id for p in parts], np.int32)
        self._normals = np.concatenate([p.surface.normals for p in parts])
        self._paint = np.concatenate([p.surface.paint + p.first_paint for p in parts]).astype(np.int32)
        self._albedo = (np.array(albedo) ** 2.2).astype(np.float32)
        self._gloss = gloss
        self._texture = ((texture / 255.0) ** 2.2).astype(np.float32)
        self._tone = shading.tone_curve()
        self._lamp, self._spread = np.array(lamp, np.float32), np.float32(spread)
        self._rows = np.tile(np.eye(4, dtype=np.float32)[:3], (len(parts), 1, 1))
        self._turns = np.ascontiguousarray(self._rows[:, :, :3])

    def place(self, rows: np.ndarray, scale: np.ndarray | None = None) -> None:
        """rows: float32 [P,3,4], part to world, rigid. scale: float32 [P], by which each part is drawn larger."""
        self._turns = np.ascontiguousarray(rows[:, :, :3])
        if scale is not None:
            rows = rows.copy()
            rows[:, :, :3] *= scale[:, None, None]
        self._scene.move(rows)

    def draw(
        self, pose: np.ndarray, size: int = 128, hfov_deg: float = 42.0, antialias: bool = True
    ) -> Frame:
        """The picture from a camera at `pose` [4,4]; depth in metres along the optical axis, ids as above.

        antialias: average four rays where parts or materials meet; depth and ids stay unfiltered.
        """
        if not 8 <= size <= 2048 or not 1 <= hfov_deg <= 170:
            raise InputError(f"cannot draw {size} pixels with a field of view of {hfov_deg} degrees")
        table = pinhole_rays(size, size, float(hfov_deg))
        frame, labels = self._trace(table, pose)
        if antialias:
            smooth_edges(frame, labels, table, lambda fine: self._trace(fine, pose, 0)[0].rgb)
        return frame

    def _trace(self, table: RayTable, pose: np.ndarray, reach: int = 1) -> tuple[Frame, np.ndarray]:
        shape = table.shape
        plain, lit, rgb = (np.empty((*shape, 3), t) for t in (np.float32, np.float32, np.uint8))
        seen, depth = np.empty(shape, np.float32), np.empty(shape, np.float32)
        ids, labels = np.empty(shape, np.int32), np.empty(shape, np.int32)
        flat = (
            plain.reshape(-1, 3),
            lit.reshape(-1, 3),
            *(x.reshape(-1) for x in (seen, depth, ids, labels)),
        )
        kernels.draw(
            self._calls, table.directions, table.pixels, np.ascontiguousarray(pose[:3], np.float32),
            self._turns, self._offsets, self._ids, self._normals, self._paint,
            self._albedo, self._gloss, self._texture, np.float32(2.0), self._lamp,
            self._spread, shape[1], *flat,
        )  # fmt: skip
        kernels.develop(plain, lit, seen, labels, reach, self._tone, rgb)
        return Frame(rgb, depth, ids), labels
