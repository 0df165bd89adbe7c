"""What a run on Ray is asked to use."""

from __future__ import annotations

import math
from dataclasses import dataclass

from worldloop.core import InputError


@dataclass(frozen=True)
class RayConfig:
    """How many processes, and where."""

    workers: int = 2
    """Processes that play episodes; one CPU each."""
    replicas: int = 1
    """Processes that hold the world model, one model each; none for models that run the simulator, or no model."""
    gpus_per_replica: float | None = None
    """GPUs of a replica, fractions allowed; None shares all that Ray has evenly, with at most one for each."""
    address: str | None = None
    """Of a cluster to join (`auto` finds the one this machine belongs to); None starts a private Ray on this machine."""
    specs: bool = False
    """Build task, model and agent in each process from their names in the run's settings, as on the command line; else the
    objects themselves are sent there."""
    deaths: int = 3
    """Processes that may die in a row, without any progress in between, before the run stops."""
    start_seconds: float = 900.0
    """How long there may be no process to play episodes, or none to ask the model, before the run stops."""

    def __post_init__(self) -> None:
        for name in ("workers", "replicas", "deaths"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} must be at least 1, got {getattr(self, name)}")
        gpus = self.gpus_per_replica
        if gpus is not None and not (math.isfinite(gpus) and gpus >= 0 and (gpus <= 1 or gpus == int(gpus))):
            raise InputError(f"--gpus-per-replica is a share of one GPU, or whole GPUs, not {gpus:g}")
        if not self.start_seconds > 0:
            raise InputError(f"start_seconds is above 0, got {self.start_seconds}")

    def rooms(self, concurrency: int) -> list[int]:
        """How many episodes each worker plays at once: `concurrency` is for the whole run.

        InputError when there is not one for each.
        """
        if concurrency < self.workers:
            raise InputError(
                f"--concurrency {concurrency} leaves {self.workers - concurrency} of {self.workers} workers without an "
                f"episode; give --concurrency {self.workers} or more, or fewer --workers"
            )
        share, more = divmod(concurrency, self.workers)
        return [share + (i < more) for i in range(self.workers)]
