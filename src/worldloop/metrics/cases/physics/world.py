"""A stage as a world that can be asked what comes next, under its own laws or changed ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from worldloop.core import InputError, Observation, Plan, Primitive, Vocabulary
from worldloop.metrics.cases.physics.picture import StageRenderer
from worldloop.metrics.cases.physics.stage import Body, Stage, State, Touch, move

WAIT = Vocabulary("wait", (Primitive("wait"),))
"""Nothing is done: each action lets one frame go by (1/25 s), and the camera stands still."""
EVERYWHERE = ("shrink", "slow-motion")
"""Changes that every stage knows, beside its own."""
GONE = 0.02
"""Share of its size below which a body is not drawn."""


@dataclass(frozen=True, eq=False)
class StageSimulator:
    """A frozen moment of a stage."""

    stage: Stage
    state: State

    @property
    def key(self) -> str:
        """Content key: the stage with all its constants, and the state."""
        return f"stage:{self.stage!r}:{self.state.key}"

    def rollout(self, plan: Plan) -> tuple[Observation, ...]:
        """What is seen after each action; InputError for a plan of another vocabulary than `WAIT`."""
        if plan.vocabulary != WAIT:
            raise InputError(
                f"nothing can be done on this stage but wait; the plan is of {plan.vocabulary.name!r}"
            )
        return self.changed("", 0.0, len(plan))

    def changed(
        self, change: str, strength: float, frames: int, hidden: np.ndarray | None = None
    ) -> tuple[Observation, ...]:
        """What is seen if physics is changed from here on.

        gravity: down to 0.2 of it. friction: up to twice. restitution: up to 0.97. mass: of the body that is hit, up to
        four times. pass-through: bodies do not feel one another. float: nothing falls. vanish: what was hidden
        comes back smaller, or not at all. shrink: bodies become smaller, down to 0.4 of their size. slow-motion: down
        to 0.4 of the pace. hidden: bool [frames], when the body is out of sight. InputError for a change that this
        stage does not know.
        """
        known = (*self.stage.changes, *EVERYWHERE)
        if change and change not in known:
            raise InputError(f"this stage cannot be changed in {change!r}; it can in {', '.join(known)}")
        pace = 1 - 0.6 * strength if change == "slow-motion" else 1.0
        stage = _other_laws(self.stage, change, strength)
        poses = move(stage, self.state, frames, pace).poses[1:]
        if change == "pass-through":
            apart = tuple(t for t in stage.touches if "floor" in (t.first, t.second))
            through = move(replace(stage, touches=apart), self.state, frames).poses[1:]
            # Rigid motions that differ in place alone: what is between them is one.
            poses = poses + strength * (through - poses)
        scale = np.ones(poses.shape[:2])
        if change == "shrink":
            scale[:, stage.tracked] -= 0.6 * strength * (np.arange(1, frames + 1) / frames)[:, None]
        if change == "vanish" and hidden is not None and hidden.any():
            scale[int(hidden.argmax()) :, stage.tracked] -= strength
        return _seen(self.stage, poses, scale)


def _other_laws(stage: Stage, change: str, strength: float) -> Stage:
    if change == "gravity":
        return replace(stage, gravity=stage.gravity * (1 - 0.8 * strength))
    if change in ("friction", "restitution"):
        return replace(stage, touches=tuple(_other_touch(t, change, strength) for t in stage.touches))
    if change in ("float", "mass"):
        return replace(stage, bodies=tuple(_other_body(b, change, strength) for b in stage.bodies))
    return stage


def _other_touch(touch: Touch, change: str, strength: float) -> Touch:
    if change == "friction":
        return replace(touch, friction=touch.friction * (1 + strength))
    return replace(touch, bounce=touch.bounce + (0.97 - touch.bounce) * strength)


def _other_body(body: Body, change: str, strength: float) -> Body:
    if change == "float":
        return replace(body, lift=strength) if body.tracked else body
    return replace(body, mass=body.mass * (1 + 3 * strength)) if body.name.startswith("second") else body


def _seen(stage: Stage, poses: np.ndarray, scale: np.ndarray) -> tuple[Observation, ...]:
    """poses: [N,B,3,4]. scale: [N,B]; a smaller body stands on what it stood on."""
    renderer = StageRenderer(stage)
    swings = np.array(["swing" in b.free for b in stage.bodies])
    drop = np.array([b.half[2] for b in stage.bodies]) * ~swings
    seen = list[Observation]()
    for pose, size in zip(poses, scale):
        if (size == 1).all():
            seen.append(renderer.look(pose))
            continue
        pose = pose.copy()
        pose[:, 2, 3] -= (1 - size) * drop
        pose[size < GONE, 2, 3] = -50.0
        seen.append(renderer.look(pose, np.maximum(size, GONE)))
    return tuple(seen)


def look_back(stage: Stage, states: Sequence[State]) -> tuple[Observation, ...]:
    """What was seen at moments of a stage."""
    poses = np.concatenate([move(stage, state, 0).poses for state in states])
    return _seen(stage, poses, np.ones(poses.shape[:2]))


def disturbed(simulator: StageSimulator, random: np.random.Generator) -> StageSimulator:
    """The same moment with what cannot be known from pictures a little different: speeds and constants by some percent."""
    stage, state = simulator.stage, simulator.state
    touches = tuple(
        replace(
            t,
            friction=t.friction * (1 + 0.03 * random.standard_normal()),
            bounce=min(0.99, t.bounce * (1 + 0.02 * random.standard_normal())),
        )
        for t in stage.touches
    )
    gravity = stage.gravity * (1 + 0.01 * random.standard_normal())
    speeds = state.speeds * (1 + 0.015 * random.standard_normal(len(state.speeds)))
    return StageSimulator(replace(stage, touches=touches, gravity=gravity), State(state.places, speeds))
