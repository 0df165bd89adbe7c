"""Many small jobs at once, each on one thread, so that no result depends on what else was asked.

Matrix libraries sum in an order that depends on batch size and thread count. Here each job has its own fixed
shapes and one thread; speed comes from several jobs at a time (torch releases the interpreter lock).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

X = TypeVar("X")
Y = TypeVar("Y")

MOST = 16
"""Threads of the pool at most."""
_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()


def each(function: Callable[[X], Y], items: Iterable[X]) -> list[Y]:
    """`[function(x) for x in items]` in inference mode; `function` must not call `each` itself."""

    def alone(item: X) -> Y:
        with torch.inference_mode():  # belongs to a thread, so it is entered here
            return function(item)

    return list(_pool().map(alone, items))


def _pool() -> ThreadPoolExecutor:
    """The pool of this process; threads do not survive a fork, so a child starts its own."""
    with _lock:
        if os.getpid() not in _pools:
            _pools.clear()
            cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            _pools[os.getpid()] = _start(min(cpus, MOST))
        return _pools[os.getpid()]


def _start(workers: int) -> ThreadPoolExecutor:
    default = torch.get_num_threads()
    everyone = threading.Barrier(workers + 1)

    def become_single() -> None:
        # The first question fixes a thread's own number; setting it also changes what later threads start
        # with, so all start first and the default is put back below.
        torch.get_num_threads()
        torch.set_num_threads(1)
        everyone.wait()

    pool = ThreadPoolExecutor(workers, thread_name_prefix="worldloop-video", initializer=become_single)
    for _ in range(workers):
        pool.submit(int)
    everyone.wait()
    torch.set_num_threads(default)
    return pool
