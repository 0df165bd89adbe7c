"""Floor plans: a rectangle split into rooms, with doors that make every room reachable, and windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WALL = 0.12
"""Thickness of walls, metres; rooms end half of it from the line between them."""
CEILING = 2.6
DOOR_HEIGHT = 2.05
DOOR_WIDTH = 0.9
_MIN_SIDE, _MAX_SIDE = 2.5, 6.0
Rect = tuple[float, float, float, float]
SIDES = ("south", "east", "north", "west")


@dataclass(frozen=True, slots=True)
class Room:
    """One room."""

    name: str
    """Unique in the house, such as `bedroom_2`."""
    kind: str
    """`living_room`, `kitchen`, `bedroom`, `bathroom`, `study` or `dining_room`."""
    rect: Rect
    """Floor between the walls: x0, y0, x1, y1 in metres."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A door, wide passage or window in a wall that runs along x (`axis` 0) or y (`axis` 1)."""

    axis: int
    line: float
    """Position of the wall's middle line across the wall, metres."""
    start: float
    end: float
    """Ends along the wall, metres."""
    bottom: float
    top: float
    """Heights, metres."""
    rooms: tuple[str, ...]
    """The two rooms a door joins, or the one room of a window."""

    @property
    def rect(self) -> Rect:
        """The floor inside the wall: x0, y0, x1, y1."""
        low, high = self.line - WALL / 2, self.line + WALL / 2
        return (self.start, low, self.end, high) if self.axis == 0 else (low, self.start, high, self.end)


@dataclass(frozen=True, slots=True)
class FloorPlan:
    """Rooms, doors and windows."""

    rooms: tuple[Room, ...]
    doors: tuple[Opening, ...]
    windows: tuple[Opening, ...]
    bounds: Rect
    """Middle lines of the outer walls."""


def draw_plan(rng: np.random.Generator) -> FloorPlan:
    """A floor plan of 3 to 6 rooms."""
    count = int(rng.choice([3, 4, 5, 6], p=[0.16, 0.34, 0.32, 0.18]))
    while True:
        cells = _split(rng, count)
        if cells is None:
            continue
        shared = _shared_walls(cells)
        kinds = _assign(rng, cells, shared)
        if kinds is None:
            continue
        rooms = _name(cells, kinds)
        doors = _doors(rng, rooms, shared)
        if doors is not None:
            bounds = (0.0, 0.0, max(c[2] for c in cells), max(c[3] for c in cells))
            return FloorPlan(tuple(rooms), tuple(doors), tuple(_windows(rng, rooms, bounds)), bounds)


def _split(rng: np.random.Generator, count: int) -> list[Rect] | None:
    """Cells between the middle lines of the walls, or None when this draw does not work out."""
    area = count * rng.uniform(9.5, 13.5)
    aspect = rng.uniform(0.75, 1.4)
    # Rounded to centimetres: openings and furniture then sit the same on every machine.
    width, depth = round(float((area * aspect) ** 0.5), 2), round(float((area / aspect) ** 0.5), 2)
    cells: list[Rect] = [(0.0, 0.0, width, depth)]
    while len(cells) < count:
        cells.sort(key=lambda c: (c[2] - c[0]) * (c[3] - c[1]))
        x0, y0, x1, y1 = cells.pop()
        w, d = x1 - x0, y1 - y0
        along_x = w > d if max(w, d) > 1.25 * min(w, d) else rng.random() < 0.5
        length = w if along_x else d
        if length < 2 * _MIN_SIDE:
            return None
        low = max(_MIN_SIDE / length, 0.36)
        cut = round(length * float(rng.uniform(low, 1 - low)), 2)
        if along_x:
            cells += [(x0, y0, round(x0 + cut, 2), y1), (round(x0 + cut, 2), y0, x1, y1)]
        else:
            cells += [(x0, y0, x1, round(y0 + cut, 2)), (x0, round(y0 + cut, 2), x1, y1)]
    sides = [s for c in cells for s in (c[2] - c[0], c[3] - c[1])]
    return cells if min(sides) >= _MIN_SIDE and max(sides) <= _MAX_SIDE + WALL else None


def _shared_walls(cells: list[Rect]) -> dict[tuple[int, int], tuple[int, float, float, float]]:
    """Pairs of cells that touch along a door's width or more -> axis, line, start, end of the common wall."""
    found = {}
    for i, a in enumerate(cells):
        for j, b in enumerate(cells):
            for axis in (0, 1):
                other = 1 - axis
                if a[2 + other] == b[other]:
                    start, end = max(a[axis], b[axis]), min(a[2 + axis], b[2 + axis])
                    if end - start >= DOOR_WIDTH + 0.6:
                        found[min(i, j), max(i, j)] = (axis, a[2 + other], start, end)
    return found


