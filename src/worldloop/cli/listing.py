"""List the tasks, world models and agents that worldloop knows."""

from __future__ import annotations

import argparse
from typing import Any

from rich.table import Table

from worldloop.agents import AGENTS
from worldloop.cli.console import out, print_json
from worldloop.core import Registry
from worldloop.models import MODELS
from worldloop.tasks import TASKS

KINDS: dict[str, Registry[Any]] = {"tasks": TASKS, "models": MODELS, "agents": AGENTS}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `worldloop list`."""
    parser.add_argument("kind", nargs="?", choices=tuple(KINDS), help="only one kind")


def main(options: argparse.Namespace) -> int:
    """Print names and summaries."""
    shown = {k: r for k, r in KINDS.items() if options.kind in (None, k)}
    if options.json:
        print_json({k: {n: r.summary(n) for n in r.names()} for k, r in shown.items()})
        return 0
    for kind, registry in shown.items():
        table = Table(title=kind, title_justify="left", box=None, show_header=False, pad_edge=False)
        for name in registry.names():
            table.add_row(f"  [bold]{name}[/bold]", registry.summary(name))
        out.print(table)
    return 0
