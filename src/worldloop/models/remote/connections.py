"""Kept connections to one server, shared by threads; bodies go into one buffer without passing through others."""

from __future__ import annotations

import http.client
import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from queue import Empty, LifoQueue

LARGEST_REPLY = 2**32
NETWORK_ERRORS = (OSError, http.client.HTTPException)
"""What a request may raise besides; a timeout among them."""


@dataclass(frozen=True)
class Reply:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytearray


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
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout: float
    ) -> Reply:
        """The reply, read to its end; `timeout` in seconds holds for each wait on the network.

        Raises one of `NETWORK_ERRORS`; a reply that is cut off is one.
        """
        connection, kept = self._connection(timeout)
        try:
            try:
                reply = self._exchange(connection, method, path, body, headers)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                if not kept:
                    raise
                # The server may have closed a connection that was idle; that is no fault of the request.
                connection.close()
                connection = self._fresh(timeout)
                reply = self._exchange(connection, method, path, body, headers)
        except BaseException:
            connection.close()
            raise
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
    ) -> Reply:
        connection.request(method, self._prefix + path, body, {**self._headers, **headers})
        reply = connection.getresponse()
        size = reply.length
        if size is None:
            data = bytearray(reply.read(LARGEST_REPLY))
        elif size > LARGEST_REPLY:
            raise http.client.HTTPException(f"a reply of {size} bytes is beyond all bounds")
        else:
            data, got = bytearray(size), 0
            view = memoryview(data)
            while got < size:
                count = reply.readinto(view[got:])
                if not count:
                    raise http.client.IncompleteRead(bytes(data[:0]), size - got)
                got += count
        reply.close()
        return Reply(reply.status, {k.lower(): v for k, v in reply.headers.items()}, data)
