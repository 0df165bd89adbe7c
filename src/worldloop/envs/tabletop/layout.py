"""What stands on the table, and what is to be done with it: layouts drawn from a scene id."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from worldloop.core import InputError, generator
from worldloop.envs.tabletop.looks import COLOURS, look_of

FAMILIES = ("push", "stack", "press", "pick-place", "insert")
HALF = 0.022
"""Half side of a block, metres."""
STAND_HEIGHT, STAND_RADIUS = 0.04, 0.045
CIRCLE_RADIUS = 0.05
BUTTON_RADIUS, BUTTON_TOP, BUTTON_TRAVEL = 0.024, 0.032, 0.012
PEG_RADIUS, PEG_LENGTH = 0.012, 0.09
SOCKET_HALF, SOCKET_HEIGHT, HOLE_HALF = 0.04, 0.04, 0.0145
# A thing's place is the middle of its bottom.
LOWER, UPPER = (0.40, -0.22), (0.62, 0.22)
"""Where things stand, metres from the arm's base (x ahead, y to the left)."""
_ID = re.compile(r"tabletop/(train|val|test)/([a-z-]+)/(\d{4,6})")


@dataclass(frozen=True)
class Thing:
    """One thing on the table."""

    kind: str
    """`block`, `circle` (painted on the table), `stand`, `button`, `peg` or `socket`."""
    colour: str
    position: tuple[float, float]
    yaw_deg: float = 0.0

    @property
    def name(self) -> str:
        """Unique in a layout, such as `red block`."""
        return f"{self.colour} {self.kind}"


@dataclass(frozen=True)
class Layout:
    """A scene of the tabletop world."""

    key: str
    """The scene id it was drawn from."""
    split: str
    family: str
    things: tuple[Thing, ...]
    goal: tuple[str, ...]
    """Names of things: what is moved and where to, or the buttons in order."""

    @property
    def text(self) -> str:
        """The goal in words."""
        first, second = (f"the {name}" for name in self.goal)
        return {
            "push": f"Push {first} onto {second}.",
            "stack": f"Stack {first} on {second}.",
            "press": f"Press {first}, then {second}.",
            "pick-place": f"Put {first} on {second}.",
            "insert": f"Put {first} into {second}.",
        }[self.family]


def scene_id(split: str, family: str, index: int) -> str:
    """The id of a layout, such as `tabletop/val/push/0003`."""
    return f"tabletop/{split}/{family}/{index:04d}"


@lru_cache(maxsize=1024)
def load_layout(scene: str) -> Layout:
    """The layout of a scene id; InputError for an id that is none."""
    match = _ID.fullmatch(scene)
    if match is None or match[2] not in FAMILIES:
        raise InputError(
            f"no tabletop scene {scene!r}; write tabletop/SPLIT/FAMILY/0000 with a family of {', '.join(FAMILIES)}"
        )
    split, family = match[1], match[2]
    look_of(split)
    rng = generator("tabletop layout", scene)
    for _ in range(10_000):
        things, goal = _draw(family, rng)
        if _good(family, things):
            return Layout(scene, split, family, things, goal)
    raise InputError(f"{scene} has no layout with a clear path")  # pragma: no cover (one in ten is good)


def _draw(family: str, rng: np.random.Generator) -> tuple[tuple[Thing, ...], tuple[str, ...]]:
    colours = [COLOURS[i] for i in rng.permutation(len(COLOURS))]
    kinds = {
        "push": ("block", "circle", "block", "block"),
        "stack": ("block", "block", "block"),
        "press": ("button", "button", "button"),
        "pick-place": ("block", "stand", "block", "block"),
        "insert": ("peg", "socket", "block"),
    }[family]
    things = []
    for kind, colour in zip(kinds, colours):
        place = rng.uniform(LOWER, UPPER)
        yaw = float(rng.uniform(-12, 12)) if kind == "block" else 0.0
        # Rounded, so that a layout reads well and is the same wherever it is drawn.
        things.append(
            Thing(kind, colour, (round(float(place[0]), 4), round(float(place[1]), 4)), round(yaw, 2))
        )
    if family == "push":  # a block that is pushed on an edge turns away: one of its sides faces the way
        (x0, y0), (x1, y1) = things[0].position, things[1].position
        yaw = math.degrees(math.atan2(y1 - y0, x1 - x0)) + things[0].yaw_deg / 2
        things[0] = replace(things[0], yaw_deg=round((yaw + 45) % 90 - 45, 2))
    return tuple(things), (things[0].name, things[1].name)


def _good(family: str, things: tuple[Thing, ...]) -> bool:
    """Things stand apart; the way from the first to the second is clear, with room behind the first."""
    places = np.array([t.position for t in things])
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2)[np.triu_indices(len(things), 1)]
    if gaps.min() < 0.105:
        return False
    if family != "push":
        return True
    way = places[1] - places[0]
    length = math.hypot(*way)
    if not 0.14 <= length <= 0.34:
        return False
    along = way / length
    start = places[0] - 0.09 * along  # the closed hand comes down here
    for other in places[2:]:
        t = float(np.clip((other - start) @ along, 0, length + 0.09))
        if np.linalg.norm(other - start - t * along) < 0.085:
            return False
    return bool((start > (0.33, -0.3)).all() and (start < (0.68, 0.3)).all())
