"""What all episodes of a run share: a pool for blocking work, and a world model that is asked in batches."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from worldloop.core import ModelCard, Observation, Query, Rollout, WorldModel
from worldloop.core.errors import ModelError, WorldloopError
from worldloop.engine.cache import RolloutCache
from worldloop.engine.guard import check_rollout, observation_digest, only

log = logging.getLogger(__name__)


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


class Simulation:
    """Asks a world model for rollouts, in batches across episodes, from cache where it can.

    Batches form by themselves: whatever is waiting when the model becomes free goes in together. A question that
    somebody else has asked already, and that is not answered yet, is asked once for both. A model may set `lanes` (how
    many batches it takes at once, default 1) and `max_batch` (default 64).
    """

    def __init__(self, model: WorldModel, workers: Workers, cache: RolloutCache, retries: int = 2) -> None:
        self._model, self._workers, self._cache = model, workers, cache
        self._retries = retries
        self._lanes = min(getattr(model, "lanes", 1), workers.threads)
        self._max_batch = getattr(model, "max_batch", 64)
        self._waiting: deque[tuple[Query, str]] = deque()
        self._asked: dict[str, list[asyncio.Future[Rollout]]] = {}
        """Who waits for which rollout; the key of each question that is waiting or running is here."""
        self._running: set[asyncio.Task[None]] = set()
        self._model_key = model_key(model.card)

    async def ask(self, clock: Clock, queries: Sequence[Query]) -> list[Rollout]:
        """Rollouts for queries, in order. ModelError when the model keeps failing."""
        card, loop = self._model.card, asyncio.get_running_loop()
        history = tuple(only(o, card.reads, card.privileges) for o in queries[0].history[-card.history :])
        digest = await self._workers.run(clock, "hash", _digest, history)
        asked: list[asyncio.Future[Rollout]] = []
        for query in queries:
            simulator = query.simulator if "simulator" in card.privileges else None
            actions = query.actions[-(len(history) - 1) :] if len(history) > 1 else ()
            others = query.alternatives if "other_plans" in card.privileges else ()
            query = Query(history, actions, query.plan, query.seed, simulator, others)
            key = query_key(self._model_key, digest, query)
            future: asyncio.Future[Rollout] = loop.create_future()
            asked.append(future)
            if (known := self._cache.get(key)) is not None:
                future.set_result(replace(known, seconds=0.0))
            elif key in self._asked:
                self._asked[key].append(future)
            else:
                self._asked[key] = [future]
                self._waiting.append((query, key))
        self._start()
        rollouts = list(await asyncio.gather(*asked))
        clock.add("simulate", sum(r.seconds for r in rollouts))
        return rollouts

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._lanes:
            share = -(-len(self._waiting) // (self._lanes - len(self._running)))
            batch = [self._waiting.popleft() for _ in range(min(share, self._max_batch, len(self._waiting)))]
            batch = [item for item in batch if self._wanted(item[1])]
            if batch:
                task = asyncio.get_running_loop().create_task(self._serve(batch))
                self._running.add(task)
                task.add_done_callback(self._served)

    def _wanted(self, key: str) -> bool:
        """Whether anybody still waits for a rollout."""
        if all(f.done() for f in self._asked[key]):
            del self._asked[key]
            return False
        return True

    def _served(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start()

    async def _serve(self, batch: list[tuple[Query, str]]) -> None:
        queries = [q for q, _ in batch]
        try:
            rollouts = await self._attempt(queries)
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            # One bad query must not take the others down: alone, only the guilty one fails.
            if len(batch) > 1:
                for item in batch:
                    await self._serve([item])
                return
            for future in self._asked.pop(batch[0][1]):
                if not future.done():
                    future.set_exception(error)
            return
        for (_, key), rollout in zip(batch, rollouts):
            self._cache.put(key, rollout)
            for i, future in enumerate(self._asked.pop(key)):
                if not future.done():
                    # Model time is told once.
                    future.set_result(replace(rollout, seconds=0.0) if i else rollout)

    def _simulate(self, queries: list[Query]) -> list[Rollout]:
        name, rollouts = self._model.card.name, self._model.simulate(queries)
        if len(rollouts) != len(queries):
            raise ModelError(f"model {name!r} gave {len(rollouts)} rollouts for {len(queries)} queries")
        return [check_rollout(q, r, name) for q, r in zip(queries, rollouts)]

    async def _attempt(self, queries: list[Query]) -> list[Rollout]:
        name = self._model.card.name
        attempts = 1 + (self._retries if len(queries) == 1 else 0)
        for attempt in range(attempts):
            clock = Clock()
            try:
                rollouts = await self._workers.run(clock, "simulate", self._simulate, queries)
                share = clock.seconds["simulate"] / len(queries)
                return [Rollout(r.frames, r.reward, r.done, r.latent, share) for r in rollouts]
            except WorldloopError:
                raise
            except Exception as error:
                if attempt == attempts - 1:
                    raise ModelError(f"model {name!r} failed: {type(error).__name__}: {error}") from error
                log.warning("model %s failed (%s); attempt %d of %d", name, error, attempt + 2, attempts)
                await asyncio.sleep(0.1 * 2**attempt)
        raise AssertionError("unreachable")


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
