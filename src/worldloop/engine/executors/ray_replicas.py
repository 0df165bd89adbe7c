"""The model replicas of a run: whichever is free answers the next batch."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from worldloop.core import WorldModel
from worldloop.core.errors import ModelError
from worldloop.engine.batching import Question, ReplicaError
from worldloop.engine.executors.ray_actors import DiedError, Nursery, Process
from worldloop.engine.executors.ray_config import RayConfig
from worldloop.engine.executors.ray_parts import Place
from worldloop.engine.executors.ray_replica import Replica
from worldloop.engine.executors.ray_session import gpu_share
from worldloop.engine.executors.ray_worker import Fault, Held
from worldloop.engine.executors.todo import Deaths

log = logging.getLogger(__name__)
MOST_LANES = 16
"""Threads of a replica at most."""
STRIKES = 2
"""A question that was there when so many replicas died, the last time alone, is to blame."""


class Replicas:
    """Answers batches by processes that hold a model each. One that dies is replaced; its batch goes to others.

    A batch whose replica died is asked again question by question, so that only the guilty one fails.
    """

    def __init__(
        self, model: WorldModel, sent: Any, config: RayConfig, nursery: Nursery, deaths: Deaths, place: Place
    ) -> None:
        self.name = model.card.name
        self.max_batch: int = getattr(model, "max_batch", 64)
        self.more: Callable[[], None] = lambda: None
        """Called when there are more lanes than before."""
        self._lanes = max(1, min(getattr(model, "lanes", 1), MOST_LANES))
        self._sent, self._nursery, self._deaths, self._place = sent, nursery, deaths, place
        self._gpus = gpu_share(config)
        self._free: asyncio.Queue[Process] = asyncio.Queue()
        """Each live replica, as often as it has free lanes; dead ones are skipped when their turn comes."""
        self._live: set[Process] = set()
        self._all: set[Process] = set()
        self._strikes: Counter[str] = Counter()
        for number in range(config.replicas):
            nursery.start(self._bring_up(number))

    @property
    def lanes(self) -> int:
        """Batches that can be answered at once."""
        return self._lanes * len(self._live)

    @property
    def ready(self) -> bool:
        """Whether there is any replica."""
        return bool(self._live)

    async def _bring_up(self, number: int) -> None:
        """Start a replica; again when it dies while it loads the model."""
        while True:
            options = {"num_cpus": 1, "num_gpus": self._gpus, "max_concurrency": self._lanes}
            replica = Process(Replica, "replica", number, (self._place,), **options)
            self._all.add(replica)
            try:
                await replica.call(replica.actor.open.remote([self._sent]))
            except DiedError as death:
                self._bury(replica, death)
                continue
            break
        self._live.add(replica)
        for _ in range(self._lanes):
            self._free.put_nowait(replica)
        self.more()

    def _bury(self, replica: Process, death: DiedError) -> None:
        """ExecutorError when too many have died in a row."""
        self._all.discard(replica)
        replica.end()
        log.warning("%s died: %s", replica.name, death)
        self._deaths.note(replica.name, str(death), useless=not replica.useful)

    async def _replace(self, replica: Process, death: DiedError) -> None:
        """In a task of its own, because too many deaths end the run and not the question."""
        self._bury(replica, death)
        await self._bring_up(replica.number)

    async def answer(self, questions: Sequence[Question]) -> list[Held]:
        """Where the rollout of each question lies. ModelError when the model refuses, or when a question kills replicas."""
        while True:
            while (replica := await self._free.get()) not in self._live:
                pass
            try:
                return await self._ask(replica, questions)
            except DiedError as death:
                self._strikes.update(key for _, key in questions)
                if replica in self._live:
                    self._live.discard(replica)
                    self._nursery.start(self._replace(replica, death))
                if len(questions) > 1:
                    raise ReplicaError(f"its replica died: {death}") from death
                if self._strikes[questions[0][1]] >= STRIKES:
                    raise ModelError(
                        f"model {self.name!r}: {STRIKES} replicas died of this question, the last time it was asked alone "
                        f"({death})"
                    ) from death
            finally:
                if replica in self._live:
                    self._free.put_nowait(replica)

    async def _ask(self, replica: Process, questions: Sequence[Question]) -> list[Held]:
        queries = [q for q, _ in questions]
        first, *refs = replica.actor.simulate.options(num_returns=1 + len(queries)).remote(queries)
        told = await replica.call(first)
        if isinstance(told, Fault):
            if told.kind == "retry":
                raise ReplicaError(told.text)
            raise told.error()
        seconds, sizes = told
        replica.useful = True
        self._deaths.progress()
        return [Held(ref, seconds / len(refs), size) for ref, size in zip(refs, sizes)]

    def close(self) -> None:
        """End all replicas."""
        for replica in self._all:
            replica.end()
