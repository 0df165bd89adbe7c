"""Keeps the floor of a room walkable while it is being furnished."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from worldloop.envs.house.plan import WALL, Opening, Rect

CELL = 0.05
RADIUS = 0.25
"""Metres kept between the agent's centre and things: its radius of 0.18 and what a grid of 5 cm rounds up."""
MIN_WALKABLE = 0.15
"""Share of a room's floor on which the agent's centre can be, at the least."""
MAX_POCKET = 0.06
"""Largest floor that may be cut off, as a share of the rest."""


class WalkableFloor:
    """Where the agent's centre may be in one room and its doorways."""

    def __init__(self, room: Rect, doors: list[Opening]) -> None:
        x0, y0, x1, y1 = room
        margin = 6
        self._doors = doors
        self._area = (x1 - x0) * (y1 - y0)
        self._origin = (x0 - margin * CELL, y0 - margin * CELL)
        shape = (math.ceil((x1 - x0) / CELL) + 2 * margin, math.ceil((y1 - y0) / CELL) + 2 * margin)
        self._free = np.zeros(shape, bool)
        self._free[self._cells((x0 + RADIUS, y0 + RADIUS, x1 - RADIUS, y1 - RADIUS))] = True
        for door in doors:
            a, b, reach = door.start + RADIUS, door.end - RADIUS, WALL / 2 + RADIUS + 2 * CELL
            low, high = door.line - reach, door.line + reach
            self._free[self._cells((a, low, b, high) if door.axis == 0 else (low, a, high, b))] = True

    def _cells(self, rect: Rect) -> tuple[slice, slice]:
        i, j = (max(0, math.floor((rect[k] - self._origin[k]) / CELL + 0.5)) for k in (0, 1))
        m, n = (max(0, math.floor((rect[2 + k] - self._origin[k]) / CELL + 0.5)) for k in (0, 1))
        return slice(i, m), slice(j, n)

    def block(self, rect: Rect) -> bool:
        """Stand something on a rectangle of the floor, if the agent can still get from every door to all but a
        little of what is free; otherwise leave the floor as it is and return False."""
        r = RADIUS
        grown = self._cells((rect[0] - r, rect[1] - r, rect[2] + r, rect[3] + r))
        before = self._free[grown].copy()
        self._free[grown] = False
        labels, _ = ndimage.label(self._free)
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        seen = {int(labels[self._door_cell(d)]) for d in self._doors}
        main = int(sizes.argmax())
        fine = seen <= {main} and sizes[main] * CELL**2 >= MIN_WALKABLE * self._area
        if not fine or sizes.sum() - sizes[main] > MAX_POCKET * sizes[main]:
            self._free[grown] = before
            return False
        return True

    def _door_cell(self, door: Opening) -> tuple[int, int]:
        middle = (door.start + door.end) / 2
        point = (middle, door.line) if door.axis == 0 else (door.line, middle)
        i, j = (math.floor((point[k] - self._origin[k]) / CELL) for k in (0, 1))
        return i, j
