"""Everything in this process: episodes are coroutines, the model works in threads."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from worldloop.core import Agent, Episode, Task
from worldloop.engine.cache import RolloutCache
from worldloop.engine.episode import EpisodeRunner
from worldloop.engine.executors.base import Work
from worldloop.engine.playing import play_episode
from worldloop.engine.services import Simulation, Workers
from worldloop.engine.settings import RunSettings


class LocalExecutor:
    """The default."""

    def check(self, task: Task, agent: Agent, settings: RunSettings) -> None:
        """There is nothing that it cannot play."""

    async def play(self, work: Work) -> None:
        """As many episodes at once as `settings.concurrency` says."""
        settings = work.settings
        workers = Workers()
        simulation = Simulation(work.model, workers, RolloutCache(settings.cache), settings.limits.retries)
        runner = EpisodeRunner(
            work.task, work.model.card, work.agent, settings.resolve(work.task), workers, simulation
        )
        gate = asyncio.Semaphore(settings.concurrency)

        async def one(index: int, episode: Episode) -> None:
            async with gate:
                keep = work.keep_frame if work.keeps(index) else None
                await work.finish(await play_episode(runner, episode, index, keep, settings.limits.seconds))

        async with AsyncExitStack() as stack:
            stack.callback(workers.close)
            for resource in (*work.task.resources, *work.agent.resources):
                await resource.open(work.folder, work.spec, work.keep_frame)
                stack.push_async_callback(resource.close)
            tasks = [asyncio.get_running_loop().create_task(one(i, e)) for i, e in work.episodes]
            try:
                await asyncio.gather(*tasks)
            finally:
                for pending in tasks:
                    pending.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)  # before the resources are closed
