"""What a run hands to whoever plays its episodes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from worldloop.core import Agent, Episode, Task, WorldModel
from worldloop.engine.playing import Played
from worldloop.engine.settings import RunSettings


@dataclass(frozen=True, eq=False)
class Work:
    """The episodes that a run still lacks, and where they go."""

    task: Task
    model: WorldModel
    agent: Agent
    settings: RunSettings
    episodes: Sequence[tuple[int, Episode]]
    """Each with its position in the run's list; those of one scene side by side."""
    folder: Path
    """Of the run; only the process of the run itself writes there."""
    spec: Mapping[str, Any]
    """What the run is, as its header says."""
    keep_frame: Callable[[np.ndarray], str]
    """Stores a uint8 image in the run folder and returns its hash. Safe between threads."""
    finish: Callable[[Played], Awaitable[None]]
    """Writes an episode into the run folder; it is on disk when this returns."""

    def keeps(self, index: int) -> bool:
        """Whether the images of an episode are wanted."""
        return self.settings.keep_frames < 0 or index < self.settings.keep_frames


class Executor(Protocol):
    """Plays episodes. No result depends on which executor does."""

    def check(self, task: Task, agent: Agent, settings: RunSettings) -> None:
        """InputError for what this executor cannot play; called before a run folder is made."""
        ...

    async def play(self, work: Work) -> None:
        """Play all episodes of the work; every one that is played is handed to `work.finish`."""
        ...
