"""Pictures of the table by rays: the arm and the things where the physics has them, under one soft lamp."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from worldloop.core import InputError
from worldloop.envs.house import shading
from worldloop.envs.house.embree import MovingScene, RayScene
from worldloop.envs.house.render import Frame, RayTable, pinhole_rays, smooth_edges
from worldloop.envs.tabletop import kernels
from worldloop.envs.tabletop.layout import Layout
from worldloop.envs.tabletop.looks import look_of, table_top
from worldloop.envs.tabletop.physics import Physics
from worldloop.envs.tabletop.shapes import ARM_PAINT, Surface, arm_surfaces, box, thing_surfaces

ROBOT_ID = 1
"""Instance id of the arm; things follow from 2 in the order of the layout. Table and floor are 0 ("nothing")."""
LAMP, SPREAD = (0.75, 0.75, 1.5), 0.09
_FLOOR, _DARK = 1, 2
_ARM = 3
"""First material of the arm; 0 is the table, then floor and dark parts; things follow the arm."""


class _Part(NamedTuple):
    """What moves as one."""

    body: str
    surface: Surface
    rays: RayScene
    first_paint: int
    id: int


@cache
def _static() -> tuple[tuple[Surface, int, RayScene], ...]:
    """Table top, with its material, and floor."""
    table = box((0.05, -0.6, -0.04), (0.85, 0.6, 0.0), 0.004)
    floor = box((-3, -3, -0.75), (3, 3, -0.7))
    return tuple((s, m, RayScene(s.corners)) for s, m in ((table, kernels.TEXTURED), (floor, _FLOOR)))


@cache
def _arm() -> tuple[tuple[str, Surface, RayScene], ...]:
    return tuple((n, s, RayScene(s.corners)) for n, s in arm_surfaces().items() if len(s.corners))


@cache
def _thing(kind: str) -> tuple[tuple[str, Surface, RayScene], ...]:
    return tuple((part, s, RayScene(s.corners)) for part, s in thing_surfaces(kind))


class TableRenderer:
    """Draws the states of one layout. Not for sharing between threads; what is costly is shared by all."""

    def __init__(self, layout: Layout) -> None:
        parts = [_Part("", s, r, m, 0) for s, m, r in _static()]
        parts += [_Part(n, s, r, _ARM, ROBOT_ID) for n, s, r in _arm()]
        look, albedo = (
            look_of(layout.split),
            [(1.0, 1.0, 1.0), (0.42, 0.43, 0.45), (0.16, 0.16, 0.17), *ARM_PAINT],
        )
        for number, thing in enumerate(layout.things):
            for suffix, surface, rays in _thing(thing.kind):
                # Dark parts of a thing have a material of their own after its colour.
                parts.append(_Part(f"thing{number}{suffix}", surface, rays, len(albedo), number + 2))
            albedo += [look.shade(thing.colour), albedo[_DARK]]
        self._parts = parts
        self._scene = MovingScene([p.rays for p in parts])
        self._calls = self._scene.calls()
        self._offsets = np.cumsum([0, *(len(p.surface.corners) for p in parts[:-1])]).astype(np.int32)
        self._ids = np.array([p.id for p in parts], np.int32)
        self._normals = np.concatenate([p.surface.normals for p in parts])
        self._paint = np.concatenate([p.surface.paint + p.first_paint for p in parts]).astype(np.int32)
        self._albedo = (np.array(albedo) ** 2.2).astype(np.float32)
        self._lit = self._albedo.copy()
        self._gloss = np.full(len(albedo), 0.10, np.float32)
        self._gloss[:_ARM] = 0.02, 0.0, 0.05
        self._gloss[_ARM : _ARM + len(ARM_PAINT)] = 0.22
        self._texture = ((table_top(layout.split) / 255.0) ** 2.2).astype(np.float32)
        self._tone = shading.tone_curve()
        self._rows = np.tile(np.eye(4, dtype=np.float32)[:3], (len(parts), 1, 1))

    def move(self, physics: Physics) -> None:
        """Put every part where the physics has it now; a button that was pressed is dark."""
        self._albedo[:] = self._lit
        for number, thing in enumerate(physics.layout.things):
            if thing.name in physics.presses:
                self._albedo[_ARM + len(ARM_PAINT) + 2 * number] = self._lit[_DARK]
        for i, part in enumerate(self._parts):
            if part.body:
                self._rows[i] = physics.body_pose(part.body)[:3]
        self._scene.move(self._rows)

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
            np.ascontiguousarray(self._rows[:, :, :3]), self._offsets, self._ids, self._normals, self._paint,
            self._albedo, self._gloss, self._texture, np.float32(2.0), np.array(LAMP, np.float32),
            np.float32(SPREAD), shape[1], *flat,
        )  # fmt: skip
        kernels.develop(plain, lit, seen, labels, reach, self._tone, rgb)
        return Frame(rgb, depth, ids), labels
