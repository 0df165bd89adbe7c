"""The navigation vocabulary and the camera path that a plan intends.

Primitives and step sizes follow World-In-World (arXiv 2510.18135): 0.2 m forward, 22.5 degrees of turn.
"""

from __future__ import annotations

import numpy as np

from worldloop.core import Plan, Primitive, Vocabulary
from worldloop.core.errors import InputError

NAVIGATION = Vocabulary(
    "navigation",
    (
        Primitive("move_forward", forward=0.2),
        Primitive("turn_left", yaw_deg=22.5),
        Primitive("turn_right", yaw_deg=-22.5),
        Primitive("stop", stops=True),
    ),
)


def intended_path(plan: Plan, x: float = 0.0, y: float = 0.0, yaw_deg: float = 0.0) -> np.ndarray:
    """The floor path a plan of primitives asks for, ignoring obstacles.

    Returns float64 [L+1, 3]: x and y in metres and yaw in degrees (not wrapped), the start pose first.
    Within one primitive the turn comes before the translation.
    """
    if not plan.vocabulary.discrete:
        raise InputError(f"{plan.vocabulary.name!r} is continuous; only named primitives make a camera path")
    path = np.empty((len(plan) + 1, 3))
    path[0] = x, y, yaw_deg
    for i, action in enumerate(plan.actions):
        move = plan.vocabulary.primitive(action)
        x, y, yaw_deg = path[i]
        yaw_deg += move.yaw_deg
        c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
        path[i + 1] = x + c * move.forward - s * move.left, y + s * move.forward + c * move.left, yaw_deg
    return path


def camera_matrix(x: float, y: float, height: float, yaw_deg: float) -> np.ndarray:
    """Camera-to-world float64 [4,4] of a level camera (x right, y down, z forward)."""
    c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    pose = np.eye(4)
    pose[:3, 0] = s, -c, 0.0
    pose[:3, 1] = 0.0, 0.0, -1.0
    pose[:3, 2] = c, s, 0.0
    pose[:3, 3] = x, y, height
    return pose


def yaw_of(pose: np.ndarray) -> float:
    """Heading in degrees of a camera-to-world matrix; 0 looks along +x, 90 along +y."""
    return float(np.degrees(np.arctan2(pose[1, 2], pose[0, 2])))
