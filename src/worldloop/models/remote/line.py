"""One WebSocket that many sessions talk through: replies find who asked by a number."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from itertools import count
from typing import Any

from worldloop.core import MissingExtraError, ServerError
from worldloop.models.remote.connections import LARGEST_REPLY
from worldloop.models.remote.wire import WireError, pack, unpack
from worldloop.models.retrying import PassingError


class LostError(PassingError):
    """The connection is gone, and the server's sessions with it."""


class Line:
    """A connection that is made when it is needed, and made anew when it was lost. Shared by threads."""

    def __init__(self, url: str, token: str, encoding: str) -> None:
        self._url = "ws" + url.removeprefix("http") + "/v1/sessions"
        self._headers = {"X-Worldloop-Encoding": encoding}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._lock = threading.Lock()
        self._socket: Any = None
        self._held = contextlib.ExitStack()
        self._asked: dict[int, Future[dict[str, Any]]] = {}
        self._numbers = count()
        self.life = 0
        """How many connections were lost; sessions of an earlier one are gone."""

    def ask(
        self, message: dict[str, Any], timeout: float, life: int | None = None
    ) -> tuple[dict[str, Any], int]:
        """The reply to a message, and the life of the connection that it came through.

        LostError when the connection is lost, or is no longer that of `life`.
        """
        answer: Future[dict[str, Any]] = Future()
        number = next(self._numbers)
        data = pack({**message, "id": number})
        with self._lock:
            socket = self._open(timeout) if life is None else self._socket
            now = self.life
            if socket is None or life not in (None, now):
                raise LostError(f"{self._url}: the connection was lost")
            self._asked[number] = answer
        try:
            socket.send(data)
            return answer.result(timeout), now
        except FutureTimeoutError:
            # Whether the server took the step is not known: only a new connection is sure to be in order.
            self._drop(socket)
            raise LostError(f"no reply within {timeout:.3g} s") from None
        except (OSError, self._closed()) as error:
            self._drop(socket)
            raise LostError(f"the connection was lost ({type(error).__name__})") from None
        finally:
            self._asked.pop(number, None)

    def close(self) -> None:
        """Close the connection; sessions end with it."""
        if self._socket is not None:
            self._drop(self._socket)

    def _open(self, timeout: float) -> Any:
        if self._socket is not None:
            return self._socket
        try:
            from websockets.exceptions import WebSocketException
            from websockets.sync.client import connect
        except ImportError:
            raise MissingExtraError("sessions with a remote model", "remote") from None
        try:
            # No proxy of the environment: the token goes where the user said. Frames do not get smaller by compression.
            self._socket = self._held.enter_context(
                connect(
                    self._url,
                    additional_headers=self._headers,
                    open_timeout=timeout,
                    close_timeout=1,
                    max_size=LARGEST_REPLY,
                    compression=None,
                    proxy=None,
                )
            )
        except (OSError, WebSocketException) as error:
            status = getattr(getattr(error, "response", None), "status_code", 0)
            if 400 <= status < 500:
                raise ServerError(
                    f"{self._url}: status {status}; it has no sessions, or wants a token"
                ) from None
            raise LostError(f"{self._url}: {type(error).__name__}: {error}") from None
        threading.Thread(
            target=self._listen, args=(self._socket,), name="worldloop-sessions", daemon=True
        ).start()
        return self._socket

    def _listen(self, socket: Any) -> None:
        with contextlib.suppress(OSError, self._closed(), WireError, AttributeError):
            while True:
                reply = unpack(socket.recv())
                waiting = self._asked.get(reply.get("id"))
                if waiting is not None and not waiting.done():
                    waiting.set_result(reply)
        self._drop(socket)

    def _drop(self, socket: Any) -> None:
        with self._lock:
            if self._socket is not socket:
                return
            self._socket, self.life = None, self.life + 1
            held, self._held = self._held, contextlib.ExitStack()
            lost, self._asked = list(self._asked.values()), {}
        for answer in lost:
            if not answer.done():
                answer.set_exception(ConnectionError("the connection was lost"))
        with contextlib.suppress(OSError, self._closed()):
            held.close()

    @staticmethod
    def _closed() -> type[Exception]:
        from websockets.exceptions import WebSocketException

        return WebSocketException
