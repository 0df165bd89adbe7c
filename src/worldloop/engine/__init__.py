"""The closed loop: episode coroutines, batched simulation, cache, retries, limits, resume."""

from worldloop.engine.cache import RolloutCache
from worldloop.engine.executors import Executor, LocalExecutor, RayConfig, RayExecutor
from worldloop.engine.guard import check_rollout, only
from worldloop.engine.run import run, select
from worldloop.engine.services import Clock, Simulation, Workers
from worldloop.engine.settings import Limits, Resolved, RunSettings

__all__ = [
    "Clock",
    "Executor",
    "Limits",
    "LocalExecutor",
    "RayConfig",
    "RayExecutor",
    "Resolved",
    "RolloutCache",
    "RunSettings",
    "Simulation",
    "Workers",
    "check_rollout",
    "only",
    "run",
    "select",
]
