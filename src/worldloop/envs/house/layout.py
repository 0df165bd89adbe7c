"""Where a piece of furniture fits in a room: against walls, free on the floor, on tops, on walls, overhead.

Nothing placed here overlaps anything else, stands in a doorway, hides a window or cuts the room in two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from worldloop.envs.house.assets import Asset, AssetLibrary
from worldloop.envs.house.placement import PlacedObject, Vector, bounds_of, front, overlap, turn, within
from worldloop.envs.house.plan import CEILING, SIDES, FloorPlan, Opening, Rect, Room
from worldloop.envs.house.walkable import WalkableFloor

DOOR_CLEARANCE = 0.75
"""Metres in front of a door that stay empty."""
GAP = 0.015
"""Metres between furniture and wall: the skirting board fits in."""
MAX_TOP = 1.3
"""Metres; nothing is put on higher furniture."""
_YAW = {"north": 0.0, "west": 90.0, "south": 180.0, "east": 270.0}


@dataclass
class RoomLayout:
    """A room being furnished."""

    room: Room
    plan: FloorPlan
    library: AssetLibrary
    rng: np.random.Generator
    objects: list[PlacedObject] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    """Objects of each category in the whole house so far; shared between rooms."""
    _keep: list[Rect] = field(default_factory=list)
    _tops: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.doors = [d for d in self.plan.doors if self.room.name in d.rooms]
        self.windows = [w for w in self.plan.windows if self.room.name in w.rooms]
        self._keep += [self._door_zone(d) for d in self.doors]
        self._floor = WalkableFloor(self.room.rect, self.doors)

    def against_wall(
        self, asset: Asset, clear: float = 0.0, sides: Sequence[str] = SIDES
    ) -> PlacedObject | None:
        """Stand it with its back to a wall, `clear` metres of floor before it kept free."""
        for _ in range(7):
            for side in self.rng.permutation(list(sides)):
                low, high = self._extent(str(side))
                half = asset.size[0] / 2 + GAP
                if high - low < 2 * half:
                    continue
                corner = self.rng.random() < 0.45
                share = float(self.rng.integers(2)) if corner else float(self.rng.random())
                placed = self.on_side(asset, str(side), low + half + share * (high - low - 2 * half), clear)
                if placed:
                    return placed
        return None

    def on_side(self, asset: Asset, side: str, along: float, clear: float = 0.0) -> PlacedObject | None:
        """Stand it against one wall, its middle `along` metres in world coordinates."""
        x0, y0, x1, y1 = self.room.rect
        depth = asset.size[1] / 2 + GAP
        spot = {
            "north": (along, y1 - depth),
            "south": (along, y0 + depth),
            "east": (x1 - depth, along),
            "west": (x0 + depth, along),
        }[side]
        return self.at(asset, spot[0], spot[1], _YAW[side], clear=clear, side=side)

    def free(self, asset: Asset, tries: int = 24) -> PlacedObject | None:
        """Stand it anywhere on the floor, more often than not beside something."""
        x0, y0, x1, y1 = self.room.rect
        reach = max(asset.size[:2]) / 2 + GAP
        for _ in range(tries):
            yaw = (
                float(self.rng.integers(24)) * 15
                if self.rng.random() < 0.5
                else float(self.rng.integers(4)) * 90
            )
            x, y = (float(self.rng.uniform(a + reach, b - reach)) for a, b in ((x0, x1), (y0, y1)))
            solid = [o for o in self.objects if o.lower[2] < 0.01 and o.category != "rug"]
            if solid and self.rng.random() < 0.7:
                near = solid[int(self.rng.integers(len(solid)))]
                angle = float(self.rng.integers(72)) * 5
                c, s = turn(angle)
                half = [(near.upper[k] - near.lower[k]) / 2 + reach + 0.04 for k in (0, 1)]
                stretch = 1 / max(abs(c), abs(s))
                x = (near.lower[0] + near.upper[0]) / 2 + half[0] * c * stretch
                y = (near.lower[1] + near.upper[1]) / 2 + half[1] * s * stretch
            placed = self.at(asset, x, y, yaw, margin=0.03)
            if placed:
                return placed
        return None

    def at(
        self,
        asset: Asset,
        x: float,
        y: float,
        yaw: float,
        *,
        clear: float = 0.0,
        side: str = "",
        margin: float = 0.01,
    ) -> PlacedObject | None:
        """Stand it at a point of the floor, or None where it does not fit."""
        position = (round(x, 4), round(y, 4), 0.0)
        lower, upper = bounds_of(asset, position, yaw)
        rect = (lower[0], lower[1], upper[0], upper[1])
        x0, y0, x1, y1 = self.room.rect
        inside = (
            rect[0] >= x0 + 0.01 and rect[1] >= y0 + 0.01 and rect[2] <= x1 - 0.01 and rect[3] <= y1 - 0.01
        )
        if not inside or any(overlap(rect, k) for k in self._keep) or self._hits(lower, upper, margin):
            return None
        if any(upper[2] > w.bottom and self._touches(rect, w) for w in self.windows):
            return None
        kept = front(rect, yaw, clear) if clear else None
        if kept is not None and (
            not within(kept, self.room.rect)
            or any(overlap(kept, (o.lower[0], o.lower[1], o.upper[0], o.upper[1])) for o in self._standing())
        ):
            return None
        if not self._floor.block(rect):
            return None
        if kept is not None:
            self._keep.append(kept)
        return self._add(asset, position, yaw, lower, upper, side=side)

    def lay(self, asset: Asset, x: float, y: float, yaw: float) -> PlacedObject | None:
        """Lay a rug: it goes under furniture, but not over another rug or out of the room."""
        position = (round(x, 4), round(y, 4), 0.0)
        lower, upper = bounds_of(asset, position, yaw)
        rect = (lower[0], lower[1], upper[0], upper[1])
        others = [
            (o.lower[0], o.lower[1], o.upper[0], o.upper[1]) for o in self.objects if o.category == "rug"
        ]
        if not within(rect, self.room.rect) or any(overlap(rect, o) for o in others):
            return None
        return self._add(asset, position, yaw, lower, upper)

    def hang(self, asset: Asset, side: str, along: float) -> PlacedObject | None:
        """Hang it on a wall, clear of doors, windows and furniture."""
        x0, y0, x1, y1 = self.room.rect
        x, y = {"north": (along, y1), "south": (along, y0), "east": (x1, along), "west": (x0, along)}[side]
        position = (round(x, 4), round(y, 4), asset.elevation)
        lower, upper = bounds_of(asset, position, _YAW[side])
        low, high = self._extent(side)
        half = asset.size[0] / 2
        if along - half < low + 0.05 or along + half > high - 0.05 or self._hits(lower, upper, 0.02):
            return None
        rect = (lower[0], lower[1], upper[0], upper[1])
        holes = [
            o for o in (*self.doors, *self.windows) if o.bottom - 0.1 < upper[2] and lower[2] < o.top + 0.1
        ]
        if any(self._touches(rect, o) for o in holes):
            return None
        return self._add(asset, position, _YAW[side], lower, upper, side=side)

    def overhead(self, asset: Asset) -> PlacedObject | None:
        """Hang it from the middle of the ceiling."""
        x0, y0, x1, y1 = self.room.rect
        position = (round((x0 + x1) / 2, 4), round((y0 + y1) / 2, 4), CEILING)
        lower, upper = bounds_of(asset, position, 0.0)
        if self._hits(lower, upper, 0.02):
            return None
        return self._add(asset, position, 0.0, lower, upper)

    def stand_on(
        self, asset: Asset, supports: Iterable[PlacedObject], jitter: float = 0.0
    ) -> PlacedObject | None:
        """Stand it on a free part of one of `supports`, facing as that does, give or take `jitter` degrees."""
        cell = self.library.support_cell
        for base in supports:
            below = self.library.assets[base.asset]
            if not 0 < below.support_height <= MAX_TOP:
                continue
            tops = self._tops.setdefault(
                base.name, np.array([[c == "1" for c in row] for row in below.support_cells])
            )
            extra = float(self.rng.integers(-3, 4)) * jitter / 3
            c, s = (abs(v) for v in turn(extra))
            wide, deep = c * asset.size[0] + s * asset.size[1], s * asset.size[0] + c * asset.size[1]
            nx, ny = math.ceil(wide / cell - 0.2), math.ceil(deep / cell - 0.2)
            if nx > tops.shape[0] or ny > tops.shape[1]:
                continue
            windows = np.lib.stride_tricks.sliding_window_view(tops, (nx, ny)).all((2, 3))
            spots = np.argwhere(windows)
            if not len(spots):
                continue
            i, j = (int(v) for v in spots[int(self.rng.integers(len(spots)))])
            local = (below.lower[0] + (i + nx / 2) * cell, below.lower[1] + (j + ny / 2) * cell)
            c, s = turn(base.yaw_deg)
            x, y = (
                c * local[0] - s * local[1] + base.position[0],
                s * local[0] + c * local[1] + base.position[1],
            )
            position = (round(x, 4), round(y, 4), round(below.support_height + 0.001, 4))
            yaw = (base.yaw_deg + extra) % 360
            lower, upper = bounds_of(asset, position, yaw)
            if self._hits(lower, upper, 0.0, but=base.name):
                continue
            tops[max(i - 1, 0) : i + nx + 1, max(j - 1, 0) : j + ny + 1] = False
            return self._add(asset, position, yaw, lower, upper, support=base.name, side=base.side)
        return None

    def _add(
        self,
        asset: Asset,
        position: Vector,
        yaw: float,
        lower: Vector,
        upper: Vector,
        *,
        support: str = "",
        side: str = "",
    ) -> PlacedObject:
        number = self.counts[asset.category] = self.counts.get(asset.category, 0) + 1
        name = f"{asset.category}_{number}"
        placed = PlacedObject(
            name,
            asset.id,
            asset.category,
            asset.role,
            position,
            yaw,
            self.room.name,
            lower,
            upper,
            support,
            side,
        )
        self.objects.append(placed)
        return placed

    def _extent(self, side: str) -> tuple[float, float]:
        x0, y0, x1, y1 = self.room.rect
        return (x0, x1) if side in ("north", "south") else (y0, y1)

    def _standing(self) -> list[PlacedObject]:
        return [o for o in self.objects if o.category != "rug" and o.lower[2] < 1.5]

    def _hits(self, lower: Vector, upper: Vector, margin: float, but: str = "") -> bool:
        return any(
            all(lower[k] < o.upper[k] + margin and o.lower[k] < upper[k] + margin for k in (0, 1))
            and lower[2] < o.upper[2]
            and o.lower[2] < upper[2]
            for o in self.objects
            if o.category != "rug" and o.name != but
        )

    def _door_zone(self, door: Opening) -> Rect:
        reach = DOOR_CLEARANCE + 0.06
        low, high, a, b = door.line - reach, door.line + reach, door.start - 0.06, door.end + 0.06
        return (a, low, b, high) if door.axis == 0 else (low, a, high, b)

    @staticmethod
    def _touches(rect: Rect, opening: Opening) -> bool:
        """Whether something stands before or hangs over an opening: within 0.3 m of the wall."""
        x0, y0, x1, y1 = opening.rect
        return overlap(
            rect,
            (x0 - 0.05, y0 - 0.3, x1 + 0.05, y1 + 0.3)
            if opening.axis == 0
            else (x0 - 0.3, y0 - 0.05, x1 + 0.3, y1 + 0.05),
        )
