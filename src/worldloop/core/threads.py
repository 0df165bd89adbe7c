"""Running a network on items one at a time, so that no result depends on what else was asked.

Matrix libraries choose their summation order by batch size and by thread count, so the result for one item
differs in the last bits between a batch of 1 and a batch of 16, or between one thread and two. Here each item
is a batch of its own and each operation runs on one thread; speed comes from several items at once, on a
pool of threads (torch releases the interpreter lock inside its operations).
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

MAX_WORKERS = 16
_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()


def available_cpus() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def each(function: Callable[[X], Y], items: Iterable[X]) -> list[Y]:
    """`[function(x) for x in items]` in inference mode, one torch thread per item, several items at once.

    `function` must treat its item alone and must not call `each` itself.
    """

    def alone(item: X) -> Y:
        # Inference mode belongs to a thread, so it is entered here and not by the caller.
        with torch.inference_mode():
            return function(item)

    return list(_pool().map(alone, items))


def _pool() -> ThreadPoolExecutor:
    """The pool of this process; a forked child starts its own, because threads do not survive a fork."""
    pid = os.getpid()
    with _lock:
        if pid not in _pools:
            _pools[pid] = _start(min(available_cpus(), MAX_WORKERS))
        return _pools[pid]


def _start(workers: int) -> ThreadPoolExecutor:
    before = torch.get_num_threads()
    barrier = threading.Barrier(workers + 1)

    def single_threaded() -> None:
        # A thread takes torch's default the first time it asks, so it must ask before it gets its own
        # number. Setting that also moves the default of later threads, hence the restoration below.
        torch.get_num_threads()
        torch.set_num_threads(1)
        barrier.wait()

    pool = ThreadPoolExecutor(workers, thread_name_prefix="worldloop-compute", initializer=single_threaded)
    for _ in range(workers):
        pool.submit(int)
    barrier.wait()
    torch.set_num_threads(before)
    return pool
