"""What an agent is made of, and the situation in which it is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from worldloop.core.actions import Action, Vocabulary
from worldloop.core.types import Belief, Candidate, Decision, Observation


@dataclass(frozen=True, eq=False)
class Goal:
    """What the agent is told to do."""

    text: str
    """The instruction in words."""
    image: np.ndarray | None = None
    """uint8 [H,W,3], the view to reach (image-goal navigation)."""
    classes: tuple[str, ...] = ()
    """The possible answers, for tasks that ask for one of a list."""


@dataclass(eq=False)
class Situation:
    """Everything a proposer, reviser or answerer may look at; one per episode, renewed every decision."""

    goal: Goal
    vocabulary: Vocabulary
    budget: int
    rollouts: int
    """M, how many plans to propose."""
    horizon: int
    """L, how many actions a plan has."""
    execute: int
    """How many actions of the chosen plan will be carried out."""
    compute: Callable[..., Awaitable[Any]]
    """`await compute(function, *args)` runs blocking perception in the engine's worker pool."""
    draw: Callable[..., np.random.Generator]
    """`draw("purpose")`: a generator derived from run seed, episode, decision and purpose."""
    history: list[Observation] = field(default_factory=list)
    """Real observations, oldest first; the last one is now."""
    actions: list[Action] = field(default_factory=list)
    """Actions carried out between them."""
    decision: int = 0
    memory: dict[str, Any] = field(default_factory=dict)
    """The agent's own notes; they live as long as the episode."""
    belief: Belief | None = None
    episode: str = ""
    """Id of the episode; empty outside a run."""

    @property
    def observation(self) -> Observation:
        """What is seen now."""
        return self.history[-1]


class Proposer(Protocol):
    """Proposes M plans. It never sees what a world model imagines: proposals are the same without one."""

    async def propose(self, situation: Situation) -> list[Candidate]:
        """Up to `situation.rollouts` plans of `situation.horizon` actions, the preferred one first."""
        ...


class Reviser(Protocol):
    """Turns candidates, imagined or not, into a decision."""

    async def revise(self, situation: Situation, candidates: Sequence[Candidate]) -> Decision:
        """With no rollouts to look at, it must take the proposer's first plan."""
        ...


class Answerer(Protocol):
    """Names or answers from evidence."""

    async def answer(self, situation: Situation, imagined: Sequence[Candidate] = ()) -> Belief:
        """The belief from all real views so far and, where given, from imagined ones."""
        ...


@runtime_checkable
class Resource(Protocol):
    """What an agent or a task holds for the length of a run, such as the connection to a model server.

    One with an attribute `per_process = True` keeps nothing that has to be counted or written once for the whole run: each
    process that plays episodes may open one of its own. All others need the local executor.
    """

    async def open(
        self, folder: Path, spec: Mapping[str, Any], keep_frame: Callable[[np.ndarray], str]
    ) -> None:
        """Get ready, in the event loop of the run. `folder` and `spec` are the run's own, `keep_frame` stores
        a uint8 image there and returns its hash. A run that is resumed opens its resources again."""
        ...

    async def close(self) -> None:
        """Let go; called once for each `open` that returned, however the run ends."""
        ...


@dataclass(frozen=True, eq=False)
class Agent:
    """A proposer, a reviser and, for tasks that ask something, an answerer."""

    name: str
    summary: str
    proposer: Proposer
    reviser: Reviser
    answerer: Answerer | None = None
    reads: tuple[str, ...] = ()
    """Optional observation fields it looks at besides what the task shows everybody."""
    privileges: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    """Constants that the result depends on; part of the run's identity."""
    resources: tuple[Resource, ...] = ()
    """Opened before the first episode of a run and closed after its last."""
