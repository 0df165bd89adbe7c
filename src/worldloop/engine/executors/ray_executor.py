"""Episodes on Ray: workers play them, replicas imagine, and this process alone decides, batches and writes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import TracebackType

from worldloop.core import Agent, ExecutorError, InputError, Task
from worldloop.engine.batching import Batcher
from worldloop.engine.executors.base import Work
from worldloop.engine.executors.ray_actors import Nursery
from worldloop.engine.executors.ray_config import RayConfig
from worldloop.engine.executors.ray_crew import Crew
from worldloop.engine.executors.ray_held import HeldCache
from worldloop.engine.executors.ray_parts import Parts, Place, sent
from worldloop.engine.executors.ray_replicas import Replicas
from worldloop.engine.executors.ray_session import need_ray, start
from worldloop.engine.executors.ray_worker import Held, runs_here
from worldloop.engine.executors.todo import Deaths
from worldloop.engine.services import worker_count
from worldloop.engine.settings import RunSettings


class RayExecutor:
    """Plays runs on Ray. As a context manager it keeps Ray for several runs; else each run starts and stops its own.

    A Ray that this process is connected to already is used and left as it is.
    """

    def __init__(self, config: RayConfig = RayConfig()) -> None:  # noqa: B008 - frozen
        """MissingExtraError without Ray."""
        need_ray()
        self.config = config
        self._entered = self._ours = False

    def __enter__(self) -> RayExecutor:
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered = False
        self.close()

    def close(self) -> None:
        """Stop a private Ray, or leave the cluster; nothing happens to a Ray that was there before."""
        if self._ours:
            import ray

            ray.shutdown()
            self._ours = False

    def check(self, task: Task, agent: Agent, settings: RunSettings) -> None:
        """InputError for a task or an agent that keeps something for the whole run, and for workers without episodes."""
        held = [r for r in (*task.resources, *agent.resources) if not getattr(r, "per_process", False)]
        if held:
            who = f"agent {agent.name!r}" if agent.resources else f"task {task.name!r}"
            raise InputError(
                f"{who} keeps something for the whole run that several processes cannot share (a transcript, a budget or a "
                "rate limit of a language model); use --executor local"
            )
        self.config.rooms(settings.concurrency)

    async def play(self, work: Work) -> None:
        """Play all episodes of the work.

        ExecutorError when processes keep dying or do not start; what is finished by then is on disk.
        """
        if not work.episodes:
            return
        # Takes seconds and blocks; there is nothing else to do yet.
        self._ours = start(self.config) or self._ours
        try:
            await self._play(work)
        finally:
            if not self._entered:
                self.close()

    async def _play(self, work: Work) -> None:
        import ray

        config = self.config
        parts, place, here = Parts.of(work), Place.here(), runs_here(work.model.card)
        # The objects themselves go only to those who use them: a model can be large.
        playing, asking = parts, parts
        if not config.specs:
            playing = replace(parts, task=work.task, agent=work.agent, model=work.model if here else None)
            asking = replace(parts, model=work.model)
        nursery, deaths = Nursery(), Deaths(config.deaths)
        cache = HeldCache(work.settings.cache, ray.cluster_resources().get("object_store_memory", 0.0))
        replicas: Replicas | None = None
        batcher: Batcher[Held] | None = None
        if not here:
            replicas = Replicas(work.model, sent(asking), config, nursery, deaths, place)
            batcher = Batcher(replicas, cache, work.settings.limits.retries)
            replicas.more = batcher.wake
        crew = Crew(work, sent(playing), batcher, cache, nursery, deaths, place)
        # A private Ray shares this machine; in a cluster, a worker has one CPU.
        threads = 1 if config.address else max(1, worker_count() // config.workers)
        # No more workers than episodes.
        rooms = config.rooms(work.settings.concurrency)[: len(work.episodes)]
        nursery.start(self._watch(crew, replicas))
        try:
            await nursery.until([nursery.start(crew.seat(i, room, threads)) for i, room in enumerate(rooms)])
        finally:
            await nursery.close()
            crew.close()
            if replicas is not None:
                replicas.close()
            await cache.close()

    async def _watch(self, crew: Crew, replicas: Replicas | None) -> None:
        """ExecutorError when there has been no worker, or no replica, for too long."""
        import ray

        loop = asyncio.get_running_loop()
        since = loop.time()
        while True:
            await asyncio.sleep(1.0)
            if crew.ready and (replicas is None or replicas.ready):
                since = loop.time()
            elif loop.time() - since > self.config.start_seconds:
                what = "model replica" if crew.ready else "environment worker"
                raise ExecutorError(
                    f"no {what} was ready for {self.config.start_seconds:g} s; Ray has {_amounts(ray.cluster_resources())}, of "
                    f"which {_amounts(ray.available_resources())} are free; each worker and each replica takes one CPU"
                )


def _amounts(resources: dict[str, float]) -> str:
    return f"{resources.get('CPU', 0.0):g} CPUs and {resources.get('GPU', 0.0):g} GPUs"
