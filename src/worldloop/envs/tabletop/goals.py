"""Success as a predicate of the state: one for each family. Reads the simulator's truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worldloop.envs.tabletop.layout import HALF, STAND_HEIGHT, STAND_RADIUS
from worldloop.envs.tabletop.physics import Physics

PUSHED, STACKED, INSERTED = 0.03, 0.022, 0.015
"""Metres: how near to the circle's middle, to the lower block's middle, and to the bottom of the hole."""


def succeeded(physics: Physics) -> bool:
    """Whether the goal of the layout is reached now."""
    return _PREDICATES[physics.layout.family](physics)


def failed(physics: Physics) -> bool:
    """Whether the goal can no longer be reached: a wrong button was pressed, or the thing lies off the table."""
    goal = physics.layout.goal
    if physics.layout.family == "press":
        return physics.presses != goal[: len(physics.presses)]
    return bool(physics.place(goal[0])[2, 3] < -0.05)


def distance(physics: Physics) -> float:
    """Metres along the table from the thing to its target; for buttons, the share not yet pressed."""
    goal = physics.layout.goal
    if physics.layout.family == "press":
        return 1.0 - len(physics.presses) / len(goal)
    return _gap(physics)


def _gap(physics: Physics) -> float:
    first, second = (physics.place(name) for name in physics.layout.goal)
    return float(np.linalg.norm(_middle(physics, first)[:2] - second[:2, 3]))


def _middle(physics: Physics, pose: np.ndarray) -> np.ndarray:
    """The middle of the moved thing; unlike its bottom, it does not move when the thing lies on its side."""
    height = HALF if physics.layout.family != "insert" else 0.0
    return pose[:3, 3] + height * pose[:3, 2]


def _released(physics: Physics) -> bool:
    return not physics.touches_hand(physics.layout.goal[0])


def _pushed(physics: Physics) -> bool:
    block = _middle(physics, physics.place(physics.layout.goal[0]))
    return _gap(physics) < PUSHED and abs(block[2] - HALF) < 0.01


def _stacked(physics: Physics) -> bool:
    first, second = (_middle(physics, physics.place(n)) for n in physics.layout.goal)
    return (
        _gap(physics) < STACKED + 0.003
        and abs(first[2] - second[2] - 2 * HALF) < 0.006
        and _released(physics)
    )


def _placed(physics: Physics) -> bool:
    block = _middle(physics, physics.place(physics.layout.goal[0]))
    return _gap(physics) < STAND_RADIUS and abs(block[2] - STAND_HEIGHT - HALF) < 0.008 and _released(physics)


def _pressed(physics: Physics) -> bool:
    return physics.presses == physics.layout.goal


def _inserted(physics: Physics) -> bool:
    peg = physics.place(physics.layout.goal[0])
    return _gap(physics) < 0.01 and bool(peg[2, 3] < INSERTED) and _released(physics)


_PREDICATES: dict[str, Callable[[Physics], bool]] = {
    "push": _pushed,
    "stack": _stacked,
    "pick-place": _placed,
    "press": _pressed,
    "insert": _inserted,
}
