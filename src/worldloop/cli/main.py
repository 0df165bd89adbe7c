"""The command line: one file for each verb, and one place that turns errors into advice."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType

from rich.logging import RichHandler

from worldloop import __version__
from worldloop.cli import (
    check,
    collect,
    compare,
    coverage,
    listing,
    metrics,
    play,
    run,
    serve,
    study,
    train,
    view,
)
from worldloop.cli.console import errors
from worldloop.core import WorldloopError

VERBS: dict[str, ModuleType] = {
    "run": run,
    "compare": compare,
    "metrics": metrics,
    "coverage": coverage,
    "view": view,
    "check": check,
    "play": play,
    "list": listing,
    "collect": collect,
    "train": train,
    "study": study,
    "serve": serve,
}


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="worldloop", description="Does this world model help an agent succeed?", allow_abbrev=False
    )
    top.add_argument("--version", action="version", version=f"worldloop {__version__}")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, module in VERBS.items():
        summary = (module.__doc__ or "").strip().splitlines()[0]
        verb = verbs.add_parser(name, help=summary, description=module.__doc__, allow_abbrev=False)
        verb.add_argument("--json", action="store_true", help="print the result as JSON and nothing else")
        verb.add_argument("--verbose", action="store_true", help="log what is going on")
        module.add_arguments(verb)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 well, 1 a check failed or a fault of ours, 2 bad input."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = parser().parse_args(given)
    except SystemExit as stop:
        return int(stop.code or 0)
    level = logging.INFO if options.verbose else logging.ERROR
    logging.basicConfig(level=level, format="%(message)s", handlers=[RichHandler(console=errors)], force=True)
    try:
        return int(VERBS[options.verb].main(options))
    except WorldloopError as error:
        return _complain(str(error), 2)
    except KeyboardInterrupt:
        return _complain("interrupted; the same command goes on from here", 130)
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:  # noqa: BLE001 - the last place where a traceback can be kept from a user
        if os.environ.get("WORLDLOOP_DEBUG"):
            traceback.print_exc()
        kind = type(error).__name__
        return _complain(f"{kind}: {error} (a fault of worldloop; WORLDLOOP_DEBUG=1 shows where)", 1)


def _complain(message: str, status: int) -> int:
    errors.print(f"worldloop: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    return status


def entry() -> None:
    """The console script."""
    sys.exit(main())
