"""Where `worldloop run` plays its episodes: in this process, or on Ray."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from worldloop.core import InputError
from worldloop.engine import Executor, LocalExecutor, RayConfig, RayExecutor

RAY_OPTIONS = {
    "workers": "workers",
    "replicas": "replicas",
    "gpus_per_replica": "gpus_per_replica",
    "ray_address": "address",
}
"""Option -> field of `RayConfig`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say where."""
    add = parser.add_argument
    add(
        "--executor",
        default="local",
        choices=("local", "ray"),
        help="local: all in this process; ray: several processes, here or on a cluster, with the same results",
    )
    add("--workers", type=int, metavar="N", help="with ray: processes that play episodes (default: 2)")
    add("--replicas", type=int, metavar="N", help="with ray: copies of the world model (default: 1)")
    add(
        "--gpus-per-replica",
        type=float,
        metavar="X",
        help="with ray: GPUs of each copy, such as 0.5 (default: all GPUs are shared evenly)",
    )
    add(
        "--ray-address",
        metavar="ADDR",
        help="with ray: the cluster to join, `auto` or host:port (default: a private Ray on this machine)",
    )


def executor_of(options: argparse.Namespace) -> AbstractContextManager[Executor]:
    """The executor that is asked for; InputError for options that belong to the other one."""
    given = [name for name in RAY_OPTIONS if getattr(options, name) is not None]
    if options.executor == "local":
        if given:
            raise InputError(f"--{given[0].replace('_', '-')} belongs to --executor ray")
        return nullcontext(LocalExecutor())
    values: dict[str, Any] = {RAY_OPTIONS[name]: getattr(options, name) for name in given}
    return RayExecutor(RayConfig(specs=True, **values))
