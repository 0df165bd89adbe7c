"""What all connections of a server share: one world model, asked in batches, and what is counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from worldloop.core import InputError, Query, Rollout, SteppedModel, WorldModel
from worldloop.engine.cache import RolloutCache
from worldloop.engine.services import Clock, Simulation
from worldloop.serving.config import ServeConfig
from worldloop.serving.faults import BusyError
from worldloop.serving.seats import Hall
from worldloop.serving.stepping import Stepper, Turns

T = TypeVar("T")


class Hub:
    """The model of a server. Candidates of different clients go into one batch."""

    def __init__(self, model: WorldModel, config: ServeConfig) -> None:
        if "simulator" in model.card.privileges or not model.card.imagines:
            raise InputError(
                f"{model.card.name!r} cannot be served: it {'runs the simulator' if model.card.imagines else 'imagines nothing'}"
            )
        self.model, self.config = model, config
        self.workers = Turns(getattr(model, "lanes", 1))
        self.cache = RolloutCache(megabytes=config.cache_megabytes)
        self.counts: Counter[str] = Counter()
        self.waiting = 0
        self.hall = Hall(config, self.counts)
        self.stepper: Stepper | None = None
        """For a model that goes on from where it stopped; sessions of others look back on what they imagined."""
        if isinstance(model, SteppedModel):
            self.stepper = Stepper(model, model.card.name, self.workers, getattr(model, "max_batch", 64))
        self._simulation = Simulation(model, self.workers, self.cache, retries=0)

    async def ask(self, queries: Sequence[Query]) -> tuple[list[Rollout], dict[str, float]]:
        """Rollouts in order, and seconds of model time and of the whole.

        BusyError when too much is waiting, ModelError when the model fails, TimeoutError after the time limit.
        """
        by_context: dict[tuple[int, ...], list[int]] = {}
        for i, query in enumerate(queries):
            by_context.setdefault(tuple(map(id, query.history)), []).append(i)
        loop, clock = asyncio.get_running_loop(), Clock()
        started = loop.time()
        groups = [[queries[i] for i in rows] for rows in by_context.values()]

        def asked() -> Awaitable[list[list[Rollout] | BaseException]]:
            # All of them end before the first failure is told: nothing is left running on its own.
            return asyncio.gather(*(self._simulation.ask(clock, g) for g in groups), return_exceptions=True)

        found = await self.limited(len(queries), asked)
        for part in found:
            if isinstance(part, BaseException):
                raise part
        out = {i: r for rows, part in zip(by_context.values(), found) for i, r in zip(rows, part)}  # type: ignore[arg-type]
        self.counts["candidates"] += len(queries)
        self.counts["model_milliseconds"] += round(1000 * clock.seconds.get("simulate", 0.0))
        timing = {"model": clock.seconds.get("simulate", 0.0), "total": loop.time() - started}
        return [out[i] for i in range(len(queries))], timing

    async def limited(self, count: int, work: Callable[[], Awaitable[T]]) -> T:
        """What so many candidates come to. BusyError when too many wait already, TimeoutError after the time limit."""
        if self.waiting and self.waiting + count > self.config.max_waiting:
            raise BusyError(f"{self.waiting} candidates are waiting")
        self.waiting += count
        try:
            async with asyncio.timeout(self.config.time_limit):
                return await work()
        finally:
            self.waiting -= count

    def close(self) -> None:
        """Let go of the threads."""
        self.workers.close()
