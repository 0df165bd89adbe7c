"""Serve a world model over HTTP, so that runs in other environments and on other machines can ask it.

The protocol is in docs/protocol.md; `worldloop run --model http://127.0.0.1:8765` is its client.
"""

from __future__ import annotations

import argparse
import os

from worldloop.cli.console import out
from worldloop.core import InputError
from worldloop.engine.check import usable
from worldloop.models import MODELS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `worldloop serve`."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a name from `worldloop list`, or package.module.Class")
    add("--host", default="127.0.0.1", help="another than this machine needs a token (default: %(default)s)")
    add("--port", type=int, default=8765, help="0 takes a free one (default: %(default)s)")
    add(
        "--token-env",
        default="WORLDLOOP_TOKEN",
        metavar="NAME",
        help="environment variable with the token that clients must show, if it is set (default: %(default)s)",
    )
    add("--max-request-mb", type=int, default=256, metavar="N", help="largest request (default: %(default)s)")
    add(
        "--time-limit",
        type=float,
        default=600.0,
        metavar="S",
        help="seconds for a request (default: %(default)s)",
    )
    add(
        "--max-sessions",
        type=int,
        default=256,
        metavar="N",
        help="sessions over all connections (default: %(default)s)",
    )
    add(
        "--session-mb", type=int, default=2048, metavar="N", help="memory for sessions (default: %(default)s)"
    )
    add("--cache-mb", type=int, default=512, metavar="N", help="memory for answers (default: %(default)s)")


def main(options: argparse.Namespace) -> int:
    """Serve until interrupted; what has begun is answered first."""
    from worldloop.serving import ServeConfig, serve

    if options.json:
        raise InputError("serve prints no JSON; GET /v1/spec tells what is served")
    config = ServeConfig(
        options.host,
        options.port,
        os.environ.get(options.token_env, "").strip(),
        options.max_request_mb * 2**20,
        options.time_limit,
        cache_megabytes=options.cache_mb,
        max_sessions=options.max_sessions,
        session_megabytes=options.session_mb,
    )
    model = usable(MODELS.create(options.model), options.model)
    locked = "a token is needed" if config.token else "open to this machine"
    serve(
        model,
        config,
        lambda url: out.print(f"{model.card.name}: {url} ({locked})", highlight=False, soft_wrap=True),
    )
    return 0
