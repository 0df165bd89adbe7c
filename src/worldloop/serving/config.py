"""Settings of a server."""

from __future__ import annotations

import re
from dataclasses import dataclass

from worldloop.core import InputError
from worldloop.core.network import loopback


@dataclass(frozen=True)
class ServeConfig:
    """Where a server listens, who may ask, and how much at once."""

    host: str = "127.0.0.1"
    port: int = 8765
    token: str = ""
    """Everybody who asks must show it; the empty one lets everybody in, from this machine only."""
    max_request_bytes: int = 256 * 2**20
    time_limit: float = 600.0
    """Seconds that a request may take, waiting included."""
    max_waiting: int = 512
    """Candidates that may wait; whoever comes then is told to come again."""
    cache_megabytes: int = 512
    """Rollouts that are kept in memory, so that a question that is asked again is not simulated again."""
    max_sessions: int = 256
    """Over all connections, of which there may be as many."""
    sessions_per_client: int = 64
    """In one connection."""
    session_idle: float = 900.0
    """Seconds after which a session that nobody uses ends."""
    session_megabytes: int = 2048
    """Memory for what sessions remember."""
    drain_seconds: float = 30.0
    """How long questions may take to end when the server is told to."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InputError(f"a port is a number from 0 to 65535, not {self.port}")
        if self.token and not re.fullmatch(r"[!-~]{8,}", self.token):
            raise InputError("a token has at least 8 visible ASCII characters and no spaces")
        if not self.token and not loopback(self.host):
            raise InputError(
                f"{self.host} can be reached from other machines: set a token (--token-env NAME), or serve on 127.0.0.1"
            )
        sizes = (
            *(self.max_request_bytes, self.time_limit, self.max_waiting, self.max_sessions),
            *(self.sessions_per_client, self.session_idle, self.session_megabytes),
        )
        if min(*sizes) <= 0 or self.cache_megabytes < 0 or self.drain_seconds < 0:
            raise InputError("limits of a server are positive")
