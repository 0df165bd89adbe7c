"""A world model on another machine, or in another environment, as if it were here."""

from __future__ import annotations

import json
import logging
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from worldloop.core import InputError, ModelCard, ModelError, Query, Rollout, ServerError
from worldloop.core.network import in_the_clear
from worldloop.models.remote import messages
from worldloop.models.remote.connections import NETWORK_ERRORS, Connections, Reply
from worldloop.models.remote.wire import MEDIA_TYPE, VERSION, WireError, pack, unpack

log = logging.getLogger(__name__)
TOKEN_ENV = "WORLDLOOP_TOKEN"
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Replies that may be different at the next attempt."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds between attempts; they double."""


class RemoteModel:
    """A model behind `worldloop serve`, or any server that speaks the protocol (docs/protocol.md).

    Connections are kept and shared by threads. What fails in passing (no connection, a reply that is cut off, status 408,
    425, 429 or 5xx) is asked again, after twice as long each time with a random spread, as long as the deadline allows.
    The server answers a question that is asked again from memory, so no model time is lost.
    """

    def __init__(
        self,
        url: str,
        timeout: float = 600.0,
        retries: int = 5,
        lanes: int = 4,
        token_env: str = TOKEN_ENV,
        encoding: str = "raw",
    ) -> None:
        """timeout: seconds for a question, attempts and pauses included; a reply that trickles in may take longer. lanes: questions at once.

        token_env: the environment variable with the server's token, if it wants one. encoding: of the pictures, `raw`, or
        `png`, which is smaller and slower. InputError for settings that make no sense, ServerError when the server cannot
        be reached or speaks something else.
        """
        if not url.startswith(("http://", "https://")):
            raise InputError(
                f"the address of a remote model begins with http:// or https://, not {url[:40]!r}"
            )
        if timeout <= 0 or retries < 0 or lanes < 1 or encoding not in ("raw", "png"):
            raise InputError(
                "remote: timeout and lanes are positive, retries 0 or more, encoding is raw or png"
            )
        self.url, self.timeout, self.retries, self.lanes = url.rstrip("/"), timeout, retries, lanes
        self._png, self._token_env = encoding == "png", token_env
        token = os.environ.get(token_env, "").strip()
        if token and in_the_clear(self.url):
            log.warning("the token of %s goes to %s unencrypted; https would hide it", token_env, self.url)
        try:
            self._connections = Connections(self.url, token)
        except ValueError as error:
            raise InputError(f"{self.url[:80]!r} is no address of a server: {error}") from None
        spec = self._spec()
        try:
            self._card = messages.read_card(spec.get("card"))
        except WireError as error:
            raise ServerError(f"{self.url} tells no usable card: {error}") from None
        limits = spec.get("limits")
        most = limits.get("max_batch") if isinstance(limits, dict) else None
        self.max_batch = most if isinstance(most, int) and 1 <= most <= 4096 else 64

    @property
    def card(self) -> ModelCard:
        """The served model's own card."""
        return self._card

    def simulate(self, queries: Sequence[Query]) -> list[Rollout]:
        """One rollout per query, in order. ModelError when the model failed, ServerError when no answer came in time."""
        if not queries:
            return []
        body = pack(messages.question(queries), png=self._png)
        headers = {"Content-Type": MEDIA_TYPE, "X-Worldloop-Encoding": "png" if self._png else "raw"}

        def read(data: bytearray) -> list[Rollout]:
            return messages.read_answer(unpack(data), len(queries))

        return self._asked("POST", "/v1/rollouts", read, body, headers)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    def _spec(self) -> dict[str, Any]:
        spec = self._asked("GET", "/v1/spec", json.loads)
        if not isinstance(spec, dict) or spec.get("protocol") != VERSION:
            told = spec.get("protocol") if isinstance(spec, dict) else None
            raise ServerError(f"{self.url} speaks protocol {told!r}; this client speaks {VERSION}")
        return spec

    def _asked(
        self,
        method: str,
        path: str,
        read: Callable[[bytearray], Any],
        body: bytes | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Any:
        """What `read` makes of the reply, tried again while that may help."""
        ends, problem = time.monotonic() + self.timeout, ""
        for number in range(1 + self.retries):
            left = ends - time.monotonic()
            if left <= 0:
                break
            pause = min(FIRST_PAUSE * 2**number, LONGEST_PAUSE) * (0.5 + random.random())
            try:
                reply = self._connections.request(method, path, body, headers, left)
                if reply.status == 200:
                    return read(reply.body)
                problem = _refusal(reply, self._token_env)
                if reply.status not in PASSING:
                    kind = ModelError if reply.status == 422 else ServerError
                    raise kind(f"{self.url}: {problem}")
                pause = _retry_after(reply.headers.get("retry-after"), pause)
            except (WireError, ValueError, RecursionError) as error:
                problem = f"no usable reply: {error}"
            except NETWORK_ERRORS as error:
                problem = f"{type(error).__name__}: {error}"
            if number < self.retries:
                pause = min(pause, max(0.0, ends - time.monotonic()))
                log.warning("%s: %s; attempt %d in %.1f s", self.url, problem, number + 2, pause)
                time.sleep(pause)
        raise ServerError(
            f"{self.url} gave no answer ({problem or 'no time left'}); is the server running and reachable?"
        )


def _refusal(reply: Reply, token_env: str) -> str:
    try:
        said = json.loads(reply.body)["error"]["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        said = reply.body[:200].decode("utf-8", "replace")
    advice = f"; set {token_env} to the server's token" if reply.status == 401 else ""
    return f"status {reply.status}: {' '.join(str(said).split())[:400]}{advice}"


def _retry_after(value: str | None, otherwise: float) -> float:
    try:
        return min(max(float(value or ""), 0.0), LONGEST_PAUSE)
    except ValueError:
        return otherwise
