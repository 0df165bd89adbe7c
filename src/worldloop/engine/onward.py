"""Long plans: imagined in chunks, each from the frames that were imagined before it.

Errors add up, as they do when a person plays. A model that reads what it does not imagine (a panorama, depth, the simulator)
could go on only with what was true at the start; it is asked for the whole plan at once instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from worldloop.core import ModelCard, Observation, Plan, Query, Rollout, WorldModel, derive_seed
from worldloop.core.errors import ModelError
from worldloop.engine.conformance.questions import prepare
from worldloop.engine.guard import check_rollout


@dataclass(frozen=True)
class Chunk:
    """One call of the model."""

    first: int
    """Index of its first action."""
    actions: int
    seed: int
    seconds: float
    """Of the call; its share, where several plans were imagined in one."""


@dataclass(frozen=True, eq=False)
class Imagined:
    """What a model answered to a long plan."""

    frames: tuple[Observation, ...]
    """One for each action."""
    chunks: tuple[Chunk, ...]
    whole: str
    """Why the plan was imagined at once; empty where the model went on from its own frames."""

    @property
    def seconds(self) -> float:
        """Model time."""
        return sum(c.seconds for c in self.chunks)


def imagine(
    model: WorldModel,
    queries: Sequence[Query],
    chunk: int,
    purpose: str,
    told: Callable[[int], None] = lambda done: None,
) -> list[Imagined]:
    """The frames of whole plans, in order; plans of several queries go on side by side, in calls of one batch each.

    Each chunk's seed is derived from the query's, the purpose and the chunk's first action. told: is called with the number
    of frames that all plans have by then. ModelError when the model breaks the contract; whatever it raises passes through.
    """
    drives = [_Drive(model, query, chunk, purpose) for query in queries]
    while waiting := [d for d in drives if not d.done]:
        asked = [d.question() for d in waiting]
        start = time.perf_counter()
        found = model.simulate([prepare(model, q) for q in asked])
        seconds = time.perf_counter() - start
        if len(found) != len(asked):
            name = model.card.name
            raise ModelError(f"model {name!r} gave {len(found)} rollouts for {len(asked)} queries")
        for drive, query, rollout in zip(waiting, asked, found):
            drive.take(query, check_rollout(query, rollout, model.card.name), seconds / len(asked))
        told(min(len(d.frames) if d.frames else 0 for d in drives))
    return [Imagined(tuple(d.frames), tuple(d.chunks), d.whole) for d in drives]


def unread(card: ModelCard, now: Observation) -> list[str]:
    """What a model reads and an observation does not show."""
    optional = ("panorama", "depth", "segmentation", "pose")
    shown = {"rgb", "text", *(n for n in optional if getattr(now, n) is not None), *now.extra}
    return sorted(set(card.reads) - shown)


class _Drive:
    """How far one plan has been imagined."""

    def __init__(self, model: WorldModel, query: Query, chunk: int, purpose: str) -> None:
        self.card, self.query, self.purpose = model.card, query, purpose
        self.whole = "it runs the simulator" if "simulator" in model.card.privileges else ""
        self.size = len(query.plan) if self.whole else min(chunk, len(query.plan))
        self.frames: list[Observation] = []
        self.chunks: list[Chunk] = []

    @property
    def done(self) -> bool:
        return len(self.frames) == len(self.query.plan)

    def question(self) -> Query:
        """The next chunk, from as much of what was seen or imagined as the card asks for."""
        plan, first = self.query.plan, len(self.frames)
        seen = (*self.query.history, *self.frames)[-self.card.history :]
        past = (*self.query.actions, *plan.actions[:first])
        return replace(
            self.query,
            history=seen,
            actions=past[max(0, len(past) - len(seen) + 1) :],
            plan=Plan(plan.vocabulary, plan.actions[first : first + self.size]),
            seed=derive_seed(self.query.seed, self.purpose, first),
        )

    def take(self, asked: Query, rollout: Rollout, seconds: float) -> None:
        # Only an answer tells what a model imagines besides pictures, and so whether it can go on from there.
        if not self.frames and self.size < len(self.query.plan) and (lost := self._lost(rollout)):
            self.whole, self.size = (
                f"it reads {', '.join(lost)}, which it does not imagine",
                len(self.query.plan),
            )
            return
        self.chunks.append(Chunk(len(self.frames), len(asked.plan), asked.seed, seconds))
        self.frames += rollout.frames

    def _lost(self, rollout: Rollout) -> list[str]:
        """What the model reads and its last frame does not have."""
        last, reads = rollout.frames[-1], [n for n in self.card.reads if n not in ("rgb", "text")]
        return [n for n in reads if last.extra.get(n, getattr(last, n, None)) is None]
