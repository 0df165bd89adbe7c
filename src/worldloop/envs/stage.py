"""One thread on which every environment of others lives.

A GL context belongs to the thread that made it, and one library of drawing routines serves all environments of a process:
what is called from the workers of a run is carried out here, one call after the other.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
NAME = "worldloop-stage"
_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()


def on_stage(function: Callable[..., T], *args: Any) -> T:
    """`function(*args)`, carried out on the thread of the environments; its exceptions pass through."""
    if threading.current_thread().name.startswith(NAME):
        return function(*args)
    return _pool().submit(function, *args).result()


def _pool() -> ThreadPoolExecutor:
    """The thread of this process; a forked child starts its own, because threads do not survive a fork."""
    with _lock:
        if os.getpid() not in _pools:
            _pools[os.getpid()] = ThreadPoolExecutor(1, thread_name_prefix=NAME)
        return _pools[os.getpid()]
