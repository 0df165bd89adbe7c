"""7-DoF commands: what x, y, z, roll, pitch, yaw and grip mean to this arm, and how one is carried out."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial.transform import Rotation

from worldloop.actions.gripper import gripper_delta_vocabulary, gripper_vocabulary
from worldloop.core import Action, InputError, Vocabulary
from worldloop.envs.tabletop.physics import EASE, SPEED, TURN, Physics

DOWN = Rotation.from_euler("x", 180, degrees=True)
"""The hand straight down with its fingers opening along y: roll, pitch and yaw are turns from there."""
LOWER, UPPER = (0.30, -0.35, 0.005), (0.72, 0.35, 0.45)
VOCABULARIES: dict[str, Vocabulary] = {
    "waypoint": gripper_vocabulary(LOWER, UPPER, tilt_deg=30.0, yaw_deg=90.0, name="gripper-waypoint"),
    "absolute": gripper_vocabulary(LOWER, UPPER, tilt_deg=30.0, yaw_deg=90.0),
    "delta": gripper_delta_vocabulary(SPEED, math.degrees(TURN)),
}
"""`waypoint`: go there, however long it takes (up to 3 s). `absolute`: one command of 0.05 s towards there.
`delta`: one command of 0.05 s relative to the present setpoint."""
LONGEST, LINGER = 60, 10
"""Commands of 0.05 s that a waypoint may take, and those it may wait for the hand after the setpoint is there."""
LOW = 0.06
"""Metres above the table below which a waypoint is approached slowly: the hand is among the things."""
NEAR = 0.004
"""Metres at which the hand counts as arrived."""


def vocabulary_of(mode: str) -> Vocabulary:
    """The vocabulary of a mode; InputError for an unknown one."""
    if mode not in VOCABULARIES:
        raise InputError(f"the arm takes commands as {', '.join(VOCABULARIES)}, not {mode!r}")
    return VOCABULARIES[mode]


def rotation_of(angles: np.ndarray) -> Rotation:
    """The hand's rotation for roll, pitch, yaw in degrees (turns about the world's x, then y, then z)."""
    return Rotation.from_euler("xyz", angles, degrees=True) * DOWN


def pose_of(physics: Physics) -> np.ndarray:
    """float64 [7]: where the hand is, as an absolute command; the grip is the opening in 0..1."""
    angles = (physics.tip_rotation * DOWN.inv()).as_euler("xyz", degrees=True)
    return np.array([*physics.tip, *angles, np.clip(physics.opening / 0.08, 0, 1)])


def carry_out(physics: Physics, mode: str, action: Action) -> None:
    """Carry out one command. InputError when it is not of the mode's vocabulary."""
    values = np.array(vocabulary_of(mode).validate(action).values, float)
    grip = float(values[6])
    if mode == "delta":
        goal, turn = physics.setpoint
        place = np.clip(goal + values[:3], LOWER, UPPER)
        physics.tick(place, Rotation.from_euler("xyz", values[3:6], degrees=True) * turn, grip)
        return
    place, rotation = values[:3], rotation_of(values[3:6])
    if mode == "absolute":
        physics.tick(place, rotation, grip)
        return
    waited = 0
    low = max(float(place[2]), float(physics.setpoint[0][2])) < LOW
    speed = SPEED * (0.4 if low else 1.0)
    for number in range(LONGEST):
        physics.tick(place, rotation, grip, speed, EASE)
        goal, turn = physics.setpoint
        there = np.linalg.norm(goal - place) < 1e-6 and (rotation * turn.inv()).magnitude() < 1e-6
        waited += bool(there)
        still = physics.finger_speed < 0.005 and np.linalg.norm(physics.tip - place) < NEAR
        if there and (waited > LINGER or (still and number >= 5)):
            return
