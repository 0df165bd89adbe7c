"""What can go wrong with a request, and what its client is told."""

from __future__ import annotations

from worldloop.core import WorldloopError
from worldloop.models.remote.wire import WireError


class BusyError(WorldloopError):
    """Too much is waiting already."""


class UnknownSessionError(WorldloopError):
    """A session that is not, or no longer, there."""


class TooLargeError(WorldloopError):
    """A body beyond the limit."""


_KINDS: tuple[tuple[type[Exception], str, int], ...] = (
    (WireError, "message", 400),
    (UnknownSessionError, "session", 404),
    (TooLargeError, "size", 413),
    (BusyError, "busy", 503),
    (TimeoutError, "time", 504),
)


def fault(error: Exception) -> tuple[str, int]:
    """What kind of failure a client is told of, and the status that says whether to ask again."""
    for known, kind, status in _KINDS:
        if isinstance(error, known):
            return kind, status
    return ("model", 422) if isinstance(error, WorldloopError) else ("fault", 500)
