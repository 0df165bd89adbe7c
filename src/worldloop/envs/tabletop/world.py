"""The tabletop as an environment: command the arm, look, keep and restore states, and ask "what if"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldloop.core import Action, Episode, InputError, Observation, Plan, Vocabulary
from worldloop.envs.tabletop.cameras import THIRD, WRIST
from worldloop.envs.tabletop.commands import carry_out, pose_of, vocabulary_of
from worldloop.envs.tabletop.layout import Layout, load_layout
from worldloop.envs.tabletop.physics import Physics, TableState
from worldloop.envs.tabletop.render import TableRenderer


@dataclass(frozen=True, slots=True)
class View:
    """What is rendered after every command."""

    size: int = 128
    """Side of all pictures, pixels."""
    depth: bool = True
    segmentation: bool = True
    wrist: bool = False
    """Whether the wrist camera's `wrist_rgb`, `wrist_depth` and `wrist_segmentation` are added."""


class _Stage:
    """Physics and renderer of one layout. Not for sharing between threads."""

    def __init__(self, layout: Layout, view: View) -> None:
        self.physics, self.view = Physics(layout), view
        self.renderer = TableRenderer(layout)

    def observe(self) -> Observation:
        """Everything the cameras see now, and where the hand feels to be."""
        view, physics = self.view, self.physics
        self.renderer.move(physics)
        frame = self.renderer.draw(THIRD.matrix, view.size, THIRD.hfov_deg)
        extra = {"gripper": pose_of(physics)}
        if view.wrist:
            pose = physics.body_pose("hand") @ WRIST.matrix
            near = self.renderer.draw(pose, view.size, WRIST.hfov_deg)
            extra["wrist_rgb"] = near.rgb
            if view.depth:
                extra["wrist_depth"] = near.depth
            if view.segmentation:
                extra["wrist_segmentation"] = near.segmentation
        return Observation(
            frame.rgb,
            depth=frame.depth if view.depth else None,
            segmentation=frame.segmentation if view.segmentation else None,
            pose=THIRD.matrix,
            hfov_deg=THIRD.hfov_deg,
            extra=extra,
        )


@dataclass(frozen=True, slots=True)
class TabletopSimulator:
    """A frozen state of a `TabletopWorld`; independent of it and usable from any thread."""

    layout: Layout
    view: View
    mode: str
    state: TableState

    @property
    def key(self) -> str:
        """Content key: layout, cameras, kind of commands and state."""
        return f"tabletop:{self.layout!r}:{self.view!r}:{self.mode}:{self.state.key}"

    def rollout(self, plan: Plan) -> tuple[Observation, ...]:
        """The L true observations of a plan, one after each command. InputError for another vocabulary."""
        stage = _Stage(self.layout, self.view)
        stage.physics.restore(self.state)
        frames = []
        for action in plan.actions:
            carry_out(stage.physics, self.mode, action)
            frames.append(stage.observe())
        return tuple(frames)


class TabletopWorld:
    """A Franka arm at a table: the `Environment` of manipulation tasks."""

    def __init__(
        self,
        commands: str = "waypoint",
        size: int = 128,
        depth: bool = True,
        segmentation: bool = True,
        wrist: bool = False,
    ) -> None:
        """commands: `waypoint`, `absolute` or `delta` (see `commands.VOCABULARIES`). size: side in pixels.

        Raises InputError for unknown commands; MissingExtraError at the first reset without mujoco.
        """
        self.vocabulary: Vocabulary = vocabulary_of(commands)
        self.mode, self.view = commands, View(size, depth, segmentation, wrist)
        self._stage: _Stage | None = None

    @property
    def physics(self) -> Physics:
        """The state of the world (privileged); InputError before the first reset."""
        return self._ready().physics

    @property
    def layout(self) -> Layout:
        """What stands where at the start (privileged)."""
        return self.physics.layout

    def reset(self, episode: Episode) -> Observation:
        """Lay the table as the episode's scene says; the arm is at rest. InputError for an unknown scene."""
        self._stage = _Stage(load_layout(episode.scene), self.view)
        return self._stage.observe()

    def step(self, action: Action) -> Observation:
        """Carry out one command; InputError when it is not of this world's vocabulary."""
        carry_out(self.physics, self.mode, action)
        return self._ready().observe()

    def state(self) -> TableState:
        """A copy of the whole state (privileged)."""
        return self.physics.state()

    def restore(self, state: TableState) -> Observation:
        """Put back a state of the present layout; what follows is the same to the last bit."""
        self.physics.restore(state)
        return self._ready().observe()

    def simulator(self) -> TabletopSimulator:
        """A detached copy of the present state (privilege `simulator`)."""
        return TabletopSimulator(self.layout, self.view, self.mode, self.state())

    def close(self) -> None:
        """Let go of the state; safe to call twice."""
        self._stage = None

    def _ready(self) -> _Stage:
        if self._stage is None:
            raise InputError("reset the world before using it")
        return self._stage


def gripper_pose(observation: Observation) -> np.ndarray:
    """float64 [7]: x, y, z (m), roll, pitch, yaw (deg), opening (0..1) that the arm feels."""
    if "gripper" not in observation.extra:
        raise InputError("this observation does not say where the gripper is")
    return np.asarray(observation.extra["gripper"], float)
