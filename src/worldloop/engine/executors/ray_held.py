"""Rollouts that lie in Ray's object store, kept by content; and on disk, where a folder is given."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from worldloop.engine.cache import RolloutCache
from worldloop.engine.executors.ray_worker import Held

log = logging.getLogger(__name__)
MEGABYTES = 256
"""What may be remembered at most, of an object store that has room for four times as much."""


class HeldCache:
    """As `RolloutCache`, but what it remembers stays in the object store. Belongs to the event loop of the run."""

    def __init__(self, folder: str | None, store_bytes: float) -> None:
        self._memory: OrderedDict[str, Held] = OrderedDict()
        self._room = min(MEGABYTES * 2**20, store_bytes / 4)
        self._disk = RolloutCache(folder, megabytes=0) if folder else None
        self._lock = threading.Lock()
        self._saving: set[asyncio.Future[None]] = set()

    def get(self, key: str) -> Held | None:
        """Where the rollout of a key lies, or None."""
        if key in self._memory:
            self._memory.move_to_end(key)
            return self._memory[key]
        if self._disk is None:
            return None
        import ray

        with self._lock:
            rollout = self._disk.get(key)
        return None if rollout is None else Held(ray.put(rollout), 0.0, 0)

    def put(self, key: str, rollout: Held) -> None:
        """Remember where a rollout lies; the oldest make room. It is written to disk in another thread."""
        self.forget([key])
        self._memory[key] = rollout
        self._room -= rollout.size
        while self._room < 0 and self._memory:
            self._room += self._memory.popitem(last=False)[1].size
        if self._disk is not None:
            saving = asyncio.get_running_loop().run_in_executor(None, self._save, key, rollout.ref)
            self._saving.add(saving)
            saving.add_done_callback(self._saved)

    def forget(self, keys: Iterable[str]) -> None:
        """Let go of what was lost with its machine."""
        for key in keys:
            if (held := self._memory.pop(key, None)) is not None:
                self._room += held.size

    def _save(self, key: str, ref: Any) -> None:
        import ray

        rollout = ray.get(ref)
        with self._lock:
            assert self._disk is not None
            self._disk.put(key, rollout)

    def _saved(self, saving: asyncio.Future[None]) -> None:
        self._saving.discard(saving)
        # The run needs no cache: what was lost with its machine, or finds no room on the disk, is asked again next time.
        if not saving.cancelled() and (error := saving.exception()) is not None:
            log.warning("a rollout was not written to the cache: %s", error)

    async def close(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._saving, return_exceptions=True)
