"""Questions of all episodes, gathered into batches for whoever answers them.

What answers is behind an interface: the threads of this process, or model replicas in other processes. What an answer is
made of does not matter here: it may be a rollout, or a note that says where one lies.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

from worldloop.core import Query
from worldloop.core.errors import ModelError, WorldloopError

log = logging.getLogger(__name__)

Question = tuple[Query, str]
"""A query and the key of its content."""
A = TypeVar("A")
"""An answer: a dataclass with a field `seconds`, its share of the model's time."""


class ReplicaError(Exception):
    """A call failed for a reason that is told in full already, so its class adds nothing."""


class Answers(Protocol[A]):
    """Who answers a batch."""

    name: str
    """Of the model, for messages."""
    max_batch: int

    @property
    def lanes(self) -> int:
        """How many batches can be answered at once. It may change; tell the batcher with `wake`."""
        ...

    async def answer(self, questions: Sequence[Question]) -> list[A]:
        """One answer for each question, in order.

        A WorldloopError is final; after any other exception a question is asked again.
        """
        ...


class Cache(Protocol[A]):
    """Answers kept by key."""

    def get(self, key: str) -> A | None:
        """The answer under a key, or None."""
        ...

    def put(self, key: str, rollout: A) -> None:
        """Keep an answer."""
        ...


class Batcher(Generic[A]):
    """Forms batches: what is waiting when a lane becomes free goes in together, from whichever episode.

    Nobody waits for a batch to fill. One bad question does not take the others down, and what somebody else has asked
    already, and is not answered yet, is asked once for both.
    """

    def __init__(self, answers: Answers[A], cache: Cache[A], retries: int = 2) -> None:
        self._answers, self._cache, self._retries = answers, cache, retries
        self._waiting: deque[Question] = deque()
        self._asked: dict[str, list[tuple[asyncio.Future[A], list[asyncio.Future[A]]]]] = {}
        """Who waits for which answer, and for what else besides; each question that is waiting or running is here."""
        self._running: set[asyncio.Task[None]] = set()

    async def ask(self, questions: Sequence[Question]) -> list[A]:
        """Answers in order. ModelError when the model keeps failing."""
        loop = asyncio.get_running_loop()
        asked: list[asyncio.Future[A]] = []
        for query, key in questions:
            future: asyncio.Future[A] = loop.create_future()
            asked.append(future)
            if (known := self._cache.get(key)) is not None:
                future.set_result(_free(known))
            elif key in self._asked:
                self._asked[key].append((future, asked))
            else:
                self._asked[key] = [(future, asked)]
                self._waiting.append((query, key))
        self.wake()
        try:
            return list(await asyncio.gather(*asked))
        finally:
            for future in asked:
                future.cancel()

    def wake(self) -> None:
        """Start what can be started; to be called when there are more lanes than before."""
        while self._waiting and len(self._running) < self._answers.lanes:
            share = -(-len(self._waiting) // (self._answers.lanes - len(self._running)))
            size = min(share, self._answers.max_batch, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(size)]
            batch = [question for question in batch if self._wanted(question[1])]
            if batch:
                task = asyncio.get_running_loop().create_task(self._serve(batch))
                self._running.add(task)
                task.add_done_callback(self._served)

    def _wanted(self, key: str) -> bool:
        """Whether anybody still waits for an answer."""
        if all(f.done() for f, _ in self._asked[key]):
            del self._asked[key]
            return False
        return True

    def _served(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self.wake()

    async def _serve(self, batch: list[Question]) -> None:
        try:
            answers = await self._attempt(batch)
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            # One bad query must not take the others down: alone, only the guilty one fails.
            if len(batch) > 1:
                for question in batch:
                    if self._wanted(question[1]):
                        await self._serve([question])
                return
            for future, besides in self._asked.pop(batch[0][1]):
                if not future.done():
                    future.set_exception(error)
                # Nobody looks at the rest, so it need not be answered.
                for other in besides:
                    other.cancel()
            return
        for (_, key), answer in zip(batch, answers):
            self._cache.put(key, answer)
            told = False
            for future, _ in self._asked.pop(key):
                if not future.done():
                    # Model time is told once.
                    future.set_result(_free(answer) if told else answer)
                    told = True

    async def _attempt(self, batch: list[Question]) -> list[A]:
        name = self._answers.name
        attempts = 1 + (self._retries if len(batch) == 1 else 0)
        for attempt in range(attempts):
            try:
                return await self._answers.answer(batch)
            except WorldloopError:
                raise
            except Exception as error:
                told = str(error) if isinstance(error, ReplicaError) else f"{type(error).__name__}: {error}"
                if attempt == attempts - 1:
                    raise ModelError(f"model {name!r} failed: {told}") from error
                log.warning("model %s failed (%s); attempt %d of %d", name, told, attempt + 2, attempts)
                await asyncio.sleep(0.1 * 2**attempt)
        raise AssertionError("unreachable")


def _free(answer: Any) -> Any:
    """The answer, with no model time."""
    return replace(answer, seconds=0.0)
