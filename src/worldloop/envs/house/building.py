"""Walls, floors, ceilings, door frames and windows as rectangles that face the rooms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worldloop.envs.house.materials import Material, material, material_names, sky
from worldloop.envs.house.plan import CEILING, SIDES, WALL, FloorPlan, Opening, Room
from worldloop.envs.house.soup import TriangleSoup

SKIRTING = (0.08, 0.012)
"""Height and thickness, metres."""
CASING = (0.05, 0.018)
"""Width and thickness of the boards around a door, metres."""


@dataclass(frozen=True, slots=True)
class RoomMaterials:
    """Names of the materials of one room."""

    floor: str
    wall: str
    ceiling: str
    trim: str


def choose_materials(rng: np.random.Generator, style: str, room: Room) -> RoomMaterials:
    """Materials of the style: bathrooms are tiled, kitchens often have a tiled floor."""

    def one(use: str) -> str:
        names = material_names(style, use)
        return names[int(rng.integers(len(names)))]

    wet = room.kind == "bathroom"
    floor = one("wet_floor" if wet or (room.kind == "kitchen" and rng.random() < 0.6) else "floor")
    return RoomMaterials(floor, one("wet_wall" if wet else "wall"), one("ceiling"), one("trim"))


def build(soup: TriangleSoup, plan: FloorPlan, materials: Mapping[str, RoomMaterials]) -> None:
    """Add the building, one instance per floor, ceiling, wall side, door frame and window."""
    for room in plan.rooms:
        x0, y0, x1, y1 = room.rect
        used = materials[room.name]
        for category, at, sign, name in (
            ("floor", 0.0, 1, used.floor),
            ("ceiling", CEILING, -1, used.ceiling),
        ):
            soup.begin()
            soup.rect(2, at, (x0, y0), (x1, y1), sign, material(name))
            if category == "floor":
                for door in plan.doors:
                    if door.rooms[0] == room.name:
                        a, b, c, d = door.rect
                        soup.rect(2, 0.0, (a, b), (c, d), 1, material(name))
            soup.end(category, f"{category}_{room.name}", room.name, True)
        for side in SIDES:
            soup.begin()
            _wall(soup, room, side, [*plan.doors, *plan.windows], material(used.wall), material(used.trim))
            soup.end("wall", f"wall_{room.name}_{side}", room.name, True)
    for number, door in enumerate(plan.doors, 1):
        soup.begin()
        _door_frame(soup, door, material(materials[door.rooms[0]].trim))
        soup.end("door_frame", f"door_frame_{number}", door.rooms[0], True)
    for number, window in enumerate(plan.windows, 1):
        soup.begin()
        inward = 1 if window.line == plan.bounds[1 - window.axis] else -1
        _window(soup, window, inward, material(materials[window.rooms[0]].trim))
        soup.end("window", f"window_{number}", window.rooms[0], True)


def _wall(
    soup: TriangleSoup, room: Room, side: str, openings: Sequence[Opening], paper: Material, trim: Material
) -> None:
    x0, y0, x1, y1 = room.rect
    axis = 0 if side in ("south", "north") else 1
    at = {"south": y0, "north": y1, "west": x0, "east": x1}[side]
    inward = 1 if side in ("south", "west") else -1
    start, end = (x0, x1) if axis == 0 else (y0, y1)
    holes = [
        o for o in openings if room.name in o.rooms and o.axis == axis and abs(o.line - at) < WALL / 2 + 1e-6
    ]
    cursor = start
    for hole in sorted(holes, key=lambda o: o.start):
        soup.rect(1 - axis, at, (cursor, 0.0), (hole.start, CEILING), inward, paper)
        soup.rect(1 - axis, at, (hole.start, hole.top), (hole.end, CEILING), inward, paper)
        if hole.bottom > 0:
            soup.rect(1 - axis, at, (hole.start, 0.0), (hole.end, hole.bottom), inward, paper)
        cursor = hole.end
    soup.rect(1 - axis, at, (cursor, 0.0), (end, CEILING), inward, paper)
    cursor = start
    for a, b in [
        *(
            (o.start - CASING[0], o.end + CASING[0])
            for o in sorted(holes, key=lambda o: o.start)
            if o.bottom == 0
        ),
        (end, end),
    ]:
        if a > cursor:
            _skirting(soup, axis, at, inward, cursor, a, trim)
        cursor = b


def _skirting(
    soup: TriangleSoup, axis: int, at: float, inward: int, start: float, end: float, trim: Material
) -> None:
    height, thick = SKIRTING
    face = at + inward * thick
    soup.rect(1 - axis, face, (start, 0.0), (end, height), inward, trim)
    low, high = min(at, face), max(at, face)
    top = ((start, low), (end, high)) if axis == 0 else ((low, start), (high, end))
    soup.rect(2, height, *top, 1, trim)


def _door_frame(soup: TriangleSoup, door: Opening, trim: Material) -> None:
    """The lining of the opening and the boards around it on both sides."""
    low, high = door.line - WALL / 2, door.line + WALL / 2
    _lining(soup, door, low, high, trim, sill=False)
    width, thick = CASING
    for face, sign in ((low, -1), (high, 1)):
        near, far = sorted((face, face + sign * thick))
        for a, b, bottom, top in (
            (door.start - width, door.start, 0.0, door.top + width),
            (door.end, door.end + width, 0.0, door.top + width),
            (door.start, door.end, door.top, door.top + width),
        ):
            if door.axis == 0:
                soup.box((a, near, bottom), (b, far, top), trim)
            else:
                soup.box((near, a, bottom), (far, b, top), trim)


def _window(soup: TriangleSoup, window: Opening, inward: int, trim: Material) -> None:
    """Lining, a bright pane on the outside, a frame and a middle bar."""
    face = window.line + inward * WALL / 2
    pane = window.line - inward * WALL / 2
    _lining(soup, window, min(face, pane), max(face, pane), trim, sill=True)
    low, high = (window.start, window.bottom), (window.end, window.top)
    soup.picture(1 - window.axis, pane, low, high, inward, "sky", sky())
    near, far = sorted((pane + inward * 0.005, pane + inward * 0.04))
    bar = 0.045
    middle = (window.start + window.end) / 2
    for a, b, bottom, top in (
        (window.start, window.end, window.bottom, window.bottom + bar),
        (window.start, window.end, window.top - bar, window.top),
        (window.start, window.start + bar, window.bottom, window.top),
        (window.end - bar, window.end, window.bottom, window.top),
        (middle - bar / 2, middle + bar / 2, window.bottom, window.top),
    ):
        if window.axis == 0:
            soup.box((a, near, bottom), (b, far, top), trim)
        else:
            soup.box((near, a, bottom), (far, b, top), trim)


def _lining(
    soup: TriangleSoup, opening: Opening, low: float, high: float, trim: Material, sill: bool
) -> None:
    """The inner faces of an opening through the wall from `low` to `high`."""
    axis = opening.axis
    span = ((low, opening.bottom), (high, opening.top))
    soup.rect(axis, opening.start, *span, 1, trim)
    soup.rect(axis, opening.end, *span, -1, trim)
    across = (
        ((opening.start, low), (opening.end, high))
        if axis == 0
        else ((low, opening.start), (high, opening.end))
    )
    soup.rect(2, opening.top, *across, -1, trim)
    if sill:
        soup.rect(2, opening.bottom, *across, 1, trim)
