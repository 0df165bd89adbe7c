"""The process that plays episodes. It has the task and the agent, and asks for rollouts elsewhere.

The run talks to it by calling it: `asked` returns when there are questions, `answered` brings answers. So the run is the only
place where questions of all workers meet, and a worker needs to know nobody.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.core import Episode, ModelCard, Observation, Query, Rollout
from worldloop.core.errors import LimitExceededError, ModelError
from worldloop.engine.batching import Question
from worldloop.engine.cache import RolloutCache
from worldloop.engine.episode import EpisodeRunner
from worldloop.engine.executors.ray_parts import Parts, Place, identity
from worldloop.engine.playing import Played, play_episode
from worldloop.engine.services import Clock, Simulates, Simulation, Workers, model_key, prepared
from worldloop.runs.frames import image_hash

LOST_TWICE = 2
"""How often a rollout is asked for again because the machine that held it is gone."""


@dataclass(frozen=True, eq=False)
class Ask:
    """The questions of one decision."""

    number: int
    """Of the ask, within its worker."""
    questions: tuple[Question, ...] | None
    """None takes the ask back: its episode has ended."""
    again: bool = False
    """Asked before, but the answers were lost on their way."""


@dataclass(frozen=True)
class Held:
    """Where a rollout lies."""

    ref: Any
    """Of Ray's object store."""
    seconds: float
    size: int
    """Bytes of its arrays."""


@dataclass(frozen=True)
class Fault:
    """Why there is no answer."""

    text: str
    kind: str = "model"
    """`model` or `limit`: what the episode makes of it. `retry`: not final."""

    def error(self) -> Exception:
        """The exception for whoever asked."""
        return LimitExceededError(self.text) if self.kind == "limit" else ModelError(self.text)


class Elsewhere:
    """Stands for the model in a worker: questions go into a box that the run empties."""

    def __init__(self, card: ModelCard, workers: Workers) -> None:
        self._card, self._workers, self._key = card, workers, model_key(card)
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[list[Held]]] = {}
        self._box: list[Ask] = []
        self._full = asyncio.Event()

    async def ask(self, clock: Clock, queries: Sequence[Query]) -> list[Rollout]:
        """Rollouts for the queries of one decision, in order. ModelError when the model keeps failing."""
        from ray.exceptions import ObjectLostError

        questions = tuple(await prepared(self._workers, clock, self._card, self._key, queries))
        for lost in range(LOST_TWICE + 1):
            held = await self._held(questions, again=lost > 0)
            try:
                rollouts = await asyncio.gather(*(h.ref for h in held))
            except ObjectLostError as error:
                if lost == LOST_TWICE:
                    raise ModelError(f"rollouts were lost again and again on their way: {error}") from error
                continue
            clock.add("simulate", sum(h.seconds for h in held))
            return [_own(r, h.seconds) for r, h in zip(rollouts, held)]
        raise AssertionError("unreachable")

    async def _held(self, questions: tuple[Question, ...], again: bool) -> list[Held]:
        number = next(self._numbers)
        future: asyncio.Future[list[Held]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._put(Ask(number, questions, again))
        try:
            return await future
        except asyncio.CancelledError:
            self._put(Ask(number, None))
            raise
        finally:
            del self._waiting[number]

    def _put(self, ask: Ask) -> None:
        self._box.append(ask)
        self._full.set()

    async def take(self) -> list[Ask]:
        """All that was asked and not taken yet; waits until there is something."""
        await self._full.wait()
        self._full.clear()
        taken, self._box = self._box, []
        return taken

    def answered(self, number: int, answer: list[Held] | Fault) -> None:
        """What an ask came to; too late for one whose episode has ended."""
        future = self._waiting.get(number)
        if future is None or future.done():
            return
        if isinstance(answer, Fault):
            future.set_exception(answer.error())
        else:
            future.set_result(answer)


@dataclass
class Frames:
    """Images of one episode until they are sent home. Safe between threads."""

    images: dict[str, np.ndarray] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, image: np.ndarray) -> str:
        """Remember an image; its hash."""
        key = image_hash(image)
        with self._lock:
            self.images.setdefault(key, image)
        return key


class EpisodeWorker:
    """Plays several episodes at once, as coroutines. An asynchronous actor of Ray."""

    def __init__(self, place: Place, threads: int) -> None:
        place.enter()
        self._place, self._threads = place, threads
        self._stack = AsyncExitStack()

    async def open(self, sent: list[Any]) -> str:
        """Build task and agent; their identity. `sent` holds where the `Parts` lie. InputError when they cannot be built."""
        parts: Parts = await sent[0]
        self._settings = settings = parts.settings
        task = parts.build_task()
        agent = parts.build_agent(task)
        workers = Workers(self._threads)
        simulation: Simulates
        self._elsewhere = Elsewhere(parts.card, workers)
        if runs_here(parts.card):
            cache = RolloutCache(settings.cache)
            simulation = Simulation(parts.build_model(), workers, cache, settings.limits.retries)
        else:
            simulation = self._elsewhere
        for resource in (*task.resources, *agent.resources):
            await resource.open(Path(parts.folder), parts.spec, Frames().keep)
            self._stack.push_async_callback(resource.close)
        self._place.settle()
        self._runner = EpisodeRunner(task, parts.card, agent, settings.resolve(task), workers, simulation)
        return identity(task, agent)

    async def play(self, episode: Episode, index: int, keep: bool) -> tuple[Played, dict[str, np.ndarray]]:
        """An episode's records, and its images by hash where they are kept."""
        frames = Frames()
        played = await play_episode(
            self._runner, episode, index, frames.keep if keep else None, self._settings.limits.seconds
        )
        return played, frames.images

    async def asked(self) -> list[Ask]:
        """What the episodes ask; returns when there is something."""
        return await self._elsewhere.take()

    async def answered(self, number: int, answer: list[Held] | Fault) -> None:
        """What an ask came to."""
        self._elsewhere.answered(number, answer)

    async def close(self) -> None:
        """Close what the task and the agent hold."""
        await self._stack.aclose()


def runs_here(card: ModelCard) -> bool:
    """Whether a model works beside the environment: it runs the simulator, or imagines nothing."""
    return not card.imagines or "simulator" in card.privileges


def _own(rollout: Rollout, seconds: float) -> Rollout:
    """The rollout with arrays of its own: those of the object store cannot be written to, and take its room."""
    frames = tuple(_own_arrays(f) for f in rollout.frames)
    heads = {
        n: None if (h := getattr(rollout, n)) is None else np.array(h) for n in ("reward", "done", "latent")
    }
    return Rollout(frames, **heads, seconds=seconds)


def _own_arrays(frame: Observation) -> Observation:
    fields = ("rgb", "panorama", "depth", "segmentation", "pose")
    named: dict[str, Any] = {n: np.array(a) for n in fields if (a := getattr(frame, n)) is not None}
    return replace(frame, **named, extra={n: np.array(a) for n, a in frame.extra.items()})
