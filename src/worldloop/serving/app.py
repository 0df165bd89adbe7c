"""The server: a world model behind HTTP and WebSocket, as an ASGI application."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from worldloop import __version__
from worldloop.core import MissingExtraError, WorldModel
from worldloop.models import mp4
from worldloop.models.remote import messages
from worldloop.models.remote.wire import ENCODINGS, LOSSY, MEDIA_TYPE, VERSION, pack_pieces, unpack
from worldloop.serving.config import ServeConfig
from worldloop.serving.faults import TooLargeError, fault
from worldloop.serving.hub import Hub

try:
    from starlette.applications import Starlette
    from starlette.datastructures import Headers
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route, WebSocketRoute
    from starlette.types import Receive, Scope, Send
    from starlette.websockets import WebSocket

    from worldloop.serving.conversation import converse
except ImportError:
    raise MissingExtraError("serving a world model", "serve") from None

log = logging.getLogger(__name__)
BUSY_SECONDS = 1
Endpoint = Callable[[Request], Awaitable[Response]]


def application(model: WorldModel, config: ServeConfig) -> Starlette:
    """The ASGI application of a model. InputError for one that cannot be served."""
    hub = Hub(model, config)
    encodings = [e for e in ENCODINGS if e != "mp4" or mp4.available()]

    def encoding(headers: Headers) -> str:
        """How pictures of a reply are written: as was asked for, where that is known here."""
        asked = headers.get("x-worldloop-encoding", "raw")
        return asked if asked in encodings else "raw"

    async def spec(request: Request) -> Response:
        card = messages.card_message(model.card)
        limits = {"max_request_bytes": config.max_request_bytes, "max_batch": getattr(model, "max_batch", 64)}
        known = {
            "protocol": VERSION,
            "worldloop": __version__,
            "card": card,
            "limits": limits,
            "encodings": encodings,
            "sessions": {"keeps_state": hub.stepper is not None, "idle_seconds": config.session_idle},
        }
        return JSONResponse(known)

    async def rollouts(request: Request) -> Response:
        data = await _body(request, config.max_request_bytes)
        queries = await asyncio.to_thread(lambda: messages.read_question(unpack(data)))
        asking = asyncio.ensure_future(hub.ask(queries))
        leaving = asyncio.ensure_future(_gone(request))
        try:
            # Who has left is not waited for: what has not begun is not simulated.
            await asyncio.wait((asking, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                hub.counts["abandoned"] += 1
                return Response(status_code=499)
            found, timing = asking.result()
        finally:
            asking.cancel()
            leaving.cancel()
        form = encoding(request.headers)
        message = messages.answer(found, timing) | {"encoding": form, "lossy": form in LOSSY}
        return Pieces(await asyncio.to_thread(lambda: pack_pieces(message, encoding=form)))

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "waiting": hub.waiting})

    async def metrics(request: Request) -> Response:
        values = {**hub.counts, "waiting": hub.waiting, "cache_hits": hub.cache.hits}
        lines = [f"worldloop_{name} {value}" for name, value in sorted(values.items())]
        return PlainTextResponse("\n".join(lines) + "\n")

    async def sessions(socket: WebSocket) -> None:
        if not _admitted(socket.headers.get("authorization", ""), config.token):
            await socket.close(4401, "a token is needed")
            return
        if hub.counts["connections"] >= config.max_sessions:
            await socket.close(1013, "too many connections; come again later")
            return
        await converse(socket, hub, encoding(socket.headers))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        hub.close()

    def guarded(endpoint: Endpoint) -> Endpoint:
        async def call(request: Request) -> Response:
            if not _admitted(request.headers.get("authorization", ""), config.token):
                return _error(401, "token", "a token is needed: Authorization: Bearer TOKEN")
            reply = await _told(endpoint, request)
            hub.counts[f"replies_{reply.status_code}"] += 1
            return reply

        return call

    async def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return _error(status, "request", f"{request.method} {request.url.path[:100]} is not known here")

    routes = [
        Route("/v1/spec", guarded(spec)),
        Route("/v1/rollouts", guarded(rollouts), methods=["POST"]),
        Route("/v1/metrics", guarded(metrics)),
        Route("/v1/health", health),
        WebSocketRoute("/v1/sessions", sessions),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={404: refused, 405: refused})
    # A path with one slash too many would be sent on to whatever host the client named.
    app.router.redirect_slashes = False
    return app


class Pieces(Response):
    """A message that is sent piece by piece, as the client takes it: frames go out from where they are."""

    def __init__(self, pieces: Sequence[bytes | memoryview]) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        self.headers["content-length"] = str(sum(map(len, pieces)))
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _told(endpoint: Endpoint, request: Request) -> Response:
    """The reply of an endpoint; of its failure, one that says whether to ask again."""
    try:
        return await endpoint(request)
    except ClientDisconnect:
        return Response(status_code=499)
    except Exception as error:
        kind, status = fault(error)
        if kind == "fault":
            log.exception("a request failed")
            return _error(status, kind, type(error).__name__)
        message = str(error) or "the time limit of this server has passed"
        return _error(status, kind, message, BUSY_SECONDS if kind == "busy" else None)


async def _body(request: Request, most: int) -> bytes:
    said = request.headers.get("content-length", "")
    too_large = TooLargeError(f"a request has at most {most} bytes")
    if said.isdigit() and int(said) > most:
        raise too_large
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise too_large
        pieces.append(piece)
    return b"".join(pieces)


async def _gone(request: Request) -> None:
    """Ends when the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _admitted(header: str, token: str) -> bool:
    kind, _, shown = header.partition(" ")
    return not token or (
        kind.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode())
    )


def _error(status: int, kind: str, message: str, pause: int | None = None) -> Response:
    headers = {"Retry-After": str(pause)} if pause else None
    body: dict[str, Any] = {"error": {"kind": kind, "message": message[:1000]}}
    return JSONResponse(body, status, headers)
