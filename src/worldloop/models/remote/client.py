"""A world model on another machine, or in another environment, as if it were here."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from worldloop.core import (
    Action,
    InputError,
    ModelCard,
    ModelError,
    Observation,
    Query,
    Rollout,
    ServerError,
    Vocabulary,
)
from worldloop.core.network import in_the_clear, retry_after
from worldloop.models import mp4
from worldloop.models.remote import messages
from worldloop.models.remote.connections import NETWORK_ERRORS, Connections, Flight, Reply
from worldloop.models.remote.hedging import hedged
from worldloop.models.remote.line import Line
from worldloop.models.remote.session import Patience, RemoteSession, Trail
from worldloop.models.remote.wire import ENCODINGS, LOSSY, MEDIA_TYPE, VERSION, WireError, pack, unpack
from worldloop.models.retrying import PASSING, PassingError, persist

log = logging.getLogger(__name__)
TOKEN_ENV = "WORLDLOOP_TOKEN"


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
        hedge: float = 0.0,
    ) -> None:
        """timeout: seconds for a question, attempts and pauses included. lanes: questions at once.

        token_env: the environment variable with the server's token, if it wants one. encoding: of the pictures, `raw`,
        `png`, which is smaller and slower, or `mp4`, which is much smaller and changes what the model said: the card then
        says so. hedge: seconds after which a question that has no answer is asked a second time beside the first; 0 never
        does. InputError for settings that make no sense, ServerError when the server cannot be reached or speaks something
        else.
        """
        if not url.startswith(("http://", "https://")):
            raise InputError(
                f"the address of a remote model begins with http:// or https://, not {url[:40]!r}"
            )
        if timeout <= 0 or retries < 0 or lanes < 1 or hedge < 0 or encoding not in ENCODINGS:
            raise InputError(
                f"remote: timeout and lanes are positive, retries and hedge 0 or more, encoding is {', '.join(ENCODINGS)}"
            )
        if encoding in LOSSY:
            mp4.load_av()
        self.url, self.timeout, self.retries, self.lanes = url.rstrip("/"), timeout, retries, lanes
        self.encoding, self.hedge, self._token_env = encoding, hedge, token_env
        token = os.environ.get(token_env, "").strip()
        if token and in_the_clear(self.url):
            log.warning("the token of %s goes to %s unencrypted; https would hide it", token_env, self.url)
        try:
            self._connections = Connections(self.url, token)
            self._line = Line(self.url, token, encoding)
        except ValueError as error:
            raise InputError(f"{self.url[:80]!r} is no address of a server: {error}") from None
        spec = self._spec()
        try:
            self._card = messages.read_card(spec.get("card"))
        except WireError as error:
            raise ServerError(f"{self.url} tells no usable card: {error}") from None
        if encoding in LOSSY:
            self._card = self._lossy(spec)
        limits = spec.get("limits")
        most = limits.get("max_batch") if isinstance(limits, dict) else None
        self.max_batch = most if isinstance(most, int) and 1 <= most <= 4096 else 64

    @property
    def card(self) -> ModelCard:
        """The served model's own card; with an encoding that loses something, its settings say so."""
        return self._card

    def simulate(self, queries: Sequence[Query]) -> list[Rollout]:
        """One rollout per query, in order. ModelError when the model failed, ServerError when no answer came in time."""
        if not queries:
            return []
        # What the model is shown goes without loss, whatever its answer comes back as.
        body = pack(messages.question(queries), encoding="raw" if self.encoding == "raw" else "png")
        headers = {"Content-Type": MEDIA_TYPE, "X-Worldloop-Encoding": self.encoding}

        def read(reply: Reply) -> list[Rollout]:
            return messages.read_answer(unpack(reply.body), len(queries))

        return self._asked("POST", "/v1/rollouts", read, body, headers)  # type: ignore[no-any-return]

    def session(
        self,
        vocabulary: Vocabulary,
        history: Sequence[Observation],
        actions: Sequence[Action] = (),
        seed: int = 0,
    ) -> RemoteSession:
        """An imagined walk on the server that sets out from the present, the last observation of the history.

        ModelError when the model refuses, ServerError when the server cannot be reached or has no room.
        """
        patience = Patience(self.url, self.timeout, self.retries)
        trail = Trail(messages.context(vocabulary, history, actions), seed)
        return RemoteSession(self._line, patience, vocabulary, trail).open()

    def close(self) -> None:
        """Close the connections; sessions end."""
        self._connections.close()
        self._line.close()

    def _spec(self) -> dict[str, Any]:
        spec = self._asked("GET", "/v1/spec", Reply.json)
        if not isinstance(spec, dict) or spec.get("protocol") != VERSION:
            told = spec.get("protocol") if isinstance(spec, dict) else None
            raise ServerError(f"{self.url} speaks protocol {told!r}; this client speaks {VERSION}")
        return spec

    def _asked(
        self,
        method: str,
        path: str,
        read: Callable[[Reply], Any],
        body: bytes | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Any:
        """What `read` makes of the reply, tried again while that may help."""

        def once(left: float) -> Any:
            try:
                return self._read(self._reply(method, path, body, headers, left), read)
            except (WireError, ValueError, RecursionError) as error:
                raise PassingError(f"no usable reply: {error}") from None
            except NETWORK_ERRORS as error:
                raise PassingError(f"{type(error).__name__}: {error}") from None

        ends = time.monotonic() + self.timeout
        return persist(once, who=self.url, ends=ends, retries=self.retries)

    def _reply(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], left: float
    ) -> Reply:
        ends = time.monotonic() + left

        def send(flight: Flight) -> Reply:
            seconds = max(ends - time.monotonic(), 0.001)
            return self._connections.request(method, path, body, headers, seconds, flight=flight)

        return hedged(send, self.hedge) if self.hedge else send(Flight())

    def _read(self, reply: Reply, read: Callable[[Reply], Any]) -> Any:
        if reply.status == 200:
            return read(reply)
        problem = _refusal(reply, self._token_env)
        if reply.status in PASSING:
            raise PassingError(problem, retry_after(reply.headers.get("retry-after")))
        kind = ModelError if reply.status == 422 else ServerError
        raise kind(f"{self.url}: {problem}")

    def _lossy(self, spec: Mapping[str, Any]) -> ModelCard:
        """The card of a model whose pictures come with loss, so that its results are not taken for those without."""
        known = spec.get("encodings")
        if not isinstance(known, list) or self.encoding not in known:
            offered = ", ".join(map(str, known)) if isinstance(known, list) else "raw"
            raise InputError(f"{self.url} offers no encoding={self.encoding}; it offers: {offered[:100]}")
        card = self._card
        told = {**card.settings, "frames": f"{self.encoding}, lossy"}
        notes = f"{card.notes} Frames came as {self.encoding}, which is lossy.".strip()
        return replace(card, settings=told, notes=notes)


def _refusal(reply: Reply, token_env: str) -> str:
    try:
        said = reply.json()["error"]["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        said = reply.text(200)
    advice = f"; set {token_env} to the server's token" if reply.status == 401 else ""
    return f"status {reply.status}: {' '.join(str(said).split())[:400]}{advice}"
