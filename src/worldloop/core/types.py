"""The vocabulary of worldloop. Each name has one meaning everywhere.

Frames of reference: the world is z-up, in metres. A pose is a 4x4 camera-to-world matrix whose camera
axes are x right, y down, z forward (the OpenCV convention).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from worldloop.core.actions import Action, Plan, Vocabulary

Array = np.ndarray
OPTIONAL_FIELDS = ("panorama", "depth", "segmentation", "pose", "text")


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What the agent sees at one moment."""

    rgb: Array
    """uint8 [H,W,3], sRGB."""
    panorama: Array | None = None
    """uint8 [h,2h,3], equirectangular; the middle column looks where the camera looks, left is left."""
    depth: Array | None = None
    """float32 [H,W], metres along the optical axis; 0 where nothing was hit."""
    segmentation: Array | None = None
    """int32 [H,W], instance ids; 0 is nothing."""
    pose: Array | None = None
    """float64 [4,4], camera-to-world."""
    text: str | None = None
    hfov_deg: float = 90.0
    """Horizontal field of view of `rgb`, degrees."""
    extra: Mapping[str, Array] = field(default_factory=dict)
    """Further named arrays. `panorama_depth` float32 [h,2h] is the range along each ray in metres;
    `target_box` float32 [4] is x0, y0, x1, y1 in pixels of `rgb`, `object_boxes` float32 [n,4] such boxes of what is in
    sight and `object_tracks` int32 [n] numbers that stay with a thing; `collided` bool [] says that the last
    action was blocked; `gripper` float64 [7] is where an arm feels its hand to be (x, y, z in metres, roll,
    pitch, yaw in degrees, opening 0..1)."""

    def without(self, *names: str) -> Observation:
        """A copy that lacks the named fields or extras."""
        gone: dict[str, Any] = {n: None for n in names if n in OPTIONAL_FIELDS}
        return replace(self, **gone, extra={k: v for k, v in self.extra.items() if k not in names})


@dataclass(frozen=True)
class Episode:
    """One start of a task, fixed before the run. JSON-serialisable throughout."""

    id: str
    task: str
    scene: str
    seed: int
    start: Mapping[str, Any]
    """`position` [x, y] in metres and `yaw_deg` (0 looks along +x, 90 along +y)."""
    goal: Mapping[str, Any]
    budget: int
    """Largest number of decisions."""


@runtime_checkable
class Simulator(Protocol):
    """A frozen copy of the environment's state that can be asked "what if". Privileged: it is the truth."""

    @property
    def key(self) -> str:
        """Identifies the state by content: equal keys give equal rollouts."""
        ...

    def rollout(self, plan: Plan) -> tuple[Observation, ...]:
        """The L true observations that the plan would bring; the environment itself does not move."""
        ...


@runtime_checkable
class RewardingSimulator(Simulator, Protocol):
    """A simulator of an environment that gives rewards."""

    def rewarded(self, plan: Plan) -> Rollout:
        """The frames of `rollout`, with the true `reward` and `done` of every action."""
        ...


class Environment(Protocol):
    """A world to act in."""

    vocabulary: Vocabulary

    def reset(self, episode: Episode) -> Observation:
        """Place the agent at the start of the episode."""
        ...

    def step(self, action: Action) -> Observation:
        """Carry out one action."""
        ...

    def simulator(self) -> Simulator:
        """A detached copy of the present state (privilege `simulator`)."""
        ...

    def close(self) -> None:
        """Release what the environment holds; safe to call twice."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One question to a world model: what will be seen if this plan is carried out from here?"""

    history: tuple[Observation, ...]
    """Observations so far, oldest first; the last one is now."""
    actions: tuple[Action, ...]
    """Actions between them: one fewer than observations, unless history was cut."""
    plan: Plan
    seed: int
    simulator: Simulator | None = None
    """Only filled for models whose card declares the privilege `simulator`."""
    alternatives: tuple[Plan, ...] = ()
    """The other candidates' plans; only filled for the privilege `other_plans`."""


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """A world model's answer: one predicted observation per action of the plan."""

    frames: tuple[Observation, ...]
    """A frame's `pose`, where the model knows it, is in the world for a model that may read poses
    (privilege `true_pose` or `simulator`), else relative to the present camera."""
    reward: Array | None = None
    """float32 [L], where the model has such a head."""
    done: Array | None = None
    """float32 [L], probability that the episode is over."""
    latent: Array | None = None
    seconds: float = 0.0
    """Model time of this rollout (its share, when it was part of a batch)."""


PRIVILEGES = {
    "simulator": "runs the simulator itself",
    "true_depth": "reads the simulator's depth",
    "true_pose": "reads the simulator's camera pose",
    "other_plans": "sees the other candidates' plans",
    "true_boxes": "boxes around things come from the simulator",
    "true_tracks": "which box shows the same thing again comes from the simulator",
    "oracle_stop": "the environment stops the agent at the goal",
}


@dataclass(frozen=True)
class ModelCard:
    """What a world model is, needs and may read."""

    name: str
    summary: str
    control: str
    """`none`, `text`, `camera`, `code`, `keys` or `vector`."""
    privileges: tuple[str, ...] = ()
    """Names of `PRIVILEGES`. The engine withholds everything that is not declared here."""
    imagines: bool = True
    """False only for `none`: the loop then skips simulation."""
    reads: tuple[str, ...] = ()
    """Optional observation fields and extras it needs besides `rgb`, such as `panorama`."""
    history: int = 1
    """How many past observations it reads."""
    weights_hash: str = ""
    licence: str = "Apache-2.0"
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""
    """Frame rate, resolution, motion easing, duration units: whatever a user must know."""


class WorldModel(Protocol):
    """A world model: a card and one method."""

    @property
    def card(self) -> ModelCard:
        """What it is, needs and may read."""
        ...

    def simulate(self, queries: Sequence[Query]) -> list[Rollout]:
        """One rollout per query, in order. A rollout depends on its query alone, never on the batch."""
        ...


@runtime_checkable
class SteppedModel(Protocol):
    """A world model that can also go on from where it stopped, because it keeps what it computed (keys and values, say).

    A state is whatever the model likes, and never changes: going on from it makes another one, so that one state may be
    gone on from any number of times, which is what a fork does. A state may tell its size in memory as `nbytes`.
    """

    def begin(self, vocabulary: Vocabulary, history: Sequence[Observation], actions: Sequence[Action]) -> Any:
        """The state after these observations (oldest first, the last one is now) and the actions between them."""
        ...

    def advance(self, steps: Sequence[tuple[Any, Plan, int]]) -> list[tuple[Rollout, Any]]:
        """For each state, plan and seed: the rollout and the state after it. Each depends on its own three alone."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A plan with its rollout; revision's scores stand in the `Decision`."""

    plan: Plan
    prior: float = 0.0
    """How much the proposer likes it; higher is better."""
    rollout: Rollout | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Belief:
    """What the answerer thinks after looking at its evidence."""

    answer: str | None
    confidence: float
    """Calibrated probability of `answer`."""
    ranking: tuple[tuple[str, float], ...] = ()
    """The most probable answers, best first."""
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What else a reader of the run may want, JSON-ready: where the confidence comes from, say."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What revision chose and why."""

    actions: tuple[Action, ...]
    """The actions to carry out; may differ from every candidate (a synthesised plan)."""
    chosen: int | None
    """Index of the chosen candidate, or None when the decision was synthesised."""
    scores: tuple[float | None, ...]
    reason: str
    """One of a few short phrases that a person can read."""
    stop: bool = False
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What else a reader of the run may want, JSON-ready: that a language model failed, say."""
