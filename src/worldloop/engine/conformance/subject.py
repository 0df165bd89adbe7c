"""The model under test, what it was asked, and how answers are compared."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from worldloop.core import ModelCard, Plan, Query, Rollout, WorldModel
from worldloop.core.errors import ModelError
from worldloop.engine.conformance.questions import make_queries, prepare
from worldloop.engine.conformance.report import CheckReport, Skipped
from worldloop.engine.guard import observation_digest


@dataclass
class Subject:
    """A model and the questions to it."""

    model: WorldModel
    scene: str
    horizon: int
    """Actions in a plan."""
    count: int
    """Questions."""
    report: CheckReport
    raw: list[Query] = field(default_factory=list)
    """The questions with everything in them."""
    queries: list[Query] = field(default_factory=list)
    """The same as the model is asked them."""
    digests: list[bytes] = field(default_factory=list)
    """Of what is passed in, before anything is asked."""
    answers: list[Rollout] = field(default_factory=list)
    """To `queries`, asked together."""
    doubled: Rollout | None = None
    """To the first query with its plan twice over."""
    seconds_alone: float | None = None
    """For one rollout, asked alone."""
    memory: dict[str, float] = field(default_factory=dict)
    """Bytes at the start, by kind of memory."""

    @property
    def card(self) -> ModelCard:
        """The model's."""
        return self.model.card

    @property
    def lanes(self) -> int:
        """How many calls at once the model says it takes."""
        return int(getattr(self.model, "lanes", 1))

    def draw(self) -> None:
        """Make the questions."""
        self.raw = make_queries(self.model, self.scene, self.horizon, self.count)
        self.queries = [prepare(self.model, q) for q in self.raw]
        self.digests = [query_digest(q) for q in self.queries]

    def one(self, query: Query) -> Rollout:
        """The answer to one question, asked alone."""
        found = self.model.simulate([query])
        assert len(found) == 1, f"{len(found)} rollouts for 1 query"
        return found[0]

    def if_it_can(self, query: Query) -> Rollout:
        """The same; Skipped when the model refuses the question with a ModelError."""
        try:
            return self.one(query)
        except ModelError as error:
            raise Skipped(f"refused: {error}") from None


def counted(query: Query, rollout: Rollout) -> Rollout:
    """The rollout itself; AssertionError unless it has a frame for each action."""
    wanted, got = len(query.plan), len(rollout.frames)
    assert got == wanted, f"{got} frames for a plan of {wanted} actions"
    return rollout


def shaped(query: Query, rollout: Rollout) -> Rollout:
    """The rollout itself; AssertionError unless its pictures are uint8 of the observation's size."""
    shape = query.history[-1].rgb.shape
    for i, frame in enumerate(rollout.frames):
        assert frame.rgb.dtype == np.uint8 and frame.rgb.shape == shape, (
            f"frame {i} is {frame.rgb.dtype}{list(frame.rgb.shape)}, expected uint8{list(shape)}"
        )
    return rollout


def resized(query: Query, length: int) -> Query:
    """The query with plans of another length: cut off, or begun again from the start."""

    def fit(plan: Plan) -> Plan:
        return replace(plan, actions=(plan.actions * (length // len(plan) + 1))[:length])

    return replace(query, plan=fit(query.plan), alternatives=tuple(map(fit, query.alternatives)))


def past_cut(query: Query, count: int) -> Query:
    """The query with the last `count` observations and the actions between them."""
    return replace(
        query, history=query.history[-count:], actions=query.actions[-(count - 1) :] if count > 1 else ()
    )


def query_digest(query: Query) -> bytes:
    """Identifies what was seen by content."""
    return b"".join(map(observation_digest, query.history))


def same(a: Rollout, b: Rollout) -> bool:
    """Whether two rollouts are equal in all but time."""
    if len(a.frames) != len(b.frames):
        return False
    frames = all(observation_digest(x) == observation_digest(y) for x, y in zip(a.frames, b.frames))
    return frames and all(_heads_equal(getattr(a, n), getattr(b, n)) for n in ("reward", "done", "latent"))


def _heads_equal(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return a is b
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()


def difference(a: Rollout, b: Rollout) -> str:
    """How far the pictures of two rollouts are apart, in words; over the frames that both have."""
    if len(a.frames) != len(b.frames):
        return f"{len(a.frames)} and {len(b.frames)} frames"
    pairs = [(x.rgb.astype(int), y.rgb.astype(int)) for x, y in zip(a.frames, b.frames)]
    if any(x.shape != y.shape for x, y in pairs):
        return "in the size of the pictures"
    apart = np.concatenate([np.abs(x - y).ravel() for x, y in pairs])
    if not apart.any():
        return "in what stands beside the pictures"
    return f"by up to {apart.max()} of 255 levels, in {100 * np.mean(apart > 0):.2g} % of the values"
