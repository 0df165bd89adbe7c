"""What is truly known of a physics test: constants, tracks, and how its bodies can be recognised."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from worldloop.metrics.cases.physics.picture import CAMERA, SIZE
from worldloop.metrics.cases.physics.stage import FPS, Motion, Stage
from worldloop.metrics.shared.bodies import lift, reference

HIDDEN, SEEN, BACK = 0.02, 0.25, 0.9
"""Shares of a body's largest visible area: below the first it is out of sight, from the second on it has a place in the picture,
and from the third on it is wholly back."""


def law_of(stage: Stage, motion: Motion, frames: np.ndarray, segmentation: np.ndarray) -> dict[str, Any]:
    """The `law` of a clip. motion, frames uint8 [T+1,H,W,3] and segmentation int32 [T+1,H,W] from the present moment on.

    `name`; `fps`; `camera` (a `Camera`); `bodies`, a list with for each `name`, `half` (metres), `mass` (kg), `chroma`
    (its colour as in `shared.bodies`), `area` (pixels, the largest in the clip) and `plane` (y in metres of the upright
    plane in which its visible middle moves); `constants` by name; `tracks` with `metres` float64 [T+1,B,3], `pixels` float64
    [T+1,B,2] (of what is seen; NaN where that is too little) and `area` float64 [T+1,B].
    """
    which = stage.tracked
    inside = np.stack([segmentation == b + 1 for b in which], axis=1)  # t b h w
    area = inside.sum(axis=(2, 3)).astype(float)
    largest = area.max(axis=0)
    grid = np.arange(SIZE) + 0.5
    with np.errstate(invalid="ignore"):
        pixels = np.stack([inside.sum(axis=2) @ grid, inside.sum(axis=3) @ grid], axis=-1) / area[..., None]
    pixels[area < SEEN * largest] = np.nan
    metres = motion.poses[:, which][..., 3]
    bodies = [
        {
            "name": stage.bodies[b].name,
            "half": stage.bodies[b].half,
            "mass": stage.bodies[b].mass,
            "chroma": reference(frames, inside[:, k]),
            "area": float(largest[k]),
            "plane": _plane(pixels[:, k], metres[:, k], stage.bodies[b].half[1]),
        }
        for k, b in enumerate(which)
    ]
    return {
        "name": stage.law,
        "fps": FPS,
        "camera": CAMERA,
        "bodies": bodies,
        "constants": CONSTANTS[stage.law](stage, motion, area / largest),
        "tracks": {"metres": metres, "pixels": pixels, "area": area},
    }


def _plane(pixels: np.ndarray, metres: np.ndarray, half: float) -> float:
    """Where the visible middle is in depth: of a block seen from the front, before its true middle."""
    seen = ~np.isnan(pixels[:, 0])
    if not seen.any():
        return 0.0
    best = (math.inf, 0.0)
    for y in np.linspace(-half, half, 21):
        apart = lift(pixels[seen], CAMERA, float(y), (SIZE, SIZE)) - metres[seen][:, [0, 2]]
        best = min(best, (float(apart.var(axis=0).sum()), float(y)))
    return best[1]


def _gravity(stage: Stage, motion: Motion, seen: np.ndarray) -> dict[str, Any]:
    return {"gravity": stage.gravity, "until": _airborne(stage, motion)}


def _airborne(stage: Stage, motion: Motion) -> int:
    """How many moments, the present one included, come before the ball meets the floor."""
    gained = np.diff(motion.speeds[:, 0, 2]) + stage.gravity / FPS
    met = gained > 0.1 * stage.gravity / FPS
    return 1 + int(met.argmax()) if met.any() else len(motion.poses)


def _friction(stage: Stage, motion: Motion, seen: np.ndarray) -> dict[str, Any]:
    return {"deceleration": stage.touches[0].friction * stage.gravity}


def _incline(stage: Stage, motion: Motion, seen: np.ndarray) -> dict[str, Any]:
    turn, friction = math.radians(stage.bodies[0].tilt_deg), stage.touches[0].friction
    pull = stage.gravity * (abs(math.sin(turn)) - friction * math.cos(turn))
    side = math.copysign(1.0, turn)
    return {"acceleration": pull, "direction": (side * math.cos(turn), -abs(math.sin(turn)))}


def _restitution(stage: Stage, motion: Motion, seen: np.ndarray) -> dict[str, Any]:
    ground = stage.bodies[0].half[0]
    height = motion.track(0)[:, 2] - ground + motion.speeds[:, 0, 2] ** 2 / (2 * stage.gravity)
    hit = _airborne(stage, motion)
    again = height[min(hit + 1, len(height) - 1)]  # a frame later: the contact itself takes a little
    return {"restitution": math.sqrt(again / height[0]), "ground": ground, "height": float(height[0])}


def _momentum(stage: Stage, motion: Motion, seen: np.ndarray) -> dict[str, Any]:
    hit = np.abs(motion.speeds[:, 1, 0]) > 0.05
    return {"after": int(hit.argmax()), "speeds": tuple(float(v) for v in motion.speeds[-1, :2, 0])}


def _permanence(stage: Stage, motion: Motion, seen: np.ndarray) -> dict[str, Any]:
    """When it must be out of sight, and when wholly back."""
    hidden = seen[:, 0] < HIDDEN
    back = (seen[:, 0] > BACK) & (np.arange(len(seen)) > (hidden.argmax() if hidden.any() else len(seen)))
    return {"hidden": hidden, "back": back}


def _nothing(stage: Stage, motion: Motion, seen: np.ndarray) -> dict[str, Any]:
    return {}


def _period(stage: Stage, motion: Motion, seen: np.ndarray) -> dict[str, Any]:
    ball = stage.bodies[0]
    # Amplitude from the energy, so that it does not matter at which point of the swing the clip begins.
    angle, speed = motion.states[0].places[0], motion.states[0].speeds[0]
    length = ball.arm + 0.4 * ball.half[0] ** 2 / ball.arm
    swing = math.acos(math.cos(angle) - 0.5 * length * speed**2 / stage.gravity)
    period = 2 * math.pi * math.sqrt(length / stage.gravity) * (1 + swing**2 / 16 + 11 * swing**4 / 3072)
    x, _, z = ball.position
    return {"period": period, "swing": swing, "pivot": (x, z + ball.arm)}


CONSTANTS: dict[str, Callable[[Stage, Motion, np.ndarray], dict[str, Any]]] = {
    "gravity": _gravity,
    "friction": _friction,
    "incline": _incline,
    "restitution": _restitution,
    "momentum": _momentum,
    "permanence": _permanence,
    "size": _nothing,
    "support": _nothing,
    "period": _period,
}
"""What is true of each law, from the stage, its motion and the share of each body that is in sight [T+1,B]."""
