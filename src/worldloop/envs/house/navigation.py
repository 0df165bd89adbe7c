"""Where an agent can stand, how far it is from there to anywhere, and what a blocked step does."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.csgraph import dijkstra

from worldloop.core.errors import InputError
from worldloop.envs.house.mesh import TriangleScene
from worldloop.envs.house.navigation_kernels import mark_triangles, sweep

CELL = 0.05
"""Metres per grid cell."""
RADIUS = 0.18
"""Metres; the agent is an upright cylinder."""
BAND = (0.08, 1.5)
"""Heights between which things are in the agent's way: a carpet is not, a lamp on the ceiling is not."""
_MARGIN = 4
# Eight directions of an undirected 16-neighbour graph, each with the cells its line also crosses.
_MOVES = (
    (1, 0, ()),
    (0, 1, ()),
    (1, 1, ((1, 0), (0, 1))),
    (1, -1, ((1, 0), (0, -1))),
    (2, 1, ((1, 0), (1, 1))),
    (1, 2, ((0, 1), (1, 1))),
    (2, -1, ((1, 0), (1, -1))),
    (1, -2, ((0, -1), (1, -1))),
)


class NavGrid:
    """A grid of free cells: indices [i, j] are x, y. All points are (x, y) in world metres.

    A free cell is one where the agent's centre may be; only the largest connected region is kept, so every
    free point can be reached from every other.
    """

    def __init__(self, free: np.ndarray, origin: tuple[float, float], cell: float = CELL) -> None:
        """free: bool [nx,ny]; origin: world position of the corner of cell [0, 0]."""
        labels, count = ndimage.label(free)
        if count > 1:
            sizes = np.bincount(labels.ravel())[1:]
            free = labels == 1 + int(sizes.argmax())
        if not free.any():
            raise InputError(
                "nobody can stand anywhere in this scene: no free floor wide enough for the agent"
            )
        self.free = np.ascontiguousarray(free, np.bool_)
        self.origin = (float(origin[0]), float(origin[1]))
        self.cell = cell
        self._cells = np.argwhere(self.free)
        self._index = np.full(free.shape, -1, np.int32)
        self._index[self.free] = np.arange(len(self._cells), dtype=np.int32)

    @staticmethod
    def from_scene(scene: TriangleScene) -> NavGrid:
        """The grid of a scene; InputError when no floor is free."""
        bounds = np.array(scene.walkable, np.float64).reshape(-1, 4)
        if not len(bounds):
            flat = scene.positions.reshape(-1, 3)
            bounds = np.array([[*flat.min(axis=0)[:2], *flat.max(axis=0)[:2]]], np.float64)
        origin = np.floor(bounds[:, :2].min(axis=0) / CELL) * CELL - _MARGIN * CELL
        shape = np.ceil((bounds[:, 2:].max(axis=0) - origin) / CELL).astype(int) + _MARGIN
        if shape.max() > 4000:
            raise InputError(
                f"a scene of {shape[0] * CELL:.0f} x {shape[1] * CELL:.0f} m is too large to walk in"
            )
        floor = np.zeros(tuple(shape), bool)
        for x0, y0, x1, y1 in bounds:
            low = np.floor((np.array([x0, y0]) - origin) / CELL + 0.5).astype(int)
            high = np.floor((np.array([x1, y1]) - origin) / CELL + 0.5).astype(int)
            floor[low[0] : high[0], low[1] : high[1]] = True
        blocked = ~floor
        mark_triangles(np.ascontiguousarray(scene.positions, np.float32), origin, CELL, *BAND, blocked)
        # The nearest point of a blocked cell is up to 0.71 cells closer than its centre.
        clearance = ndimage.distance_transform_edt(~blocked) * CELL
        return NavGrid(clearance > RADIUS + 0.5 * CELL, (origin[0], origin[1]))

    def cell_of(self, xy: tuple[float, float] | np.ndarray) -> tuple[int, int]:
        """Indices of the cell that holds a point; they may lie outside the grid."""
        return (
            math.floor((xy[0] - self.origin[0]) / self.cell),
            math.floor((xy[1] - self.origin[1]) / self.cell),
        )

    def centre_of(self, cell: tuple[int, int] | np.ndarray) -> tuple[float, float]:
        """World position of a cell's centre."""
        return (
            float(self.origin[0] + (cell[0] + 0.5) * self.cell),
            float(self.origin[1] + (cell[1] + 0.5) * self.cell),
        )

    def is_free(self, xy: tuple[float, float] | np.ndarray) -> bool:
        """Whether the agent's centre may be here."""
        i, j = self.cell_of(xy)
        return 0 <= i < self.free.shape[0] and 0 <= j < self.free.shape[1] and bool(self.free[i, j])

    def nearest_free(self, xy: tuple[float, float] | np.ndarray) -> tuple[float, float]:
        """The point itself if it is free, else the centre of the nearest free cell."""
        if self.is_free(xy):
            return float(xy[0]), float(xy[1])
        target = (np.asarray(xy, np.float64) - self.origin) / self.cell - 0.5
        return self.centre_of(self._cells[((self._cells - target) ** 2).sum(axis=1).argmin()])

    def random_free_point(self, rng: np.random.Generator) -> tuple[float, float]:
        """The centre of a free cell, all equally likely."""
        return self.centre_of(self._cells[rng.integers(len(self._cells))])

    def move(
        self, xy: tuple[float, float] | np.ndarray, dxy: tuple[float, float] | np.ndarray
    ) -> tuple[tuple[float, float], bool]:
        """Walk in a straight line; returns where it ends and whether something was in the way.

        The agent stops short of the first obstacle and does not slide along it. The start must be free.
        """
        x, y, collided = sweep(
            self.free, self.origin[0], self.origin[1], self.cell,
            float(xy[0]), float(xy[1]), float(dxy[0]), float(dxy[1]),
        )  # fmt: skip
        return (x, y), collided

    @cached_property
    def _graph(self) -> sparse.csr_matrix:
        """16 neighbours: path lengths are at most 2.7 % above the straight line."""
        tails, heads, lengths = [], [], []
        nx, ny = self.free.shape
        for dx, dy, crossed in _MOVES:
            x0, x1 = max(0, -dx), nx - max(0, dx)
            y0, y1 = max(0, -dy), ny - max(0, dy)
            if x1 <= x0 or y1 <= y0:
                continue
            ok = self.free[x0:x1, y0:y1] & self.free[x0 + dx : x1 + dx, y0 + dy : y1 + dy]
            for cx, cy in crossed:
                ok = ok & self.free[x0 + cx : x1 + cx, y0 + cy : y1 + cy]
            tails.append(self._index[x0:x1, y0:y1][ok])
            heads.append(self._index[x0 + dx : x1 + dx, y0 + dy : y1 + dy][ok])
            lengths.append(np.full(int(ok.sum()), self.cell * math.hypot(dx, dy)))
        tail, head, length = map(np.concatenate, (tails, heads, lengths))
        both = (np.concatenate([tail, head]), np.concatenate([head, tail]))
        return sparse.csr_matrix((np.tile(length, 2), both), shape=(len(self._cells),) * 2)

    def _node(self, xy: tuple[float, float] | np.ndarray) -> int:
        if not self.is_free(xy):
            raise InputError(f"({xy[0]:.2f}, {xy[1]:.2f}) is not a free point of this scene")
        return int(self._index[self.cell_of(xy)])

    def distance_field(self, xy: tuple[float, float] | np.ndarray) -> np.ndarray:
        """float32 [nx,ny], metres of walking from every cell to a free point; inf where nobody can stand."""
        distances = dijkstra(self._graph, indices=self._node(xy))
        field = np.full(self.free.shape, np.inf, np.float32)
        field[self.free] = distances
        return field

    def geodesic(self, a: tuple[float, float] | np.ndarray, b: tuple[float, float] | np.ndarray) -> float:
        """Metres of walking between two free points: exact along lines of sight, else on the grid."""
        start, goal = self._node(a), self._node(b)
        straight = math.hypot(b[0] - a[0], b[1] - a[1])
        if not self.move(a, (b[0] - a[0], b[1] - a[1]))[1]:
            return straight
        return max(straight, float(dijkstra(self._graph, indices=start)[goal]))

    def shortest_path(
        self, a: tuple[float, float] | np.ndarray, b: tuple[float, float] | np.ndarray
    ) -> list[tuple[float, float]]:
        """Points from a to b, both included; each leg is free of collisions, corners are cut where possible."""
        start, goal = self._node(a), self._node(b)
        _, previous = dijkstra(self._graph, indices=goal, return_predecessors=True)
        chain, node = [(float(a[0]), float(a[1]))], start
        while node != goal:
            node = int(previous[node])
            chain.append(self.centre_of(self._cells[node]))
        chain[max(1, len(chain) - 1) :] = [(float(b[0]), float(b[1]))]
        path, at = [chain[0]], 0
        while at < len(chain) - 1:
            x, y = chain[at]
            reach = at + 1
            for further in range(at + 2, len(chain)):
                if self.move((x, y), (chain[further][0] - x, chain[further][1] - y))[1]:
                    break
                reach = further
            path.append(chain[reach])
            at = reach
        return path
