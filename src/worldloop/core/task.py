"""What a task is: episodes, an environment, what the agent is told, and how the outcome is scored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from worldloop.core.agent import Goal, Resource
from worldloop.core.types import Belief, Candidate, Environment, Episode, Observation


@dataclass(frozen=True)
class Budgets:
    """The settings a task is published with; each can be overridden by a run."""

    rollouts: int
    """M, plans for each decision."""
    horizon: int
    """L, actions in each plan."""
    execute: int
    """Actions of the chosen plan that are carried out."""
    budget: int
    """K, decisions in each episode."""
    confidence: float = 1.1
    """Answer as soon as the belief is this sure; above 1 never."""


@dataclass(frozen=True)
class Outcome:
    """How an episode went, as the task's scorer sees it."""

    belief: Belief | None
    stopped: bool
    """Whether the agent itself decided to stop."""
    steps: int
    path_length: float


@dataclass(frozen=True)
class Score:
    """What the task thinks of an outcome."""

    success: bool
    score: float
    metrics: Mapping[str, float] = field(default_factory=dict)


class Task(Protocol):
    """A fixed list of episodes in an environment, with a goal and a measure of success."""

    name: str
    version: str
    summary: str
    budgets: Budgets
    privileges: tuple[str, ...]
    agent_sees: tuple[str, ...]
    """Optional observation fields and extras that the agent may look at besides `rgb`."""
    provides: tuple[str, ...]
    """Optional observation fields and extras that its environment can produce; a model that reads others is refused."""
    default_agent: str
    resources: tuple[Resource, ...]
    """Opened before the first episode of a run and closed after its last, such as a judge that asks a server."""

    def episodes(self, split: str) -> list[Episode]:
        """The fixed list of a split; InputError for an unknown split."""
        ...

    def environment(self, needs: Collection[str] = ()) -> Environment:
        """A fresh environment; one per episode in flight. `needs` names the optional observation fields
        that somebody will read; it need not produce the others."""
        ...

    def goal(self, environment: Environment, episode: Episode) -> Goal:
        """What the agent is told at the start."""
        ...

    def observe(self, environment: Environment, episode: Episode, observation: Observation) -> Observation:
        """The observation with what the task adds to it, such as the target's box."""
        ...

    def imagined(
        self, environment: Environment, episode: Episode, now: Observation, candidates: Sequence[Candidate]
    ) -> list[Candidate]:
        """Candidates whose imagined frames carry what the task adds."""
        ...

    def done(self, environment: Environment, episode: Episode) -> bool:
        """Whether the environment itself ends the episode (an oracle stop, a success predicate)."""
        ...

    def score(self, environment: Environment, episode: Episode, outcome: Outcome) -> Score:
        """The measure of success at the end of the episode."""
        ...


@runtime_checkable
class MayLackSimulator(Protocol):
    """What a task has besides when its environment cannot always be simulated."""

    def no_simulator(self) -> str | None:
        """Why models that run the simulator cannot be used, as the end of a sentence; None when they can."""
        ...


@runtime_checkable
class AsksQuestions(Protocol):
    """What a task has besides when it asks a question."""

    def accepted_answers(self, episode: Episode) -> tuple[str, ...]:
        """Answers that count as right, the best first: for records and reports, never for the agent."""
        ...
