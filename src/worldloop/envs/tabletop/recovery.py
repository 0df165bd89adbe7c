"""An expert that may begin anywhere: the next four waypoints from where the hand is and where things are.

`experts` knows a family's phases from their first waypoint on. Here the phase and the waypoint are found from the
state alone, so that whoever is off course is told how to get back. Pure geometry as there: with the simulator's truth
it is privileged, and serves to demonstrate, not to act in an evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from worldloop.envs.tabletop.commands import pose_of
from worldloop.envs.tabletop.experts import CLOSED, OPEN, Commands, phase
from worldloop.envs.tabletop.goals import failed, succeeded
from worldloop.envs.tabletop.layout import BUTTON_TOP, HALF, PEG_LENGTH
from worldloop.envs.tabletop.physics import Physics

OVER = 0.012
"""Metres along the table within which the hand counts as over a place."""
CLEAR = 0.10
"""Metres above the table below which the hand rises before it goes elsewhere."""
LEVEL = 0.015
"""Metres of height within which a waypoint counts as reached."""
GRIPPED = 0.75
"""Opening below which the fingers are not open."""
LENGTH = 4
"""Waypoints that are told."""


@dataclass(frozen=True)
class TableFacts:
    """What the expert goes by."""

    family: str
    goal: tuple[str, str]
    """Names of things: what is moved and where to, or the buttons in order."""
    places: Mapping[str, np.ndarray]
    """Name -> x, y, z of the bottom (metres) and yaw (degrees)."""
    hand: np.ndarray
    """float64 [7]: x, y, z, roll, pitch, yaw, opening 0..1."""
    held: bool
    """Whether the thing to be moved is between the closed fingers."""
    pressed: int
    """Buttons of the goal that were pressed."""
    reached: bool
    lost: bool
    """Whether the goal can no longer be reached."""

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self.reached or self.lost


def facts_of(physics: Physics) -> TableFacts:
    """The facts of a state, from the simulator's truth (privileged)."""
    layout, places = physics.layout, {}
    for thing in layout.things:
        pose = physics.place(thing.name)
        yaw = math.degrees(math.atan2(pose[1, 0], pose[0, 0]))
        places[thing.name] = np.array([*pose[:3, 3], yaw])
    hand, moved = pose_of(physics), places[layout.goal[0]]
    middle = PEG_LENGTH / 2 if layout.family == "insert" else HALF
    near = np.linalg.norm(hand[:3] - moved[:3] - (0, 0, middle)) < 0.035
    held = bool(near and hand[6] < GRIPPED and physics.touches_hand(layout.goal[0]))
    pressed = len(physics.presses) if layout.family == "press" else 0
    return TableFacts(
        layout.family, (layout.goal[0], layout.goal[1]), places, hand, held, min(pressed, 1),
        succeeded(physics), failed(physics),
    )  # fmt: skip


def next_commands(facts: TableFacts) -> Commands:
    """float64 [4,7]: what is to be done from here on; the last waypoint again where less is left to do."""
    rows = _RULES[facts.family](facts)
    return np.array([*rows, *[rows[-1]] * LENGTH])[:LENGTH]


def _over(facts: TableFacts, place: np.ndarray) -> bool:
    return bool(np.linalg.norm(facts.hand[:2] - place[:2]) < OVER)


def _risen(facts: TableFacts, grip: float, way: np.ndarray) -> list[np.ndarray]:
    """The way, after rising on the spot where the hand is low and elsewhere."""
    if facts.hand[2] >= CLEAR or _over(facts, way[0]):
        return list(way)
    up = np.array([*facts.hand[:2], CLEAR + 0.05, 0.0, 0.0, facts.hand[5], grip])
    return [up, *way]


def _carry(facts: TableFacts) -> list[np.ndarray]:
    pick = phase(facts.family, "pick", facts.goal, facts.places)
    place = phase(facts.family, "place", facts.goal, facts.places)
    height = facts.hand[2]
    if facts.held:
        if _over(facts, place[0]):
            return list(place[2:] if height < place[1, 2] + LEVEL else place[1:])
        if height < pick[0, 2] - LEVEL and height < place[0, 2] - LEVEL:
            up = pick[3].copy()
            up[:2], up[5] = facts.hand[:2], facts.hand[5]
            return [up, *place]
        return list(place)
    both = np.concatenate([pick, place])
    if facts.hand[6] > GRIPPED and _over(facts, pick[0]) and height < pick[0, 2] + LEVEL:
        return list(both[2:] if height < pick[1, 2] + LEVEL else both[1:])
    return _risen(facts, OPEN, both)


def _push(facts: TableFacts) -> list[np.ndarray]:
    way = phase(facts.family, "push", facts.goal, facts.places)
    block, hand = facts.places[facts.goal[0]][:2], facts.hand
    along = way[2, :2] - way[1, :2]
    along = along / max(float(np.linalg.norm(along)), 1e-9)
    before, aside = (
        (hand[:2] - block) @ along,
        abs(along[0] * (hand - way[1])[1] - along[1] * (hand - way[1])[0]),
    )
    if hand[2] < way[1, 2] + LEVEL and aside < OVER and -0.1 < before < -HALF / 2:
        return list(way[2:])
    if _over(facts, way[0]) and hand[2] < way[0, 2] + LEVEL:
        return list(way[1:])
    return _risen(facts, CLOSED, way)


def _press(facts: TableFacts) -> list[np.ndarray]:
    here = phase(facts.family, f"press-{facts.pressed}", facts.goal, facts.places)
    then = phase(facts.family, "press-1", facts.goal, facts.places)[:3] if not facts.pressed else here[:0]
    way = np.concatenate([here[:3], then])
    if _over(facts, way[0]) and facts.hand[2] < way[0, 2] + LEVEL:
        return list(way[1:])
    if facts.hand[2] < BUTTON_TOP + 0.03 and not _over(facts, way[0]):  # on the button that was pressed
        up = way[0].copy()
        up[:2] = facts.hand[:2]
        return [up, *way]
    return list(way)


_RULES = {"push": _push, "stack": _carry, "pick-place": _carry, "insert": _carry, "press": _press}
