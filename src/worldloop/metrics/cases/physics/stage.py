"""Small stages with a few bodies on them, and how they move: MuJoCo under the laws that a stage states."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from worldloop.envs.tabletop.model import mujoco_module

FPS = 25.0
"""Frames for each second."""
TIMESTEP, SUBSTEPS = 0.0005, 80
"""Seconds of one step of the physics, and steps for each frame."""
CONTACT = 0.005
"""Seconds that two bodies touch as one bounces off the other; short, so that they hardly sink into one another."""
AXES = {"x": "1 0 0", "y": "0 1 0", "z": "0 0 1"}
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Body:
    """One thing on the stage. x is to the right of the picture, y away from the camera, z up; metres, kg, seconds."""

    name: str
    shape: str
    """`ball` or `block`."""
    half: Triple
    """Half its extent along each axis; a ball's radius, three times."""
    colour: Triple
    """sRGB in 0..1."""
    position: Triple
    """Of its middle at the beginning; hanging straight down for what swings."""
    tilt_deg: float = 0.0
    """Turn about y at the beginning; its own x then points down to the right. For what swings: how far it is pulled aside."""
    free: tuple[str, ...] = ()
    """How it can move: along its own `x`, `y`, `z` at the beginning, `turn` about y, or `swing` about a point above it."""
    speed: tuple[float, ...] = ()
    """One for each of `free` at the beginning."""
    mass: float = 1.0
    arm: float = 0.0
    """Length of the thin rod on which it swings."""
    lift: float = 0.0
    """Share of its weight that something invisible carries."""
    tracked: bool = True
    """Whether it is one of the bodies that the test is about; the rest is scenery."""


@dataclass(frozen=True)
class Touch:
    """Two things that feel each other; all others pass through one another."""

    first: str
    second: str
    """Names of bodies, or `floor`."""
    friction: float = 0.0
    """Of Coulomb."""
    bounce: float = 0.0
    """Speed after over speed before."""


@dataclass(frozen=True)
class Stage:
    """A test before it is run."""

    law: str
    """Name of what it is about."""
    bodies: tuple[Body, ...]
    touches: tuple[Touch, ...] = ()
    gravity: float = 9.81
    steps: int = 32
    """Frames after the present one."""
    look: str = "test"
    """Which split's table the floor is painted like."""
    prompt: str = ""
    """What happens, in words."""
    changes: tuple[str, ...] = ()
    """Ways in which its physics can be changed, beside those that every stage knows."""

    def index(self, name: str) -> int:
        """Position of a body."""
        return [b.name for b in self.bodies].index(name)

    @property
    def tracked(self) -> list[int]:
        """Positions of the bodies that the test is about."""
        return [i for i, b in enumerate(self.bodies) if b.tracked]

    def mirrored(self) -> Stage:
        """The same, left and right exchanged."""
        return replace(self, bodies=tuple(_mirrored(b) for b in self.bodies))


class State(NamedTuple):
    """Everything the future of a stage depends on."""

    places: np.ndarray
    """float64 [F], one for each freedom of each body."""
    speeds: np.ndarray
    """float64 [F]."""

    @property
    def key(self) -> str:
        """Equal keys mean equal states."""
        return hashlib.blake2b(self.places.tobytes() + self.speeds.tobytes(), digest_size=16).hexdigest()


class Motion(NamedTuple):
    """N + 1 moments, one frame apart; the first is the beginning."""

    poses: np.ndarray
    """float64 [N+1,B,3,4], body to world."""
    speeds: np.ndarray
    """float64 [N+1,B,3], m/s of the bodies' middles."""
    states: tuple[State, ...]

    def track(self, body: int) -> np.ndarray:
        """float64 [N+1,3]: a body's middle."""
        return self.poses[:, body, :, 3]


