"""Check that a world model keeps the contract: frames, shapes, seeds, batches, inputs, time."""

from __future__ import annotations

import argparse

from rich.table import Table

from worldloop.cli.console import out, print_json
from worldloop.engine.check import check_model, usable
from worldloop.models import MODELS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `worldloop check`."""
    parser.add_argument(
        "model", metavar="MODEL", help="a name from `worldloop list`, or package.module.Class"
    )
    parser.add_argument(
        "--horizon", type=int, default=4, metavar="L", help="actions in a plan (default: %(default)s)"
    )
    parser.add_argument(
        "--scene",
        help="where observations come from (default: a house or a table, as the model can be asked)",
    )


def main(options: argparse.Namespace) -> int:
    """Print one line per check; exit status 1 when one fails."""
    report = check_model(
        usable(MODELS.create(options.model), options.model), scene=options.scene, horizon=options.horizon
    )
    if options.json:
        print_json(report.to_dict())
    else:
        table = Table(box=None, pad_edge=False)
        for title in ("check", "result", "detail"):
            table.add_column(title)
        colours = {"pass": "green", "fail": "red", "note": "yellow", "skip": "dim"}
        for item in report.items:
            table.add_row(item.name, f"[{colours[item.result]}]{item.result}[/]", item.detail)
        out.print(table)
        out.print(report.badge, highlight=False)
    return 0 if report.passed else 1
