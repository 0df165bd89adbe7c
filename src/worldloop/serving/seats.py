"""Where sessions are kept: imagined walks that a server remembers, within limits of number, memory and idleness."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from worldloop.core import Action, Observation, Vocabulary
from worldloop.serving.config import ServeConfig
from worldloop.serving.faults import BusyError, UnknownSessionError


@dataclass(frozen=True)
class Session:
    """An imagined walk; immutable, so that a fork is a second name for it."""

    vocabulary: Vocabulary
    history: tuple[Observation, ...]
    """What the model is told next; where it keeps a state, one picture of the right size."""
    actions: tuple[Action, ...]
    seed: int
    steps: int = 0
    state: Any = None
    """The model's own, where it goes on from what it computed; None where it looks at `history` again."""

    @property
    def nbytes(self) -> int:
        """Memory that it holds, in bytes; what forks share is counted in each."""
        arrays = [
            a for o in self.history for a in (o.rgb, o.panorama, o.depth, o.segmentation, *o.extra.values())
        ]
        return sum(a.nbytes for a in arrays if a is not None) + int(getattr(self.state, "nbytes", 0))


@dataclass(eq=False)
class Seat:
    """The place of one session in one connection."""

    session: Session
    used: float
    """When it was last asked for, on the loop's clock."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Messages of one session are answered one after the other."""


class Seats:
    """The sessions of one connection by name, which count towards the limits of the whole server."""

    def __init__(self, hall: Hall) -> None:
        self._hall, self._count = hall, 0
        self._seats: dict[str, Seat] = {}

    def find(self, name: str) -> Seat:
        """The seat of a session that is used now. UnknownSessionError when there is none."""
        seat = self._seats.get(name)
        if seat is None:
            raise UnknownSessionError(
                f"there is no session {name[:40]!r} in this connection (one that is not used for "
                f"{self._hall.config.session_idle:g} s ends); reset opens one"
            )
        self.touch(seat)
        return seat

    def touch(self, seat: Seat) -> None:
        """It is used now."""
        seat.used = asyncio.get_running_loop().time()

    def room(self) -> None:
        """BusyError when one session more would be too many here or on the whole server."""
        for count, most, where in (
            (len(self._seats), self._hall.config.sessions_per_client, "in this connection"),
            (self._hall.counts["sessions"], self._hall.config.max_sessions, "on this server"),
        ):
            if count >= most:
                raise BusyError(f"there are {count} sessions {where}, which is the limit; close one")

    def take(self, session: Session) -> str:
        """The name of a new session. BusyError when there is no room or no memory for it."""
        self.room()
        self._hall.book(session.nbytes)
        self._hall.counts["sessions"] += 1
        self._count += 1
        name = str(self._count - 1)
        self._seats[name] = Seat(session, asyncio.get_running_loop().time())
        self._hall.watch(self)
        return name

    def move(self, seat: Seat, session: Session) -> None:
        """Let a seat's session go on. BusyError, and nothing has happened, when there is no memory for it."""
        if seat in self._seats.values():
            self._hall.book(session.nbytes - seat.session.nbytes)
            seat.session = session

    def leave(self, name: str) -> None:
        """End a session."""
        seat = self._seats.pop(name, None)
        if seat is not None:
            self._hall.counts["sessions"] -= 1
            self._hall.counts["session_bytes"] -= seat.session.nbytes

    def sweep(self, before: float) -> bool:
        """End what was last used before a time; whether any session is left. One that is at work is in use."""
        for name, seat in list(self._seats.items()):
            if seat.used < before and not seat.lock.locked():
                self.leave(name)
        return bool(self._seats)

    def close(self) -> None:
        """End all."""
        for name in list(self._seats):
            self.leave(name)


class Hall:
    """All sessions of a server: how many, how large, and which are idle."""

    def __init__(self, config: ServeConfig, counts: Counter[str]) -> None:
        self.config, self.counts = config, counts
        self._watched: set[Seats] = set()
        self._timer: asyncio.TimerHandle | None = None

    def book(self, size: int) -> None:
        """Count memory; BusyError when there is no more."""
        most = self.config.session_megabytes * 2**20
        if size > 0 and self.counts["session_bytes"] + size > most:
            raise BusyError(
                f"sessions hold {self.counts['session_bytes'] / 2**20:.0f} of {self.config.session_megabytes} MiB; close one"
            )
        self.counts["session_bytes"] += size

    def watch(self, seats: Seats) -> None:
        """Look now and then for sessions of a connection that nobody uses."""
        self._watched.add(seats)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.config.session_idle / 4, self._sweep)

    def _sweep(self) -> None:
        before = asyncio.get_running_loop().time() - self.config.session_idle
        self._watched = {s for s in self._watched if s.sweep(before)}
        self._timer = None
        if self._watched:
            self.watch(next(iter(self._watched)))
