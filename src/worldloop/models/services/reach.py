"""Requests to a service: bounded in time and size. Keys go to the service itself, and show nowhere."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worldloop.core import InputError, ModelError, ServerError
from worldloop.core.network import loopback, retry_after
from worldloop.core.secret import Secret
from worldloop.models import mp4
from worldloop.models.remote.connections import NETWORK_ERRORS, Connections, Reply, TooLongError
from worldloop.models.retrying import PASSING, PassingError

LARGEST_JSON = 2**24
"""Bytes; some services echo the picture that they were sent."""
MOST_REDIRECTS = 3
VIDEO_TYPES = ("application/octet-stream", "binary/octet-stream", "application/mp4", "")
_PORTS = {"http": 80, "https": 443}
MOST_FRAMES = 2000
"""Pictures of one video, beyond which it is not used."""
Origin = tuple[str, str, int]
Film = tuple[bytes, int]
"""An mp4 file, and how many pictures it holds."""


@dataclass(frozen=True)
class Reach:
    """How a service is reached. A result does not depend on it."""

    timeout: float = 900.0
    """Seconds for one plan: attempts, waiting and the download included."""
    retries: int = 4
    """Further attempts of each request after what may pass (no connection, status 408, 425, 429 or 5xx)."""
    lanes: int = 4
    """Plans in flight."""
    hosts: tuple[str, ...] = ()
    """Other hosts than the service's own that videos may come from; they never get the key."""
    max_video_bytes: int = 2**28

    def __post_init__(self) -> None:
        if self.timeout <= 0 or self.retries < 0 or self.lanes < 1 or self.max_video_bytes < 1:
            raise InputError("video service: timeout, lanes and sizes are positive, retries 0 or more")


def origin_of(url: str) -> Origin:
    """Scheme, host and port. ValueError for what is no address."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        raise ValueError("no address of the form http(s)://HOST/PATH")
    return parts.scheme, parts.hostname.lower(), parts.port or _PORTS[parts.scheme]


class Caller:
    """Sends requests to one service, and to other hosts only for videos and where that is allowed."""

    def __init__(self, url: str, headers: Mapping[str, str], secrets: Sequence[Secret], reach: Reach) -> None:
        """`headers` are those with the keys; `secrets` are masked in whatever the service says."""
        self._origin, self._headers, self._secrets, self.reach = origin_of(url), headers, secrets, reach
        self.who = f"{self._origin[0]}://{self._origin[1]}:{self._origin[2]}"
        self._own = Connections(self.who)

    def json(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], left: float) -> Any:
        """The JSON of a reply of the service itself.

        PassingError for what may pass, ModelError when it refuses the content, ServerError for other refusals.
        """
        if origin_of(url) != self._origin:
            raise ServerError(f"{self.who}: its requests stay with it, and do not go to {origin_of(url)[1]}")
        reply = self._exchange(
            method, url, body, {"Accept": "application/json", **headers}, left, LARGEST_JSON
        )
        self._accept(reply)
        try:
            return reply.json()
        except (ValueError, RecursionError):
            kind = reply.headers.get("content-type", "")[:60]
            raise PassingError(f"its reply ({kind or 'of no type'}) is no JSON, or cut off") from None

    def video(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], left: float
    ) -> Film:
        """A video, wherever the service or a host that is allowed keeps it. Errors as above."""
        for _ in range(1 + MOST_REDIRECTS):
            self._check(url)
            reply = self._exchange(
                method, url, body, {"Accept": "video/mp4", **headers}, left, self.reach.max_video_bytes
            )
            if method != "GET" or reply.status not in (301, 302, 303, 307, 308):
                break
            url = urllib.parse.urljoin(url, reply.headers.get("location", ""))
        self._accept(reply)
        kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in VIDEO_TYPES and not kind.startswith("video/"):
            said = self.redact(reply.text(200))
            raise ServerError(f"{self.who} answered with {kind[:60]}, not with a video: {said}")
        data = bytes(reply.body)
        try:
            return data, mp4.count(data, MOST_FRAMES)
        except mp4.VideoError as error:
            raise PassingError(f"its video cannot be used: {error}") from None

    def redact(self, text: str) -> str:
        """Text of the service on one line, without keys."""
        for secret in self._secrets:
            text = secret.redact(text)
        return " ".join(text.split())

    def close(self) -> None:
        """Close the connections."""
        self._own.close()

    def _check(self, url: str) -> None:
        try:
            scheme, host, _ = origin = origin_of(url)
        except ValueError:
            raise ServerError(f"{self.who} gives an address of a video that is none") from None
        if origin == self._origin:
            return
        if host not in self.reach.hosts:
            raise ServerError(
                f"{self.who} keeps its video on {host}, which is not its own host; allow it with hosts={host} if you trust it"
            )
        if scheme != "https" and not loopback(host):
            raise ServerError(f"{self.who} keeps its video on {host} unencrypted; it is not fetched")

    def _exchange(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], left: float, most: int
    ) -> Reply:
        origin, parts = origin_of(url), urllib.parse.urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        own = origin == self._origin
        connections = self._own if own else Connections(f"{origin[0]}://{origin[1]}:{origin[2]}")
        try:
            sent = {**headers, **self._headers} if own else headers
            return connections.request(method, path, body, sent, left, most=most)
        except TooLongError as error:
            raise ServerError(f"{self.who}: {error}") from None
        except NETWORK_ERRORS as error:
            said = self.redact(f"{type(error).__name__}: {error}")[:300]
            raise PassingError(f"the connection failed ({said})") from None
        except UnicodeError:
            raise ServerError(f"{self.who} gives an address of a video that is none") from None
        finally:
            if not own:
                connections.close()

    def _accept(self, reply: Reply) -> None:
        """Nothing for a good reply; PassingError, ModelError or ServerError for others."""
        if 200 <= reply.status < 300:
            return
        said = self.redact(_said(reply))[:400] or "(nothing)"
        message = f"status {reply.status}: {said}"
        if reply.status in PASSING:
            raise PassingError(message, retry_after(reply.headers.get("retry-after")))
        if reply.status in (400, 422, 451):
            raise ModelError(f"{self.who} refused the plan's text or picture, or a setting of it: {message}")
        advice = {401: "; is the key right?", 403: "; may this key use this model?"}.get(reply.status, "")
        if 300 <= reply.status < 400:
            advice = "; redirections are not followed: give the final address"
        raise ServerError(f"{self.who}: {message}{advice}")


def _said(reply: Reply) -> str:
    """What an error says: its code and message where it has them."""
    text = reply.text(2000)
    try:
        error = reply.json()
        error = error.get("error", error)
        if isinstance(error, str):
            return error
        return ": ".join(str(error[n]) for n in ("code", "message") if error.get(n)) or text
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError):
        return text
