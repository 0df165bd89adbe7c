"""Compare runs: success rates with intervals, paired differences against `none`, utility."""

from __future__ import annotations

import argparse

from worldloop.cli.console import out, print_json
from worldloop.core import InputError
from worldloop.runs import find_runs, read_run
from worldloop.view.leaderboard import leaderboard
from worldloop.view.sequential import boards_dict, boards_markdown, boards_rich, sequential_boards


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `worldloop compare`."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders, or folders that hold some")
    parser.add_argument(
        "--baseline", default="none", help="model that others are compared with (default: %(default)s)"
    )
    parser.add_argument(
        "--ceiling", default="oracle", help="model that utility is measured against (default: %(default)s)"
    )
    parser.add_argument(
        "--confidence", type=float, default=0.95, help="of all intervals (default: %(default)s)"
    )
    parser.add_argument(
        "--allow-missing-controls", action="store_true", help="print a table that lacks `none` or `oracle`"
    )
    parser.add_argument(
        "--sequential",
        action="store_true",
        help="look after every scene, in an order drawn beforehand, and stop at a verdict; unfinished runs will do",
    )
    parser.add_argument(
        "--margin",
        type=float,
        metavar="D",
        help="with --sequential: differences of SR below D are `alike` (default: no such verdict)",
    )
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")


def main(options: argparse.Namespace) -> int:
    """Print the leaderboard."""
    if not 0.5 <= options.confidence < 1:
        raise InputError(f"--confidence lies between 0.5 and 1, got {options.confidence}")
    runs = [read_run(folder) for folder in find_runs(options.runs)]
    if options.margin is not None and not options.sequential:
        raise InputError("--margin belongs to --sequential")
    if options.sequential:
        boards = sequential_boards(runs, options.baseline, options.confidence, options.margin)
        if options.json:
            print_json(boards_dict(boards))
        elif options.markdown:
            out.print(boards_markdown(boards), markup=False, highlight=False, soft_wrap=True)
        else:
            out.print(boards_rich(boards))
        return 0
    board = leaderboard(
        runs,
        baseline=options.baseline,
        ceiling=options.ceiling,
        confidence=options.confidence,
        allow_missing_controls=options.allow_missing_controls,
    )
    if options.json:
        print_json(board.to_dict())
    elif options.markdown:
        out.print(board.to_markdown(), markup=False, highlight=False, soft_wrap=True)
    else:
        out.print(board.to_rich())
    return 0
