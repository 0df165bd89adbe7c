"""Which axes and domains of a world model were looked at: a matrix of what really ran in these folders, next to other suites."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldloop.cli.console import out, print_json
from worldloop.core import InputError
from worldloop.runs import RunHeader, find_runs, read_run
from worldloop.runs.scores import find_scores, read_scores
from worldloop.view.coverage import coverage, to_markdown, to_rich


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `worldloop coverage`."""
    parser.add_argument(
        "folders", nargs="+", metavar="DIR", help="folders of scores or runs, or folders that hold some"
    )
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")


def main(options: argparse.Namespace) -> int:
    """Print the matrix."""
    scores = [read_scores(f) for f in find_scores(options.folders)]
    runs = [_finished(folder) for folder in find_runs(options.folders, or_none=True)]
    if not scores and not runs:
        raise InputError(f"there are neither scores nor runs in {', '.join(options.folders)}")
    found = coverage(scores, runs)
    if options.json:
        print_json(found.to_dict())
    elif options.markdown:
        out.print(to_markdown(found), markup=False, highlight=False, soft_wrap=True)
    else:
        out.print(to_rich(found))
    return 0


def _finished(folder: Path) -> tuple[RunHeader, int]:
    run = read_run(folder)
    return run.header, run.episodes["status"].to_pylist().count("finished")
