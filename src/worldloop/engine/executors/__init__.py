"""Where episodes are played: in this process, or by Ray on this machine or a cluster. The results are the same."""

from worldloop.engine.executors.base import Executor, Work
from worldloop.engine.executors.local import LocalExecutor
from worldloop.engine.executors.ray_config import RayConfig
from worldloop.engine.executors.ray_executor import RayExecutor

__all__ = ["Executor", "LocalExecutor", "RayConfig", "RayExecutor", "Work"]
