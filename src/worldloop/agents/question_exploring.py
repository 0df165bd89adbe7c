"""Walking through an unknown house: a map of believed free floor, and ways to places from which more can be seen.

The map is drawn by dead reckoning from distances guessed in pictures (`FreeSpace`) and from steps that were blocked. No
depth, no pose and nothing that a model imagines goes into it.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field

import numpy as np

from worldloop.agents.odometry import Pose, headings_seen, odometry, turn_to
from worldloop.agents.perception.free_space import BEARINGS, FARTHEST, FreeSpace
from worldloop.core import Situation

CELL = 0.2
CELLS = 200
_STEPS = [(i, j, math.hypot(i, j)) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]


@dataclass(frozen=True)
class ExploringConfig:
    """How places are preferred."""

    believed: float = 0.8
    """Share of a guessed distance that is taken to be free."""
    new: float = 2.0
    """Metres from all places visited beyond which a place is no newer."""
    way: float = 0.2
    """What a metre of way costs, in metres of newness."""
    apart: float = 1.2
    """Metres between the places that plans lead to."""
    round: float = 0.55
    """Share of headings that must have been looked at around a place before it is left."""


@dataclass(eq=False)
class FloorMap:
    """Log odds of free floor around the start, cells of 0.2 m."""

    reading: FreeSpace
    config: ExploringConfig
    odds: np.ndarray = field(default_factory=lambda: np.zeros((CELLS, CELLS)))
    taken: int = 0

    @classmethod
    def of(cls, situation: Situation, reading: FreeSpace, config: ExploringConfig) -> FloorMap:
        """The map of this episode, begun if there is none."""
        found: FloorMap = situation.memory.setdefault("floor_map", cls(reading, config))
        return found

    async def take_in(self, situation: Situation) -> None:
        """Draw what the new observations tell."""
        poses, start = odometry(situation), self.taken
        new = situation.history[start:]
        self.taken = len(situation.history)
        if not new:
            return
        metres = await situation.compute(self.reading.look, [o.rgb for o in new])
        for k, (seen, row) in enumerate(zip(new, metres)):
            i = start + k
            self._put(poses[i], 0.0, 0.0, 6.0)
            for bearing, free in zip(BEARINGS, row):
                reach = self.config.believed * float(free)
                for along in np.arange(CELL, reach, CELL):
                    self._put(poses[i], bearing, float(along), 0.5 / (1 + 0.3 * along))
                if free < 0.9 * FARTHEST:
                    self._put(poses[i], bearing, float(free) + 0.15, -0.4)
            if bool(seen.extra.get("collided", False)) and i:
                self._put(poses[i], 0.0, 0.25, -4.0)

    def _put(self, pose: Pose, bearing: float, along: float, odds: float) -> None:
        angle = math.radians(pose[2] + bearing)
        cell = cell_of(pose[0] + along * math.cos(angle), pose[1] + along * math.sin(angle))
        if inside(cell):
            self.odds[cell] = np.clip(self.odds[cell] + odds, -6.0, 6.0)

    def ways(self, pose: Pose) -> tuple[np.ndarray, dict[tuple[int, int], tuple[int, int]]]:
        """Cost in metres of the way to every cell, [N,N], and the cell before each on it."""
        price = 1.0 + 5.0 / (1.0 + np.exp(3.0 * self.odds)) + np.where(self.odds < -0.5, 20.0, 0.0)
        costs = np.full(self.odds.shape, np.inf)
        before: dict[tuple[int, int], tuple[int, int]] = {}
        start = cell_of(pose[0], pose[1])
        costs[start] = 0.0
        queue = [(0.0, start)]
        while queue:
            cost, cell = heapq.heappop(queue)
            if cost > costs[cell] or cost > 30.0:
                continue
            for i, j, length in _STEPS:
                other = cell[0] + i, cell[1] + j
                if inside(other) and (total := cost + CELL * length * price[other]) < costs[other]:
                    costs[other] = total
                    before[other] = cell
                    heapq.heappush(queue, (total, other))
        return costs, before

    def newness(self, poses: list[Pose]) -> np.ndarray:
        """Metres [N,N] from the nearest place visited, up to `new`; 0 where the floor is not believed free."""
        x, y = centres()
        apart = np.full(self.odds.shape, np.inf)
        for px, py in {(round(p[0], 1), round(p[1], 1)) for p in poses}:
            apart = np.minimum(apart, np.hypot(x - px, y - py))
        return np.where(self.odds > 0.4, np.minimum(apart, self.config.new), 0.0)


def cell_of(x: float, y: float) -> tuple[int, int]:
    """The map's cell of a place, metres from the start."""
    return math.floor(x / CELL) + CELLS // 2, math.floor(y / CELL) + CELLS // 2


def centres() -> tuple[np.ndarray, np.ndarray]:
    """x and y of every cell's middle, each [N,N]."""
    axis = (np.arange(CELLS) - CELLS // 2 + 0.5) * CELL
    x, y = np.meshgrid(axis, axis, indexing="ij")
    return x, y


def inside(cell: tuple[int, int]) -> bool:
    """Whether a cell is on the map."""
    return 0 <= cell[0] < CELLS and 0 <= cell[1] < CELLS


def walk(
    floor: FloorMap, before: dict[tuple[int, int], tuple[int, int]], target: tuple[int, int]
) -> list[tuple[float, float]]:
    """Places along the way to a cell, nearest first, without those that only prolong a straight line."""
    cells = [target]
    while cells[-1] in before:
        cells.append(before[cells[-1]])
    cells.reverse()
    kept = [c for k, c in enumerate(cells) if k and (k == len(cells) - 1 or k % 3 == 0)]
    return [((i - CELLS // 2 + 0.5) * CELL, (j - CELLS // 2 + 0.5) * CELL) for i, j in kept]


def steer(pose: Pose, places: list[tuple[float, float]], length: int, last: float | None = None) -> list[str]:
    """Primitives that lead along places, at most `length`; what is left over turns to `last` or looks around."""
    x, y, yaw = pose
    out: list[str] = []
    for px, py in places:
        while len(out) < length and math.hypot(px - x, py - y) > 0.16:
            off = turn_to(math.degrees(math.atan2(py - y, px - x)), yaw)
            if abs(off) > 11.3:
                sign = 1 if off > 0 else -1
                out.append("turn_left" if sign > 0 else "turn_right")
                yaw += 22.5 * sign
                continue
            out.append("move_forward")
            x, y = x + 0.2 * math.cos(math.radians(yaw)), y + 0.2 * math.sin(math.radians(yaw))
    while len(out) < length and last is not None and abs(turn_to(last, yaw)) > 11.3:
        sign = 1 if turn_to(last, yaw) > 0 else -1
        out.append("turn_left" if sign > 0 else "turn_right")
        yaw += 22.5 * sign
    return out + ["turn_left"] * (length - len(out))


def looked_round(poses: list[Pose], share: float) -> bool:
    """Whether enough headings have been in view from about here: a view shows 90 degrees."""
    seen = headings_seen(poses, poses[-1], radius=0.9)
    wide = seen | np.roll(seen, 1) | np.roll(seen, -1)
    return bool(wide.mean() >= share)
