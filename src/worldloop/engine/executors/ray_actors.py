"""Processes of one run: started, watched, told apart by whether they got anything done, and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, TypeVar

from worldloop.core import ExecutorError, InputError, WorldloopError
from worldloop.engine.executors.ray_session import cause_of

T = TypeVar("T")


class DiedError(Exception):
    """A process ended before it answered."""


class Process:
    """An actor of Ray."""

    def __init__(
        self, kind: type, what: str, number: int, arguments: tuple[Any, ...], **options: Any
    ) -> None:
        """`what` and `number` are for messages; `options` are those of `ray.remote`. It starts when there is room for it."""
        import ray

        self.number = number
        self.name = f"{what} {number}"
        self.useful = False
        """Whether it has finished anything."""
        remote: Any = ray.remote(kind)
        options |= {"max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
        self.actor: Any = remote.options(**options).remote(*arguments)

    async def call(self, answer: Awaitable[T]) -> T:
        """What a call of the actor returns. DiedError when the process is gone, the error itself when the call failed."""
        from ray.exceptions import RayError, RayTaskError

        try:
            return await answer
        except RayTaskError as error:
            raise _plain(error, self.name) from error
        except RayError as error:
            raise DiedError(cause_of(error)) from error

    def end(self) -> None:
        """End the process, whatever it does."""
        import ray

        ray.kill(self.actor)


def _plain(error: Any, name: str) -> Exception:
    """What a call raised, with the name of who was called."""
    cause = error.cause
    if isinstance(cause, WorldloopError):
        return (InputError if isinstance(cause, InputError) else ExecutorError)(f"{name}: {cause}")
    return ExecutorError(f"{name} failed: {type(cause).__name__}: {cause}")


class Nursery:
    """Coroutines beside the main one of a run. The first that fails ends the run."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a coroutine."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if not self._failed.done():
            self._failed.set_exception(error)

    async def until(self, main: Iterable[asyncio.Task[Any]]) -> None:
        """Wait until these are through, or any has failed, which raises its error."""
        through = asyncio.gather(*main)
        through.add_done_callback(_look)
        try:
            ends: set[asyncio.Future[Any]] = {through, self._failed}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
            through.result()
        finally:
            through.cancel()

    async def close(self) -> None:
        """End all that still runs."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._failed.cancel()
        _look(self._failed)


def _look(future: asyncio.Future[Any]) -> None:
    """Else Python complains about an error that nobody looked at, when another one ended the run."""
    if not future.cancelled():
        future.exception()
