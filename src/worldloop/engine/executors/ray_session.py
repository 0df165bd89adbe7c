"""Ray itself: started on this machine, or joined; and what its errors say."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from worldloop.core import ExecutorError, InputError, MissingExtraError
from worldloop.engine.executors.ray_config import RayConfig
from worldloop.engine.services import worker_count

LOOPBACK = "127.0.0.1"


def need_ray() -> None:
    """MissingExtraError unless Ray is there."""
    if importlib.util.find_spec("ray") is None:
        raise MissingExtraError("--executor ray", "ray")


def start(config: RayConfig) -> bool:
    """Start a private Ray, or join a cluster. False when this process is in one already, which is then used.

    InputError when there is no such cluster or it lacks the GPUs, MissingExtraError without Ray, ExecutorError when it
    would listen to the network.
    """
    need_ray()
    # Read when Ray is imported and when it starts. Without the first it listens to the network even when it is alone.
    private = {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Else each process would get one thread, and sums could differ in their last bits from those made here.
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(worker_count())),
    }
    with _environment(private if config.address is None else {}):
        import ray

        if ray.is_initialized():
            return False
        if config.address is not None:
            _knock(config.address)
            try:
                ray.init(config.address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise InputError(f"--ray-address {config.address}: {error}") from error
        else:
            # CPUs are Ray's way of counting: a private one is as large as it needs to be.
            ray.init(
                "local",
                num_cpus=config.workers + config.replicas,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    _quiet()
    try:
        _check(ray, config)
    except BaseException:
        ray.shutdown()
        raise
    return True


def _knock(address: str) -> None:
    """InputError unless somebody listens at host:port. Ray itself would try for minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise InputError(
            f"--ray-address is `auto` or host:port, not {address!r}; run the command on a machine of the cluster"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10.0).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"--ray-address {address}: nobody answers there ({error})") from error


def _check(ray: ModuleType, config: RayConfig) -> None:
    if config.address is not None:
        return
    if (here := ray.util.get_node_ip_address()) != LOOPBACK:
        raise ExecutorError(
            f"Ray was imported before worldloop could keep it to this machine, and would listen on {here}; import it "
            "later, or call ray.init yourself"
        )
    gpus, wanted = ray.cluster_resources().get("GPU", 0.0), (config.gpus_per_replica or 0.0) * config.replicas
    if wanted > gpus:
        raise InputError(
            f"--gpus-per-replica {config.gpus_per_replica:g} needs {wanted:g} GPUs for --replicas {config.replicas}; this "
            f"machine has {gpus:g}"
        )


def gpu_share(config: RayConfig) -> float:
    """GPUs of each replica."""
    import ray

    if config.gpus_per_replica is not None:
        return config.gpus_per_replica
    have = float(ray.cluster_resources().get("GPU", 0.0))
    return min(1.0, int(100 * have / config.replicas) / 100)


def cause_of(error: BaseException) -> str:
    """Why a process died, in at most 300 characters, without numbers of processes and machines."""
    text = " ".join(str(error).split())
    for mark in ("Worker exit detail: ", "The actor is dead because ", "Worker exit type: "):
        text = text.partition(mark)[2] or text
    return f"{type(error).__name__}: {text}"[:300]


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _quiet() -> None:
    """Ray prints a paragraph on stdout for each process that dies, which would spoil `--json`; the run tells it itself."""
    module: Any = sys.modules["ray._private.worker"]
    if hasattr(module, "_worker_logs_enabled"):
        module._worker_logs_enabled = False
