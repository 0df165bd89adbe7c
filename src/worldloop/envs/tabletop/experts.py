"""Scripted experts: a family's goal as phases of four waypoints, from where things are believed to be.

The functions are pure geometry: whoever calls them says where things are. With the simulator's truth they are
privileged experts; an agent gives them what it has seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from worldloop.envs.tabletop.layout import (
    BUTTON_TOP,
    BUTTON_TRAVEL,
    HALF,
    PEG_LENGTH,
    SOCKET_HEIGHT,
    STAND_HEIGHT,
)

OPEN, CLOSED = 1.0, 0.0
"""Grips."""
ABOVE = 0.12
"""Metres between the hand on its way and what it will do."""
TIP = 0.008
"""Metres that the fingers reach beyond the point between them."""
Commands = np.ndarray
"""float64 [4,7]: x, y, z in metres, roll, pitch, yaw in degrees, grip."""
PHASES = {
    "push": ("push",),
    "stack": ("pick", "place"),
    "pick-place": ("pick", "place"),
    "insert": ("pick", "place"),
    "press": ("press-0", "press-1"),
}
"""What a family's goal takes, in order."""


def phase(family: str, name: str, goal: tuple[str, ...], places: Mapping[str, np.ndarray]) -> Commands:
    """The waypoints of one phase. places: name -> x, y, z of the bottom (metres) and yaw (degrees)."""
    first, second = places[goal[0]], places[goal[1]]
    if name == "push":
        return push(first, second)
    if name == "pick":
        return pick(first, 0.06 if family == "insert" else 0.02)
    if name == "place":
        drop = {"stack": 2 * HALF, "pick-place": STAND_HEIGHT, "insert": 0.0}[family]
        hold = 0.06 if family == "insert" else 0.02
        return place(second, drop + hold, clear=SOCKET_HEIGHT + PEG_LENGTH if family == "insert" else 0.0)
    return press(places[goal[int(name.removeprefix("press-"))]])


def pick(thing: np.ndarray, hold: float) -> Commands:
    """Above, down, close, lift. hold: metres above the thing's bottom at which it is gripped."""
    x, y, z, yaw = thing
    yaw = (yaw + 45) % 90 - 45
    return _commands(
        (x, y, z + hold + ABOVE, yaw, OPEN), (x, y, z + hold, yaw, OPEN), (x, y, z + hold, yaw, CLOSED),
        (x, y, z + hold + ABOVE + 0.06, yaw, CLOSED),
    )  # fmt: skip


def place(target: np.ndarray, height: float, clear: float = 0.0) -> Commands:
    """Over the target, down, open, up. height: of the hand above the target's bottom when it lets go."""
    x, y, z, yaw = target
    yaw = (yaw + 45) % 90 - 45
    over = z + max(height + 0.08, clear + 0.06)
    return _commands(
        (x, y, over, yaw, CLOSED), (x, y, z + height + 0.002, yaw, CLOSED), (x, y, z + height + 0.002, yaw, OPEN),
        (x, y, z + height + ABOVE + 0.04, yaw, OPEN),
    )  # fmt: skip


def push(block: np.ndarray, target: np.ndarray) -> Commands:
    """Over the place behind the block, down, through to the target, back and up."""
    way = target[:2] - block[:2]
    along = way / max(float(np.linalg.norm(way)), 1e-9)
    yaw = math.degrees(math.atan2(along[1], along[0]))
    yaw = (yaw + 90) % 180 - 90
    start = block[:2] - along * (HALF + 0.045)
    end = target[:2] - along * (HALF + 0.0085)
    back = end - along * 0.08  # first of all away: a finger that rises along the block throws it forward
    low = block[2] + 0.014
    return _commands(
        (*start, low + ABOVE, yaw, CLOSED), (*start, low, yaw, CLOSED), (*end, low, yaw, CLOSED),
        (*back, low + 0.10, yaw, CLOSED),
    )  # fmt: skip


def press(button: np.ndarray) -> Commands:
    """Over the button, down, up, and away towards the arm."""
    x, y, z, _ = button
    top, down = z + BUTTON_TOP + TIP + 0.05, z + BUTTON_TOP - BUTTON_TRAVEL + TIP - 0.002
    return _commands(
        (x, y, top, 0, CLOSED), (x, y, down, 0, CLOSED), (x, y, top, 0, CLOSED), (x - 0.05, y, 0.25, 0, CLOSED),
    )  # fmt: skip


def _commands(*rows: tuple[float, ...]) -> Commands:
    return np.array([(x, y, z, 0.0, 0.0, yaw, grip) for x, y, z, yaw, grip in rows])
