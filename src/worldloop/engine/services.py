"""What all episodes of a run share: a pool for blocking work, and a world model that is asked in batches."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from worldloop.core import ModelCard, Observation, Query, Rollout, WorldModel
from worldloop.core.errors import ModelError
from worldloop.engine.batching import Batcher, Question
from worldloop.engine.cache import RolloutCache
from worldloop.engine.guard import check_rollout, observation_digest, only


def worker_count() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class Clock:
    """Seconds of work by phase, for one decision or one episode. Waiting in a queue is not work."""

    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, phase: str, seconds: float) -> None:
        """Add to a phase."""
        self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds


class Workers:
    """A thread pool for rendering and perception, which release the GIL."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or worker_count()
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="worldloop")
        self.busy = 0.0
        """Seconds of work done so far, over all threads."""

    async def run(self, clock: Clock, phase: str, function: Callable[..., Any], *args: Any) -> Any:
        """Run blocking work in the pool and book its duration."""
        loop = asyncio.get_running_loop()
        result, seconds = await loop.run_in_executor(self._pool, _timed, function, args)
        clock.add(phase, seconds)
        self.busy += seconds
        return result

    def close(self) -> None:
        """Let running work end and drop what is queued."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _timed(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = function(*args)
    return result, time.perf_counter() - start


class Simulates(Protocol):
    """What an episode asks for rollouts, wherever the model is."""

    async def ask(self, clock: Clock, queries: Sequence[Query]) -> list[Rollout]:
        """Rollouts for the queries of one decision, in order. ModelError when the model keeps failing."""
        ...


class Simulation:
    """Asks a world model of this process for rollouts, in batches across episodes, from cache where it can.

    A model may set `lanes` (how many batches it takes at once, default 1) and `max_batch` (default 64).
    """

    def __init__(self, model: WorldModel, workers: Workers, cache: RolloutCache, retries: int = 2) -> None:
        self._card, self._workers = model.card, workers
        self._model_key = model_key(model.card)
        self._batcher = Batcher(InThreads(model, workers), cache, retries)

    async def ask(self, clock: Clock, queries: Sequence[Query]) -> list[Rollout]:
        """Rollouts for queries, in order. ModelError when the model keeps failing."""
        questions = await prepared(self._workers, clock, self._card, self._model_key, queries)
        rollouts = await self._batcher.ask(questions)
        clock.add("simulate", sum(r.seconds for r in rollouts))
        return rollouts


class InThreads:
    """A model whose batches are answered by the threads of a pool."""

    def __init__(self, model: WorldModel, workers: Workers) -> None:
        self._model, self._workers = model, workers
        self.name = model.card.name
        self.lanes = min(getattr(model, "lanes", 1), workers.threads)
        self.max_batch: int = getattr(model, "max_batch", 64)

    async def answer(self, questions: Sequence[Question]) -> list[Rollout]:
        """One rollout for each question, in order, with its share of the model's time."""
        clock = Clock()
        queries = [q for q, _ in questions]
        rollouts = await self._workers.run(clock, "simulate", simulate, self._model, queries)
        share = clock.seconds["simulate"] / len(queries)
        return [Rollout(r.frames, r.reward, r.done, r.latent, share) for r in rollouts]


def simulate(model: WorldModel, queries: list[Query]) -> list[Rollout]:
    """What a model answers; ModelError when that breaks the contract."""
    name, rollouts = model.card.name, model.simulate(queries)
    if len(rollouts) != len(queries):
        raise ModelError(f"model {name!r} gave {len(rollouts)} rollouts for {len(queries)} queries")
    return [check_rollout(q, r, name) for q, r in zip(queries, rollouts)]


async def prepared(
    workers: Workers, clock: Clock, card: ModelCard, key: bytes, queries: Sequence[Query]
) -> list[Question]:
    """The queries of one decision, reduced to what the model may read, each with the key of its content.

    `key` is the model's own, from `model_key`.
    """
    history = tuple(only(o, card.reads, card.privileges) for o in queries[0].history[-card.history :])
    digest = await workers.run(clock, "hash", _digest, history)
    questions = []
    for query in queries:
        simulator = query.simulator if "simulator" in card.privileges else None
        actions = query.actions[-(len(history) - 1) :] if len(history) > 1 else ()
        others = query.alternatives if "other_plans" in card.privileges else ()
        query = Query(history, actions, query.plan, query.seed, simulator, others)
        questions.append((query, query_key(key, digest, query)))
    return questions


def _digest(history: Sequence[Observation]) -> bytes:
    return b"".join(map(observation_digest, history))


def model_key(card: ModelCard) -> bytes:
    """Identifies a model by name, weights, settings and privileges."""
    text = repr((card.name, card.weights_hash, sorted(card.settings.items()), card.privileges, card.history))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def query_key(model: bytes, history: bytes, query: Query) -> str:
    """Identifies a question to a model by content."""
    simulator = query.simulator.key if query.simulator is not None else ""
    plans = [query.actions, query.plan.actions, *(p.actions for p in query.alternatives)]
    spelled = "/".join("|".join(f"{a.name}{a.values}" for a in actions) for actions in plans)
    text = f"{query.plan.vocabulary.name}/{spelled}/{query.seed}/{simulator}"
    return hashlib.blake2b(model + history + text.encode(), digest_size=16).hexdigest()
