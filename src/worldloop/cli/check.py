"""Check that a world model keeps the contract: frames, seeds, batches, controls, odd questions (docs/conformance.md)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from worldloop.cli.console import out, print_json
from worldloop.engine.check import CheckReport, badge_svg, check_model, usable
from worldloop.models import MODELS
from worldloop.runs.disk import replace_text

COLOURS = {"pass": "green", "fail": "red", "note": "yellow", "skip": "dim"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `worldloop check`."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a name from `worldloop list`, package.module.Class, or http://HOST:PORT",
    )
    parser.add_argument(
        "--horizon", type=int, default=4, metavar="L", help="actions in a plan (default: %(default)s)"
    )
    parser.add_argument(
        "--scene",
        help="where observations come from (default: a house or a table, as the model can be asked)",
    )
    parser.add_argument("--report", metavar="FILE", help="write what --json prints into a file, too")
    parser.add_argument("--badge", metavar="FILE.svg", help="write a badge for a README")


def main(options: argparse.Namespace) -> int:
    """Print one line per check; exit status 1 when one fails."""
    report = check_model(
        usable(MODELS.create(options.model), options.model), scene=options.scene, horizon=options.horizon
    )
    if options.report:
        text = json.dumps(report.to_dict(), indent=1, sort_keys=True, allow_nan=False) + "\n"
        replace_text(_place(options.report), text)
    if options.badge:
        replace_text(_place(options.badge), badge_svg(report))
    if options.json:
        print_json(report.to_dict())
    else:
        out.print(_table(report))
        out.print(report.badge, highlight=False, markup=False)
    return 0 if report.passed else 1


def _table(report: CheckReport) -> Table:
    """A row for each check; where one failed, what to do about it below."""
    table = Table(box=None, pad_edge=False)
    for title in ("check", "result", "detail"):
        table.add_column(title)
    for item in report.items:
        name = item.id if item.name == item.id else f"{item.id}  [dim]{escape(item.name)}[/]"
        detail = escape(item.detail)
        if item.advice:
            detail += f"\n[bold]-> {escape(item.advice)}[/]"
        table.add_row(name, f"[{COLOURS[item.result]}]{item.result}[/]", detail)
    return table


def _place(name: str) -> Path:
    """The path of a file to be written, in a folder that is there."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
