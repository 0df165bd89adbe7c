"""What all connections of a server share: one world model, asked in batches, and what is counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from worldloop.core import InputError, Query, Rollout, WorldloopError, WorldModel
from worldloop.engine.cache import RolloutCache
from worldloop.engine.services import Clock, Simulation, Workers
from worldloop.models.remote.wire import WireError
from worldloop.serving.config import ServeConfig


class BusyError(WorldloopError):
    """Too much is waiting already."""


class Hub:
    """The model of a server. Candidates of different clients go into one batch."""

    def __init__(self, model: WorldModel, config: ServeConfig) -> None:
        if "simulator" in model.card.privileges or not model.card.imagines:
            raise InputError(
                f"{model.card.name!r} cannot be served: it {'runs the simulator' if model.card.imagines else 'imagines nothing'}"
            )
        self.model, self.config = model, config
        self.workers = Workers()
        self.cache = RolloutCache(megabytes=config.cache_megabytes)
        self.counts: Counter[str] = Counter()
        self.waiting = 0
        self._simulation = Simulation(model, self.workers, self.cache, retries=0)

    async def ask(self, queries: Sequence[Query]) -> tuple[list[Rollout], dict[str, float]]:
        """Rollouts in order, and seconds of model time and of the whole.

        BusyError when too much is waiting, ModelError when the model fails, TimeoutError after the time limit.
        """
        if self.waiting and self.waiting + len(queries) > self.config.max_waiting:
            raise BusyError(f"{self.waiting} candidates are waiting")
        by_context: dict[tuple[int, ...], list[int]] = {}
        for i, query in enumerate(queries):
            by_context.setdefault(tuple(map(id, query.history)), []).append(i)
        loop, clock = asyncio.get_running_loop(), Clock()
        started = loop.time()
        self.waiting += len(queries)
        try:
            async with asyncio.timeout(self.config.time_limit):
                groups = [[queries[i] for i in rows] for rows in by_context.values()]
                # All of them end before the first failure is told: nothing is left running on its own.
                found = await asyncio.gather(
                    *(self._simulation.ask(clock, g) for g in groups), return_exceptions=True
                )
        finally:
            self.waiting -= len(queries)
        for part in found:
            if isinstance(part, BaseException):
                raise part
        out = {i: r for rows, part in zip(by_context.values(), found) for i, r in zip(rows, part)}  # type: ignore[arg-type]
        self.counts["candidates"] += len(queries)
        self.counts["model_milliseconds"] += round(1000 * clock.seconds.get("simulate", 0.0))
        timing = {"model": clock.seconds.get("simulate", 0.0), "total": loop.time() - started}
        return [out[i] for i in range(len(queries))], timing

    def close(self) -> None:
        """Let go of the threads."""
        self.workers.close()


def fault(error: Exception) -> tuple[str, int]:
    """What kind of failure a client is told of, and the status that says whether to ask again."""
    kinds = ((WireError, "message", 400), (BusyError, "busy", 503), (TimeoutError, "time", 504))
    for known, kind, status in kinds:
        if isinstance(error, known):
            return kind, status
    return ("model", 422) if isinstance(error, WorldloopError) else ("fault", 500)
