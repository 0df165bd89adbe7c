"""Running a server until it is told to stop."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from worldloop.core import InputError, MissingExtraError, WorldModel
from worldloop.serving.app import application
from worldloop.serving.config import ServeConfig


def serve(model: WorldModel, config: ServeConfig, ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve a model until SIGINT or SIGTERM; questions that have begun are answered first.

    `ready` is told the URL once the port is taken (port 0 takes a free one). InputError when it cannot be taken.
    """
    try:
        import uvicorn
    except ImportError:
        raise MissingExtraError("serving a world model", "serve") from None
    app = application(model, config)
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((config.host, config.port))
    except OSError as error:
        listening.close()
        raise InputError(
            f"cannot listen on {config.host}:{config.port}: {error.strerror}; choose another --port"
        ) from None
    host = f"[{config.host}]" if family == socket.AF_INET6 else config.host
    ready(f"http://{host}:{listening.getsockname()[1]}")
    settings = uvicorn.Config(
        app,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        ws_max_size=config.max_request_bytes,
        ws_per_message_deflate=False,  # frames do not get smaller by it
        timeout_graceful_shutdown=round(config.drain_seconds),
        lifespan="on",
    )
    try:
        uvicorn.Server(settings).run(sockets=[listening])
    finally:
        listening.close()
