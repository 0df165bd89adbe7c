"""What the policy speaks: waypoints, hands and goals as numbers around one, and back."""

from __future__ import annotations

import numpy as np

from worldloop.agents.table_sight import HUES, TableGoal
from worldloop.envs.tabletop.layout import FAMILIES

COLOURS = tuple(HUES)
PARTS = 6
"""Numbers of one waypoint: x, y, z, the cosine and sine of twice the yaw, the grip."""
GOAL = len(FAMILIES) + 2 * len(COLOURS)
"""Numbers of a goal: its family, and the colours of its two things."""
MIDDLE, SPAN = np.array([0.51, 0.0, 0.12]), 0.12
"""Metres that become 0, and metres that become 1."""


def to_numbers(commands: np.ndarray) -> np.ndarray:
    """float32 [...,6] of commands [...,7] (metres, degrees, grip 0..1).

    The hand is the same after half a turn, so twice the yaw is what counts; roll and pitch, which are 0 in all
    demonstrations, are left out.
    """
    commands = np.asarray(commands, float)
    turn = np.radians(2 * commands[..., 5:6])
    parts = [(commands[..., :3] - MIDDLE) / SPAN, np.cos(turn), np.sin(turn), 2 * commands[..., 6:] - 1]
    return np.concatenate(parts, axis=-1).astype(np.float32)


def to_commands(numbers: np.ndarray, yaw_deg: float) -> np.ndarray:
    """float64 [L,7]: waypoints of numbers [L,6]; of two equal yaws the one nearer to the yaw before, from `yaw_deg`."""
    numbers = np.asarray(numbers, float)
    out = np.zeros((len(numbers), 7))
    out[:, :3] = numbers[:, :3] * SPAN + MIDDLE
    out[:, 6] = np.clip((numbers[:, 5] + 1) / 2, 0, 1)
    for row, yaw in zip(out, np.degrees(np.arctan2(numbers[:, 4], numbers[:, 3])) / 2):
        row[5] = yaw_deg = float(np.clip(yaw_deg + (yaw - yaw_deg + 90) % 180 - 90, -90, 90))
    return out


def goal_numbers(goal: TableGoal) -> np.ndarray:
    """float32 [15]: one for the family and for each of the two colours, zeros else."""
    out = np.zeros(GOAL, np.float32)
    out[FAMILIES.index(goal.family)] = 1
    for i, name in enumerate(goal.things):
        out[len(FAMILIES) + i * len(COLOURS) + COLOURS.index(name.split(" ")[0])] = 1
    return out
