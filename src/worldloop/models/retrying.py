"""Asking a server again while that may help."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from worldloop.core import ServerError

T = TypeVar("T")
log = logging.getLogger(__name__)
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Replies that may be different at the next attempt."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds between attempts; they double."""


class PassingError(ServerError):
    """A failure that may be gone at the next attempt."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause
        """Seconds after which the server wants to be asked again; None where it does not say."""


def persist(
    once: Callable[[float], T], *, who: str, ends: float, retries: int, longest: float = LONGEST_PAUSE
) -> T:
    """What `once` returns, which is given the seconds that are left and raises PassingError for what may pass.

    Pauses double and are spread at random, so that clients do not march in step; `longest` bounds those that the server
    asks for, too. `ends`: on `time.monotonic`. ServerError, beginning with `who`, when attempts or time are used up.
    """
    problem = ""
    for number in range(1 + retries):
        left = ends - time.monotonic()
        if left <= 0:
            break
        pause = min(FIRST_PAUSE * 2**number, LONGEST_PAUSE) * (0.5 + random.random())
        try:
            return once(left)
        except PassingError as error:
            problem = str(error)
            if error.pause is not None:
                pause = min(error.pause, longest)
        if number < retries:
            pause = min(pause, max(0.0, ends - time.monotonic()))
            log.warning("%s: %s; attempt %d in %.1f s", who, problem, number + 2, pause)
            time.sleep(pause)
    raise ServerError(
        f"{who} gave no answer ({problem or 'no time left'}); is the server running and reachable?"
    )
