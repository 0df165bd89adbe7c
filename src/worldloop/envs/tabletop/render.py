"""Pictures of the table by rays: the arm and the things where the physics has them, under one soft lamp."""

from __future__ import annotations

from functools import cache

import numpy as np

from worldloop.envs.house.embree import RayScene
from worldloop.envs.tabletop import kernels
from worldloop.envs.tabletop.layout import Layout
from worldloop.envs.tabletop.looks import look_of, table_top
from worldloop.envs.tabletop.parts import Part, PartsRenderer
from worldloop.envs.tabletop.physics import Physics
from worldloop.envs.tabletop.shapes import ARM_PAINT, Surface, arm_surfaces, box, thing_surfaces

ROBOT_ID = 1
"""Instance id of the arm; things follow from 2 in the order of the layout. Table and floor are 0 ("nothing")."""
LAMP, SPREAD = (0.75, 0.75, 1.5), 0.09
_FLOOR, _DARK = 1, 2
_ARM = 3
"""First material of the arm; 0 is the table, then floor and dark parts; things follow the arm."""


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


class TableRenderer(PartsRenderer):
    """Draws the states of one layout. Not for sharing between threads; what is costly is shared by all."""

    def __init__(self, layout: Layout) -> None:
        parts = [Part("", s, r, m, 0) for s, m, r in _static()]
        parts += [Part(n, s, r, _ARM, ROBOT_ID) for n, s, r in _arm()]
        look, albedo = (
            look_of(layout.split),
            [(1.0, 1.0, 1.0), (0.42, 0.43, 0.45), (0.16, 0.16, 0.17), *ARM_PAINT],
        )
        for number, thing in enumerate(layout.things):
            for suffix, surface, rays in _thing(thing.kind):
                # Dark parts of a thing have a material of their own after its colour.
                parts.append(Part(f"thing{number}{suffix}", surface, rays, len(albedo), number + 2))
            albedo += [look.shade(thing.colour), albedo[_DARK]]
        gloss = np.full(len(albedo), 0.10, np.float32)
        gloss[:_ARM] = 0.02, 0.0, 0.05
        gloss[_ARM : _ARM + len(ARM_PAINT)] = 0.22
        super().__init__(parts, albedo, gloss, table_top(layout.split), LAMP, SPREAD)
        self._lit = self._albedo.copy()

    def move(self, physics: Physics) -> None:
        """Put every part where the physics has it now; a button that was pressed is dark."""
        self._albedo[:] = self._lit
        for number, thing in enumerate(physics.layout.things):
            if thing.name in physics.presses:
                self._albedo[_ARM + len(ARM_PAINT) + 2 * number] = self._lit[_DARK]
        for i, part in enumerate(self._parts):
            if part.body:
                self._rows[i] = physics.body_pose(part.body)[:3]
        self.place(self._rows)
