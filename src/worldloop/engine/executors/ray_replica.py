"""The process that holds one world model and answers batches."""

from __future__ import annotations

import time
from typing import Any

from worldloop.core import Query, WorldloopError
from worldloop.core.errors import LimitExceededError
from worldloop.engine.cache import rollout_bytes
from worldloop.engine.executors.ray_parts import Parts, Place
from worldloop.engine.executors.ray_worker import Fault
from worldloop.engine.services import simulate


class Replica:
    """One model. An actor of Ray, with as many threads as the model has lanes."""

    def __init__(self, place: Place) -> None:
        place.enter()
        self._place = place

    def open(self, sent: list[Any]) -> None:
        """Build the model; InputError when it cannot be built here or is another one."""
        import ray

        parts: Parts = ray.get(sent[0])
        self._model = parts.build_model()
        self._place.settle()

    def simulate(self, queries: list[Query]) -> tuple[Any, ...]:
        """First the seconds it took and the bytes of each rollout, or a `Fault`; then the rollouts, one object each."""
        started = time.perf_counter()
        try:
            rollouts = simulate(self._model, queries)
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            return (_fault(error), *(None for _ in queries))
        seconds = time.perf_counter() - started
        return ((seconds, [rollout_bytes(r) for r in rollouts]), *rollouts)


def _fault(error: Exception) -> Fault:
    if isinstance(error, WorldloopError):
        return Fault(str(error), "limit" if isinstance(error, LimitExceededError) else "model")
    return Fault(f"{type(error).__name__}: {error}", "retry")
