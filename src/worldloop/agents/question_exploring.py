"""Walking through an unknown house: a map of believed free floor, and ways to places from which more can be seen.

The map is drawn by dead reckoning from distances guessed in pictures (`FreeSpace`) and from steps that were blocked. No
depth, no pose and nothing that a model imagines goes into it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from worldloop.agents.odometry import Pose, headings_seen, odometry, turn_to
from worldloop.agents.perception.free_space import BEARINGS, FARTHEST, FreeSpace
from worldloop.core import Situation

CELL = 0.2
CELLS = 200


@dataclass(frozen=True)
class ExploringConfig:
    """How places are preferred."""

    believed: float = 0.9
    """Share of a guessed distance that is taken to be free."""
    new: float = 2.0
    """Metres from all places visited beyond which a place is no newer."""
    way: float = 0.2
    """What a metre of way costs, in metres of newness."""
    keep: float = 0.8
    """What going on to the place that was aimed at before counts, in metres of newness."""
    attempts: int = 4
    """Decisions that may aim at one place."""
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
        # Neighbouring views show much the same: every other one is read, and the last.
        read = [i for i in range(start, self.taken) if (self.taken - 1 - i) % 2 == 0]
        metres = dict(
            zip(read, await situation.compute(self.reading.look, [situation.history[i].rgb for i in read]))
        )
        for i, seen in enumerate(new, start):
            if poses[i][:2] != poses[i - 1][:2] or i == 0:
                self._put(poses[i], 0.0, 0.0, 3.0)
            row = metres.get(i, ())
            for bearing, free in zip(BEARINGS, row):
                reach = self.config.believed * float(free)
                for along in np.arange(CELL, reach, CELL):
                    self._put(poses[i], bearing, float(along), 0.5 / (1 + 0.1 * along))
                if free < 0.9 * FARTHEST:
                    self._put(poses[i], bearing, float(free) + 0.2, -0.25)
            if bool(seen.extra.get("collided", False)) and i:
                self._block(poses[i])

    def _put(self, pose: Pose, bearing: float, along: float, odds: float) -> None:
        angle = math.radians(pose[2] + bearing)
        cell = cell_of(pose[0] + along * math.cos(angle), pose[1] + along * math.sin(angle))
        if inside(cell):
            self.odds[cell] = np.clip(self.odds[cell] + odds, -6.0, 6.0)

    def _block(self, pose: Pose) -> None:
        """A step was blocked: whatever was believed of the cells ahead, they are taken."""
        here = cell_of(pose[0], pose[1])
        for along in (0.2, 0.3):
            angle = math.radians(pose[2])
            cell = cell_of(pose[0] + along * math.cos(angle), pose[1] + along * math.sin(angle))
            if cell != here and inside(cell):
                self.odds[cell] = -6.0

    def price(self) -> np.ndarray:
        """What a metre costs in every cell: 1 where the floor is surely free, more where it is not known to be."""
        return (
            1.0
            + 5.0 / (1.0 + np.exp(3.0 * self.odds))
            + np.where(self.odds < -0.5, 20.0, 0.0)
            + np.where(self.odds < -3.0, 60.0, 0.0)
        )

    def ways(self, pose: Pose) -> Ways:
        """The cheapest ways from a pose to all cells that anything is known of."""
        start = cell_of(pose[0], pose[1])
        known = np.abs(self.odds) > 0.05
        known[start] = True
        number = np.full(known.shape, -1)
        cells = np.argwhere(known)
        number[known] = np.arange(len(cells))
        price, tails, heads, costs = self.price(), [], [], []
        for i, j in ((0, 1), (1, 0), (1, 1), (1, -1)):
            near = cells + np.array((i, j))
            fits = ((near >= 0) & (near < CELLS)).all(axis=1)
            other = np.full(len(cells), -1)
            other[fits] = number[tuple(near[fits].T)]
            a = np.flatnonzero(other >= 0)
            mean = (price[tuple(cells[a].T)] + price[tuple(cells[other[a]].T)]) / 2
            tails.append(a)
            heads.append(other[a])
            costs.append(CELL * math.hypot(i, j) * mean)
        size = len(cells)
        graph = sparse.csr_matrix(
            (np.concatenate(costs), (np.concatenate(tails), np.concatenate(heads))), shape=(size, size)
        )
        found, before = dijkstra(graph, directed=False, indices=number[start], return_predecessors=True)
        total = np.full(known.shape, np.inf)
        total[known] = found
        return Ways(total, number, cells, before)

    def newness(self, poses: list[Pose]) -> np.ndarray:
        """Metres [N,N] from the nearest place visited, up to `new`; 0 where the floor is not believed free."""
        free, out = self.odds > 0.4, np.zeros(self.odds.shape)
        visited = cKDTree(sorted({(round(p[0], 1), round(p[1], 1)) for p in poses}))
        out[free] = visited.query(np.stack(centres(), axis=-1)[free], distance_upper_bound=self.config.new)[0]
        return np.minimum(out, self.config.new)


@dataclass(frozen=True, eq=False)
class Ways:
    """Cheapest ways over the map from one place."""

    costs: np.ndarray
    """float64 [N,N], metres made dearer by doubt; infinite where nothing is known."""
    number: np.ndarray
    cells: np.ndarray
    before: np.ndarray

    def to(self, target: tuple[int, int]) -> list[tuple[int, int]]:
        """Cells of the way to a target, first the present one."""
        at, out = int(self.number[target]), []
        while at >= 0:
            out.append((int(self.cells[at, 0]), int(self.cells[at, 1])))
            at = int(self.before[at])
        return out[::-1]


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


def walk(floor: FloorMap, cells: list[tuple[int, int]]) -> list[tuple[float, float]]:
    """Places along a way, nearest first: its corners, for straight lines need no more turns than that."""
    price = floor.price()
    kept, at = [], 0
    while at < len(cells) - 1:
        ahead = range(len(cells) - 1, at, -1)
        at = next(
            k
            for k in ahead
            if k == at + 1 or _line(price, cells[at], cells[k]) <= 1.15 * _way(price, cells[at : k + 1])
        )
        kept.append(cells[at])
    return [((i - CELLS // 2 + 0.5) * CELL, (j - CELLS // 2 + 0.5) * CELL) for i, j in kept]


def _line(price: np.ndarray, a: tuple[int, int], b: tuple[int, int]) -> float:
    """Cost of the straight line between two cells."""
    length = math.hypot(b[0] - a[0], b[1] - a[1])
    share = np.linspace(0, 1, int(2 * length) + 2)
    i, j = (np.rint(u + share * (v - u)).astype(int) for u, v in zip(a, b))
    return CELL * length * float(price[i, j].mean())


def _way(price: np.ndarray, cells: list[tuple[int, int]]) -> float:
    return CELL * sum(
        math.hypot(b[0] - a[0], b[1] - a[1]) * float(price[b]) for a, b in itertools.pairwise(cells)
    )


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
    seen = headings_seen(poses, poses[-1], radius=1.5)
    wide = seen | np.roll(seen, 1) | np.roll(seen, -1)
    return bool(wide.mean() >= share)
