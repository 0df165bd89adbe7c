"""Which episode is played next, and how many deaths are too many."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from worldloop.core import Episode, ExecutorError


@dataclass(eq=False)
class Item:
    """An episode that is not played yet."""

    index: int
    episode: Episode
    strikes: int = 0
    """Workers that died while they played it."""


class Todo:
    """The episodes that are left. A worker goes on with the scenes it has loaded, as long as there are episodes of them.

    An episode whose worker died is a suspect and is only given to a worker that plays nothing else: when that dies too, it is
    clear which episode does it.
    """

    def __init__(self, episodes: Sequence[tuple[int, Episode]]) -> None:
        self._scenes: dict[str, deque[Item]] = {}
        for index, episode in episodes:
            self._scenes.setdefault(episode.scene, deque()).append(Item(index, episode))
        self._suspects: deque[Item] = deque()
        self._loaded: Counter[str] = Counter()
        """In how many workers a scene is loaded."""
        self._bell = asyncio.Event()
        self.left = len(episodes)
        """Episodes that are not finished, those in play included."""

    def take(self, loaded: set[str], alone: bool) -> Item | None:
        """An episode for a worker that has loaded these scenes; its scene is added to them.

        `alone`: the worker plays nothing else. None when there is nothing for it now.
        """
        if alone and self._suspects:
            return self._suspects.popleft()
        waiting = [scene for scene, items in self._scenes.items() if items]
        if not waiting:
            return None
        own = [scene for scene in waiting if scene in loaded]
        # Then scenes that nobody has, and then those that fewest have.
        scene = own[0] if own else min(waiting, key=lambda s: self._loaded[s])
        if scene not in loaded:
            loaded.add(scene)
            self._loaded[scene] += 1
        return self._scenes[scene].popleft()

    def give_back(self, item: Item) -> None:
        """An episode whose worker died."""
        item.strikes += 1
        self._suspects.append(item)
        self._ring()

    def finished(self) -> None:
        """One episode is on disk."""
        self.left -= 1
        self._ring()

    def unload(self, loaded: set[str]) -> None:
        """A worker with these scenes is gone."""
        self._loaded.subtract(loaded)

    def changed(self) -> Coroutine[Any, Any, Any]:
        """Waits until an episode is given back or finished, counted from this call."""
        return self._bell.wait()

    def _ring(self) -> None:
        self._bell.set()
        self._bell = asyncio.Event()


class Deaths:
    """Counts processes that die before they get anything done. Those that did get something done had bad luck."""

    def __init__(self, limit: int) -> None:
        self._limit, self._row = limit, 0

    def progress(self) -> None:
        """Something was finished."""
        self._row = 0

    def note(self, who: str, cause: str, useless: bool) -> None:
        """A process died; `useless` when it had finished nothing. ExecutorError when too many did so in a row."""
        self._row += useless
        if self._row >= self._limit:
            raise ExecutorError(
                f"{self._row} processes died in a row with nothing finished in between; the last was {who}: {cause}. What is "
                "finished is kept, and the same command goes on from there"
            )
