"""Worlds, models and agents that misbehave in processes of their own; sent there, or named on the command line."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from worldloop.core import ModelCard

from fakes import FakeTask, FakeWorld
from toy_models import Flown


def die() -> None:
    """As by the kernel when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


def first_time(folder: str, name: str) -> bool:
    """Whether nobody has asked this before, in any process."""
    try:
        (Path(folder) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@dataclass
class DeadlyWorld(FakeWorld):
    """Kills its process at the start of some episodes."""

    task: DeadlyTask

    def __init__(self, task: DeadlyTask) -> None:
        super().__init__(task.delay)
        self.task = task

    def reset(self, episode):
        if episode.id in self.task.always or (
            episode.id in self.task.once and first_time(self.task.marks, episode.id)
        ):
            time.sleep(0.05)
            die()
        return super().reset(episode)


@dataclass
class DeadlyTask(FakeTask):
    """`always` and `once` name episodes during which the process dies; `marks` is a folder for notes."""

    always: tuple[str, ...] = ()
    once: tuple[str, ...] = ()
    marks: str = ""

    def environment(self, needs=()):
        return DeadlyWorld(self)


class Deadly(Flown):
    """A model that kills its process: once, at the second batch, or whenever it is asked with certain seeds."""

    card = ModelCard("flown", "a toy that follows camera poses", "camera", history=3)
    max_batch = 8

    def __init__(self, marks: str = "", every: int = 0) -> None:
        super().__init__()
        self.marks, self.every, self.batches = marks, every, 0

    def simulate(self, queries):
        self.batches += 1
        if self.every and any(q.seed % self.every == 0 for q in queries):
            die()
        if self.marks and self.batches == 2 and first_time(self.marks, "replica"):
            die()
        return super().simulate(queries)


class Stillborn(Flown):
    """A model that cannot be loaded anywhere but where it was made."""

    def __setstate__(self, state):
        die()


class Faulty(Flown):
    """Raises for some questions, and now and then for any."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = 0

    def simulate(self, queries):
        self.batches += 1
        if any(q.seed % 23 == 0 for q in queries):
            raise ValueError("no such place")
        if self.batches % 3 == 0:
            raise RuntimeError("out of memory")
        return super().simulate(queries)