def beginning(stage: Stage) -> State:
    """The state that the bodies' fields describe."""
    places, speeds = list[float](), list[float]()
    for body in stage.bodies:
        places += [math.radians(body.tilt_deg) if axis == "swing" else 0.0 for axis in body.free]
        speeds += [*body.speed, *[0.0] * (len(body.free) - len(body.speed))]
    return State(np.array(places), np.array(speeds))


def move(stage: Stage, state: State, frames: int, pace: float = 1.0) -> Motion:
    """What happens in that many frames from a state; `pace` below 1 shows it slower. MissingExtraError without mujoco."""
    mujoco, model = mujoco_module(), _model(replace(stage, prompt="", look="test"))
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = state
    steps, count = max(1, round(SUBSTEPS * pace)), len(stage.bodies)
    poses, speeds, states = np.empty((frames + 1, count, 3, 4)), np.zeros((frames + 1, count, 3)), [state]
    velocity = np.zeros(6)
    for number in range(frames + 1):
        if number:
            mujoco.mj_step(model, data, steps)
            states.append(State(data.qpos.copy(), data.qvel.copy()))
        mujoco.mj_kinematics(model, data)  # as of now, not of a step ago
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        poses[number, :, :, :3] = data.xmat[1:].reshape(count, 3, 3)
        poses[number, :, :, 3] = data.xpos[1:]
        for body in range(count):
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_BODY, body + 1, velocity, 0)
            speeds[number, body] = velocity[3:]
    return Motion(poses, speeds, tuple(states))


@lru_cache(maxsize=64)
def _model(stage: Stage) -> Any:
    rows = [
        f'<mujoco><option timestep="{TIMESTEP}" gravity="0 0 {-stage.gravity!r}" cone="elliptic" impratio="10"/>',
        '<default><geom contype="0" conaffinity="0"/></default><worldbody>',
        '<geom name="floor" type="plane" size="5 5 1"/>',
    ]
    for body in stage.bodies:
        tilt = 0.0 if "swing" in body.free else body.tilt_deg
        rows.append(
            f'<body name="{body.name}" pos="{_text(body.position)}" euler="0 {tilt!r} 0" gravcomp="{body.lift!r}">'
        )
        for axis in body.free:
            if axis in AXES:
                rows.append(f'<joint type="slide" axis="{AXES[axis]}"/>')
            else:
                rows.append(f'<joint type="hinge" axis="0 1 0" pos="0 0 {body.arm!r}"/>')
        kind, size = ("sphere", body.half[:1]) if body.shape == "ball" else ("box", body.half)
        rows.append(
            f'<geom name="{body.name}" type="{kind}" size="{_text(size)}" mass="{body.mass!r}"/></body>'
        )
    rows.append("</worldbody><contact>")
    rows += [_pair(touch) for touch in stage.touches]
    rows.append("</contact></mujoco>")
    return mujoco_module().MjModel.from_xml_string("".join(rows))


def _pair(touch: Touch) -> str:
    # A spring and a damper: of a linear one, the damping ratio that gives back this share of the speed.
    stiffness = (math.pi / CONTACT) ** 2
    loss = -math.log(touch.bounce) if touch.bounce > 0 else math.inf
    ratio = loss / math.hypot(math.pi, loss) if math.isfinite(loss) else 1.0
    damping = 2 * ratio * math.sqrt(stiffness)
    friction = f"{touch.friction!r} {touch.friction!r} 0 0 0"
    return (
        f'<pair geom1="{touch.first}" geom2="{touch.second}" condim="{3 if touch.friction else 1}" friction="{friction}" '
        f'solref="{-stiffness!r} {-damping!r}" solimp="0.99 0.99 0.001"/>'
    )


def _text(values: Sequence[float]) -> str:
    return " ".join(repr(float(v)) for v in values)


def _mirrored(body: Body) -> Body:
    speed = tuple(
        -v if axis in ("x", "turn", "swing") else v for axis, v in zip(body.free, body.speed, strict=False)
    )
    x, y, z = body.position
    return replace(body, position=(-x, y, z), tilt_deg=-body.tilt_deg, speed=speed)
