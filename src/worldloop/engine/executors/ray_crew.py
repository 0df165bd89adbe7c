"""The episode workers of a run: who plays what, and what happens when one dies."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from worldloop.core.errors import InputError, LimitExceededError, WorldloopError
from worldloop.engine.batching import Batcher
from worldloop.engine.executors.base import Work
from worldloop.engine.executors.ray_actors import DiedError, Nursery, Process
from worldloop.engine.executors.ray_held import HeldCache
from worldloop.engine.executors.ray_parts import Place, identity
from worldloop.engine.executors.ray_worker import Ask, EpisodeWorker, Fault, Held
from worldloop.engine.executors.todo import Deaths, Item, Todo
from worldloop.engine.playing import Played, failed

log = logging.getLogger(__name__)
STRIKES = 2
"""An episode during which so many workers died, the last time alone, is to blame."""
CLOSING = 10.0
"""Seconds in which a worker may close what it holds."""
GRACE = 60.0
"""Seconds beyond an episode's own limit after which its worker is taken for stuck."""


class Crew:
    """Seats for workers. On each sits one process after the other, until all episodes are on disk."""

    def __init__(
        self,
        work: Work,
        sent: Any,
        batcher: Batcher[Held] | None,
        cache: HeldCache,
        nursery: Nursery,
        deaths: Deaths,
        place: Place,
    ) -> None:
        """`batcher` is None for a model that works inside the workers."""
        self._work, self._sent, self._batcher, self._cache = work, sent, batcher, cache
        self._nursery, self._deaths, self._place = nursery, deaths, place
        self._identity = identity(work.task, work.agent)
        self._todo = Todo(work.episodes)
        self._live: set[Process] = set()
        self._all: set[Process] = set()

    @property
    def ready(self) -> bool:
        """Whether there is any worker."""
        return bool(self._live)

    async def seat(self, number: int, room: int, threads: int) -> None:
        """Play up to `room` episodes at a time on one worker, and on another one when that dies."""
        while self._todo.left:
            options = {"num_cpus": 1, "max_concurrency": 1000}
            worker = Process(EpisodeWorker, "worker", number, (self._place, threads), **options)
            self._all.add(worker)
            loaded: set[str] = set()
            try:
                # With few episodes left, the run may be over before this one has started.
                if await self._unless_over(self._open(worker)):
                    self._live.add(worker)
                    await self._employ(worker, room, loaded)
                    await self._close(worker)
                    return
            except DiedError as death:
                log.warning("%s died: %s", worker.name, death)
                self._deaths.note(worker.name, str(death), useless=not worker.useful)
            finally:
                self._todo.unload(loaded)
                self._live.discard(worker)
                self._all.discard(worker)
                worker.end()

    async def _open(self, worker: Process) -> bool:
        found = await worker.call(worker.actor.open.remote([self._sent]))
        if found != self._identity:
            raise InputError(
                f"{worker.name} has another task or agent than the machine that runs the command: {found} there, "
                f"{self._identity} here; put the same worldloop and the same files everywhere"
            )
        return True

    async def _close(self, worker: Process) -> None:
        """Let task and agent close what they hold, where they hold anything."""
        if self._work.task.resources or self._work.agent.resources:
            with suppress(TimeoutError):
                await asyncio.wait_for(worker.call(worker.actor.close.remote()), CLOSING)

    async def _unless_over(self, work: Any) -> Any:
        """What a coroutine returns; None when the last episode is on disk before."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                if not self._todo.left:
                    return None
                await self._first(task)
            return task.result()
        finally:
            task.cancel()

    async def _first(self, *tasks: asyncio.Future[Any]) -> None:
        """Wait until one of these is done or there is news of the episodes."""
        bell = asyncio.ensure_future(self._todo.changed())
        try:
            await asyncio.wait({bell, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            bell.cancel()

    async def _employ(self, worker: Process, room: int, loaded: set[str]) -> None:
        """Keep a worker busy until all episodes are on disk. DiedError when it dies."""
        tasks: set[asyncio.Task[Any]] = set()
        listener = None if self._batcher is None else self._nursery.start(self._listen(worker))
        alone = False
        try:
            while self._todo.left:
                while len(tasks) < room and not (alone and tasks):
                    item = self._todo.take(loaded, alone=not tasks)
                    if item is None:
                        break
                    alone = item.strikes > 0
                    tasks.add(asyncio.ensure_future(self._play(worker, item)))
                await self._first(*tasks)
                done = {t for t in tasks if t.done()}
                for task in done:
                    task.result()
                tasks -= done
        except DiedError:
            # The others die of it too, and give their episodes back.
            worker.end()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        finally:
            for task in (*tasks, *([listener] if listener else [])):
                task.cancel()

    async def _play(self, worker: Process, item: Item) -> None:
        """One episode, onto the disk. DiedError, and the episode is given back, when the worker dies."""
        work, episode = self._work, item.episode
        limit = work.settings.limits.seconds
        started = time.perf_counter()
        call = worker.actor.play.remote(episode, item.index, work.keeps(item.index))
        try:
            played, images = await asyncio.wait_for(worker.call(call), limit + GRACE)
        except (DiedError, TimeoutError) as error:
            cause = str(error) or f"it did not end an episode {GRACE:g} s after its limit of {limit:g} s"
            if item.strikes + 1 < STRIKES:
                self._todo.give_back(item)
            else:
                told = f"its worker died {STRIKES} times, the last time with nothing else to do: {cause}"
                row = failed(episode, item.index, "crashed", told, time.perf_counter() - started)
                await self._finish(Played(row))
            raise DiedError(cause) from error
        await asyncio.get_running_loop().run_in_executor(None, self._keep, images)
        worker.useful = True
        self._deaths.progress()
        await self._finish(played)
        if played.record.status != "finished":
            log.warning("episode %s: %s (%s)", episode.id, played.record.status, played.record.error)

    def _keep(self, images: dict[str, np.ndarray]) -> None:
        for image in images.values():
            self._work.keep_frame(image)

    async def _finish(self, played: Played) -> None:
        await self._work.finish(played)
        self._todo.finished()

    async def _listen(self, worker: Process) -> None:
        """Take the questions of a worker as they come, until it dies."""
        with suppress(DiedError):  # told by the episodes that it played
            await self._take(worker)

    async def _take(self, worker: Process) -> None:
        answering: dict[int, asyncio.Task[None]] = {}
        try:
            while True:
                for ask in await worker.call(worker.actor.asked.remote()):
                    if ask.questions is None:
                        if (task := answering.pop(ask.number, None)) is not None:
                            task.cancel()
                        continue
                    answering[ask.number] = self._nursery.start(self._answer(worker, ask))
                    answering[ask.number].add_done_callback(partial(_drop, answering, ask.number))
        finally:
            for task in list(answering.values()):
                task.cancel()

    async def _answer(self, worker: Process, ask: Ask) -> None:
        assert self._batcher is not None and ask.questions is not None
        if ask.again:
            self._cache.forget(key for _, key in ask.questions)
        answer: list[Held] | Fault
        try:
            answer = await self._batcher.ask(ask.questions)
        except LimitExceededError as error:
            answer = Fault(str(error), "limit")
        except WorldloopError as error:
            answer = Fault(str(error))
        with suppress(DiedError):  # told by the episodes that it played
            await worker.call(worker.actor.answered.remote(ask.number, answer))

    def close(self) -> None:
        """End all workers."""
        for worker in self._all:
            worker.end()


def _drop(answering: dict[int, asyncio.Task[None]], number: int, task: asyncio.Task[None]) -> None:
    answering.pop(number, None)
