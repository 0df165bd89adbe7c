"""What a run is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from worldloop.core import InputError, Task

USES = ("plan", "perceive", "both")


@dataclass(frozen=True)
class Limits:
    """What one episode may spend; whatever is exceeded ends it as a failure, never silently."""

    seconds: float = 900.0
    """Wall-clock seconds of one episode, waiting included."""
    retries: int = 2
    """Further attempts after a world model or perception call failed."""

    def __post_init__(self) -> None:
        if not self.seconds > 0 or self.retries < 0:
            raise InputError(
                f"--time-limit is above 0 seconds and --retries at least 0, got {self.seconds} and {self.retries}"
            )


@dataclass(frozen=True)
class RunSettings:
    """One run: one task, one model, one agent, one list of episodes, one seed."""

    task: str
    model: str
    agent: str = ""
    """Agent spec; empty takes the task's default."""
    split: str = "mini"
    episodes: int | None = None
    """Only the first N of the split's fixed list; None takes all."""
    rollouts: int | None = None
    """M; None takes the task's published setting, as for the next two."""
    horizon: int | None = None
    execute: int | None = None
    """Actions of the chosen plan to carry out; 0 means all of it."""
    use: str = "both"
    """What imagination is used for: `plan`, `perceive` or `both`."""
    seed: int = 0
    concurrency: int = 8
    keep_frames: int = 3
    """Store the images of the first N episodes of the list; -1 stores all."""
    cache: str | None = None
    """Folder for rollouts that later runs may reuse; None keeps them in memory only."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.use not in USES:
            raise InputError(f"--use {self.use!r} is unknown; choose {', '.join(USES)}")
        for name, low in (
            ("episodes", 1),
            ("rollouts", 1),
            ("horizon", 1),
            ("execute", 0),
            ("concurrency", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < low:
                raise InputError(f"--{name} must be at least {low}, got {value}")
        if (self.rollouts is not None and self.rollouts > 1000) or (self.horizon or 0) > 1000:
            raise InputError("--rollouts and --horizon above 1000 are surely a mistake")

    def resolve(self, task: Task) -> Resolved:
        """The settings with the task's published values filled in."""
        budgets = task.budgets
        horizon = self.horizon or budgets.horizon
        execute = budgets.execute if self.execute is None else (self.execute or horizon)
        if self.execute and self.execute > horizon:
            raise InputError(f"--execute {self.execute} exceeds the horizon of {horizon} actions")
        return Resolved(
            self.rollouts or budgets.rollouts, horizon, min(execute, horizon), self.use, self.seed
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True)
class Resolved:
    """The loop's own settings; part of a run's identity."""

    rollouts: int
    horizon: int
    execute: int
    use: str
    seed: int

    def identity(self) -> Mapping[str, Any]:
        """JSON-ready."""
        return asdict(self)