def _assign(
    rng: np.random.Generator,
    cells: list[Rect],
    shared: dict[tuple[int, int], tuple[int, float, float, float]],
) -> list[str] | None:
    """Room kinds: the largest cell is the living room, the smallest that leaves the rest joined a bathroom."""
    count = len(cells)
    order = sorted(range(count), key=lambda i: (cells[i][2] - cells[i][0]) * (cells[i][3] - cells[i][1]))
    kinds = {order[-1]: "living_room"}
    rest = order[:-1]
    if count > 3 or rng.random() < 0.4:
        leaves = [i for i in rest if _joined(set(range(count)) - {i}, set(shared))]
        if not leaves:
            return None
        kinds[leaves[0]] = "bathroom"
        rest.remove(leaves[0])
    wanted = ["kitchen", "bedroom", *rng.permutation(["study", "bedroom", "dining_room"])]
    names = wanted[: len(rest)]
    for i, k in zip(rest, rng.permutation(len(rest))):
        kinds[i] = str(names[k])
    return [kinds[i] for i in range(count)]


def _joined(nodes: set[int], pairs: set[tuple[int, int]]) -> bool:
    seen, stack = set(), [min(nodes)]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack += [b if a == node else a for a, b in pairs if node in (a, b) and {a, b} <= nodes]
    return seen == nodes


def _name(cells: list[Rect], kinds: list[str]) -> list[Room]:
    rooms: list[Room] = []
    for cell, kind in zip(cells, kinds):
        number = 1 + sum(r.kind == kind for r in rooms)
        x0, y0, x1, y1 = cell
        half = WALL / 2
        inner = (round(x0 + half, 2), round(y0 + half, 2), round(x1 - half, 2), round(y1 - half, 2))
        rooms.append(Room(kind if number == 1 else f"{kind}_{number}", kind, inner))
    return rooms


def _doors(
    rng: np.random.Generator,
    rooms: list[Room],
    shared: dict[tuple[int, int], tuple[int, float, float, float]],
) -> list[Opening] | None:
    """A spanning tree of doors and now and then one more; the bathroom has a single door."""
    pairs = [list(shared)[k] for k in rng.permutation(len(shared))]
    # Doors to the living room first: houses have a hub.
    pairs.sort(key=lambda p: "living_room" not in (rooms[p[0]].kind, rooms[p[1]].kind))
    group = list(range(len(rooms)))
    uses = [0] * len(rooms)
    chosen = []
    for extra in (False, True):
        for i, j in pairs:
            bath = any(rooms[k].kind == "bathroom" and uses[k] for k in (i, j))
            joins = group[i] != group[j]
            if (i, j) in chosen or bath or (extra and rng.random() > 0.3) or (not extra and not joins):
                continue
            chosen.append((i, j))
            uses[i], uses[j] = uses[i] + 1, uses[j] + 1
            old, new = group[j], group[i]
            group = [new if g == old else g for g in group]
    if len(set(group)) > 1:
        return None
    doors = []
    for i, j in chosen:
        axis, line, start, end = shared[i, j]
        pair = {rooms[i].kind, rooms[j].kind}
        wide = pair <= {"living_room", "kitchen", "dining_room", "study"} and end - start > 2.4
        width = (
            round(float(rng.uniform(1.3, min(2.1, end - start - 0.8))), 2)
            if wide and rng.random() < 0.55
            else DOOR_WIDTH
        )
        free = end - start - width - 0.4
        # Doors near a corner leave wall for furniture.
        share = float(rng.uniform(0, 0.25)) if rng.random() < 0.7 else float(rng.uniform(0.3, 0.5))
        at = round(start + 0.2 + free * (share if rng.random() < 0.5 else 1 - share), 2)
        top = DOOR_HEIGHT if width == DOOR_WIDTH else 2.25
        doors.append(Opening(axis, line, at, round(at + width, 2), 0.0, top, (rooms[i].name, rooms[j].name)))
    return doors


def _windows(rng: np.random.Generator, rooms: list[Room], bounds: Rect) -> list[Opening]:
    """One or two windows in the outer walls of each room that has some."""
    windows = []
    for room in rooms:
        cell = cell_of(room.rect)
        sides = [k for k in range(4) if cell[k] == bounds[k]]
        for k in rng.permutation(len(sides))[: 1 if room.kind == "bathroom" or rng.random() < 0.6 else 2]:
            side = sides[k]
            axis = 1 - side % 2
            start, end = room.rect[axis], room.rect[2 + axis]
            width = round(float(rng.uniform(0.8, min(1.9, end - start - 0.8))), 2)
            at = round(float(rng.uniform(start + 0.3, end - 0.3 - width)), 2)
            bottom = 1.35 if room.kind == "bathroom" else round(float(rng.uniform(0.85, 1.05)), 2)
            windows.append(Opening(axis, bounds[side], at, round(at + width, 2), bottom, 2.15, (room.name,)))
    return windows


def cell_of(rect: Rect) -> Rect:
    """The middle lines of the walls around a room's floor."""
    half = WALL / 2
    x0, y0, x1, y1 = rect
    return (round(x0 - half, 2), round(y0 - half, 2), round(x1 + half, 2), round(y1 + half, 2))
