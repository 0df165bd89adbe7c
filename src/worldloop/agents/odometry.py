"""Dead reckoning: where the agent believes to be, from the actions that were not blocked."""

from __future__ import annotations

import numpy as np

from worldloop.actions import intended_path
from worldloop.core import Situation

Pose = tuple[float, float, float]
"""x m, y m and yaw deg, relative to the start of the episode."""


def odometry(situation: Situation) -> list[Pose]:
    """The believed pose at every observation so far; a blocked step is taken not to have moved at all."""
    poses: list[Pose] = situation.memory.setdefault("odometry", [(0.0, 0.0, 0.0)])
    for i in range(len(poses), len(situation.history)):
        pose = poses[-1]
        if not bool(situation.history[i].extra.get("collided", False)):
            plan = situation.vocabulary.plan([situation.actions[i - 1]])
            x, y, yaw = intended_path(plan, *pose)[-1]
            pose = float(x), float(y), float(yaw)
        poses.append(pose)
    return poses


def turn_to(heading: float, yaw: float) -> float:
    """Degrees to turn from `yaw` to `heading`, -180..180, left positive."""
    return float((heading - yaw + 180.0) % 360.0 - 180.0)


def headings_seen(poses: list[Pose], around: Pose, radius: float = 0.3, bins: int = 16) -> np.ndarray:
    """bool [bins]: which headings have been looked at from near a place."""
    seen = np.zeros(bins, bool)
    for x, y, yaw in poses:
        if np.hypot(x - around[0], y - around[1]) <= radius:
            seen[round(yaw / (360.0 / bins)) % bins] = True
    return seen
