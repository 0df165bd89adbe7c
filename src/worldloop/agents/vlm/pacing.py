"""How fast requests go out: so many at once, so many a minute, and none while the server wants a pause."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Pace:
    """Requests are spread evenly over the minute; `rpm` 0 sets no limit."""

    def __init__(self, lanes: int, rpm: float = 0.0) -> None:
        self._gate = asyncio.Semaphore(lanes)
        self._gap = 60.0 / rpm if rpm else 0.0
        self._free = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a lane and for the time of the next request."""
        clock = asyncio.get_running_loop().time
        async with self._gate:
            while (wait := self._free - clock()) > 0:  # somebody else may have been first meanwhile
                await asyncio.sleep(wait)
            self._free = clock() + self._gap
            yield

    def hold(self, seconds: float) -> None:
        """Let no further request out for so long."""
        self._free = max(self._free, asyncio.get_running_loop().time() + seconds)
