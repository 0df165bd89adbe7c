"""How the arms of a study are measured: the settings that all studies share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from worldloop.core import InputError
from worldloop.envs.house.splits import STYLES

Progress = Callable[[str, int, int], None]
"""`progress(what, done, total)`."""


@dataclass(frozen=True)
class Evaluation:
    """How the arms of a study are measured."""

    tasks: tuple[str, ...] = ("active-recognition", "image-goal")
    split: str = "test"
    """`test`, `val`, `mini` or, with one task, an episode file. Open-loop trials are in `val` scenes for `val`, else
    in `test` scenes."""
    episodes: int | Mapping[str, int] | None = None
    """Only the first N of each list; by task, those that are not named are run whole."""
    trials: int = 96
    """Open-loop trials in all three styles together."""
    horizon: int = 4
    """Actions in the plan of a trial."""
    scenes: int = 8
    """Scenes of each style for the trials."""
    closed_loop: bool = True
    reference_runs: str | None = None
    """Folder with finished runs on the same lists: of the controls and, where they are there, of arms."""
    seed: int = 0
    concurrency: int = 8
    device: str = "auto"
    """Where video models are measured: `cpu`, `cuda`, or `auto`: where this process would train."""

    def __post_init__(self) -> None:
        if self.closed_loop and not self.tasks:
            raise InputError("name at least one task, or measure in open loop only")
        if len(set(self.tasks)) < len(self.tasks):
            raise InputError("--tasks names a task twice")
        if self.split.endswith(".json") and len(self.tasks) > 1:
            raise InputError("an episode file belongs to one task; name that task with --tasks")
        if isinstance(self.episodes, Mapping):
            if strangers := sorted(set(self.episodes) - set(self.tasks)):
                raise InputError(
                    f"--episodes names {', '.join(strangers)}, which this study does not run; it runs {', '.join(self.tasks)}"
                )
            if fewest := [f"{t}={n}" for t, n in self.episodes.items() if n < 1]:
                raise InputError(f"--episodes is at least 1 for every task, got {fewest[0]}")
        if self.trials < len(STYLES) or self.horizon < 1 or self.scenes < 1:
            raise InputError(f"--trials is at least {len(STYLES)}, one for each style, got {self.trials}")

    def episodes_of(self, task: str) -> int | None:
        """How many of a task's list; None for all."""
        return self.episodes.get(task) if isinstance(self.episodes, Mapping) else self.episodes


def settings_dict(settings: Evaluation) -> dict[str, Any]:
    """JSON-ready, without what cannot change a result."""
    return {k: v for k, v in asdict(settings).items() if k not in ("concurrency", "reference_runs")}
