"""Steps of many sessions through a model that goes on from where each of them stopped."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from worldloop.core import (
    Action,
    ModelError,
    Observation,
    Plan,
    Query,
    Rollout,
    SteppedModel,
    Vocabulary,
    WorldloopError,
)
from worldloop.engine.guard import check_rollout
from worldloop.engine.services import Clock, Workers

Step = tuple[Any, Plan, int, Observation, "asyncio.Future[tuple[Rollout, Any]]"]
"""State, plan, seed, an observation of the right size, and where the answer goes."""


class Turns(Workers):
    """Workers that let so many batches into the model at once, whether they are questions or steps."""

    def __init__(self, lanes: int) -> None:
        super().__init__()
        self.lanes = min(lanes, self.threads)
        self.gate = asyncio.Semaphore(self.lanes)

    async def run(self, clock: Clock, phase: str, function: Callable[..., Any], *args: Any) -> Any:
        """Blocking work; that of the phase `simulate` waits for its turn."""
        if phase != "simulate":
            return await super().run(clock, phase, function, *args)
        async with self.gate:
            return await super().run(clock, phase, function, *args)


class Stepper:
    """Asks a model for steps in batches: whatever waits when its turn comes goes in together."""

    def __init__(self, model: SteppedModel, name: str, turns: Turns, most: int) -> None:
        self._model, self._name, self._turns, self._most = model, name, turns, most
        self._waiting: deque[Step] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._busy = 0

    async def begin(
        self, vocabulary: Vocabulary, history: Sequence[Observation], actions: Sequence[Action]
    ) -> Any:
        """The model's first state. ModelError when it fails."""
        return await self._turns.run(Clock(), "simulate", self._begin, vocabulary, history, actions)

    async def advance(self, state: Any, plan: Plan, seed: int, now: Observation) -> tuple[Rollout, Any]:
        """The rollout and the state after it. ModelError when the model fails."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[Rollout, Any]] = loop.create_future()
        self._waiting.append((state, plan, seed, now, answer))
        if self._busy < self._turns.lanes:
            self._busy += 1
            task = loop.create_task(self._run())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                async with self._turns.gate:
                    batch: list[Step] = []
                    while self._waiting and len(batch) < self._most:
                        step = self._waiting.popleft()
                        if not step[-1].done():  # nobody waits for one that is done before it began
                            batch.append(step)
                    if batch:
                        await self._serve(batch)
        finally:
            # At once, not when the task is seen to be done: a step that comes in between would wait for nobody.
            self._busy -= 1

    async def _serve(self, batch: list[Step]) -> None:
        clock = Clock()
        try:
            found = await self._turns.run(clock, "step", self._advance, batch)
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            # One bad step must not take the others down: alone, only the guilty one fails.
            if len(batch) > 1:
                for step in batch:
                    await self._serve([step])
            elif not batch[0][-1].done():
                batch[0][-1].set_exception(error)
            return
        share = clock.seconds["step"] / len(batch)
        for (*_, answer), (rollout, state) in zip(batch, found):
            if not answer.done():
                answer.set_result((replace(rollout, seconds=share), state))

    def _begin(self, *given: Any) -> Any:
        try:
            return self._model.begin(*given)
        except WorldloopError:
            raise
        except Exception as error:
            raise self._failed(error) from error

    def _advance(self, batch: list[Step]) -> list[tuple[Rollout, Any]]:
        try:
            found = self._model.advance([(state, plan, seed) for state, plan, seed, _, _ in batch])
        except WorldloopError:
            raise
        except Exception as error:
            raise self._failed(error) from error
        if len(found) != len(batch):
            raise ModelError(f"model {self._name!r} gave {len(found)} rollouts for {len(batch)} steps")
        for (_, plan, seed, now, _), (rollout, _) in zip(batch, found):
            check_rollout(Query((now,), (), plan, seed), rollout, self._name)
        return found

    def _failed(self, error: Exception) -> ModelError:
        return ModelError(f"model {self._name!r} failed: {type(error).__name__}: {error}")
