"""Kept connections to one server, shared by threads; bodies go into one buffer without passing through others."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from queue import Empty, LifoQueue
from typing import Any

import numpy as np

LARGEST_REPLY = 2**32
NETWORK_ERRORS = (OSError, http.client.HTTPException)
"""What a request may raise besides; a timeout among them."""


@dataclass(frozen=True)
class Reply:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: memoryview

    def text(self, most: int) -> str:
        """The first so many bytes of the body as text, whatever they are."""
        return bytes(self.body[:most]).decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON. ValueError or RecursionError for what is none."""
        return json.loads(bytes(self.body))


class TooLongError(http.client.HTTPException):
    """A reply beyond its bound."""


class Flight:
    """A request on its way, which another thread may call off."""

    def __init__(self) -> None:
        self.sock: socket.socket | None = None
        """What the request goes through now; None before and after."""
        self.called_off = False

    def call_off(self) -> None:
        """Whoever waits for the reply stops waiting, with an error."""
        self.called_off = True
        if (sock := self.sock) is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class Connections:
    """Requests to one server. The header `Authorization` is in each of them, and nowhere else."""

    def __init__(self, url: str, token: str = "") -> None:
        """url: of the server, perhaps with a path that all requests begin with. ValueError for a port that is none."""
        parts = urllib.parse.urlsplit(url)
        self._host, self._port, self._secure = parts.hostname or "", parts.port, parts.scheme == "https"
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Accept-Encoding": "identity"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        self._idle: LifoQueue[http.client.HTTPConnection] = LifoQueue()
        self._tls = ssl.create_default_context() if self._secure else None

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float,
        *,
        most: int = LARGEST_REPLY,
        flight: Flight | None = None,
    ) -> Reply:
        """The reply, read to its end within `timeout` seconds, however slowly it trickles in.

        `most`: bytes that its body may have. Raises one of `NETWORK_ERRORS`; a reply that is cut off or too long is one.
        """
        flight = flight or Flight()
        connection, kept = self._connection(timeout)
        # One alarm for all of it: a time limit for each read would start anew with every byte.
        alarm = threading.Timer(timeout, flight.call_off)
        alarm.daemon = True
        alarm.start()
        try:
            try:
                reply = self._exchange(connection, method, path, body, headers, most, flight)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                if not kept or flight.called_off:
                    raise
                # The server may have closed a connection that was idle; that is no fault of the request.
                connection.close()
                connection = self._fresh(timeout)
                reply = self._exchange(connection, method, path, body, headers, most, flight)
        except BaseException as error:
            connection.close()
            if flight.called_off and isinstance(error, NETWORK_ERRORS):
                raise TimeoutError(f"no complete reply within {timeout:.3g} s") from None
            raise
        finally:
            alarm.cancel()
            flight.sock = None
        self._idle.put(connection)
        return reply

    def close(self) -> None:
        """Close what is not in use."""
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return

    def _connection(self, timeout: float) -> tuple[http.client.HTTPConnection, bool]:
        try:
            connection = self._idle.get_nowait()
        except Empty:
            return self._fresh(timeout), False
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        connection.timeout = timeout
        return connection, True

    def _fresh(self, timeout: float) -> http.client.HTTPConnection:
        if self._tls is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        most: int,
        flight: Flight,
    ) -> Reply:
        if connection.sock is None:
            connection.connect()
        flight.sock = connection.sock
        if flight.called_off:
            raise ConnectionAbortedError("called off")
        connection.request(method, self._prefix + path, body, {**self._headers, **headers})
        reply = connection.getresponse()
        size = reply.length
        if (size or 0) > most:
            raise TooLongError(f"its reply is longer than {most} bytes")
        data = memoryview(_streamed(reply, most)) if size is None else _sized(reply, size)
        reply.close()
        return Reply(reply.status, {k.lower(): v for k, v in reply.headers.items()}, data)


def _sized(reply: http.client.HTTPResponse, size: int) -> memoryview:
    """The body of a reply that says how long it is."""
    # Not a bytearray: nothing is cleared first, and a large array of numpy's lies in large pages.
    data, got = np.empty(size, np.uint8).data, 0
    while got < size:
        count = reply.readinto(data[got:])
        if not count:
            raise http.client.IncompleteRead(b"", size - got)
        got += count
    return data


def _streamed(reply: http.client.HTTPResponse, most: int) -> bytearray:
    """The body of a reply that just ends somewhere."""
    data = bytearray()
    while piece := reply.read1(2**20):
        data += piece
        if len(data) > most:
            raise TooLongError(f"its reply is longer than {most} bytes")
    return data
