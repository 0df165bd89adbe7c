"""Write a self-contained HTML report of runs and scores: tables, intervals, and replays of what was imagined."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldloop.cli.console import out, print_json
from worldloop.runs import find_runs, read_run
from worldloop.runs.scores import find_scores, read_scores
from worldloop.view.metric_table import metric_tables
from worldloop.view.report import write_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `worldloop view`."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="folders of runs or scores, or folders that hold some"
    )
    parser.add_argument(
        "--html", default="report.html", metavar="FILE", help="where to write (default: %(default)s)"
    )
    parser.add_argument(
        "--allow-missing-controls", action="store_true", help="report runs without `none` or `oracle`"
    )
    parser.add_argument(
        "--replays",
        type=int,
        default=3,
        metavar="N",
        help="episodes shown for each run (default: %(default)s)",
    )


def main(options: argparse.Namespace) -> int:
    """Write the report and say where it is."""
    scores = [read_scores(folder) for folder in find_scores(options.runs)]
    runs = [read_run(folder) for folder in find_runs(options.runs, or_none=bool(scores))]
    path = Path(options.html)
    write_report(
        runs,
        path,
        replays=options.replays,
        allow_missing_controls=options.allow_missing_controls,
        metrics=metric_tables(scores) if scores else (),
    )
    if options.json:
        found = {"html": str(path), "bytes": path.stat().st_size, "runs": len(runs), "scores": len(scores)}
        print_json(found)
    else:
        out.print(
            f"{path} ({path.stat().st_size / 1e6:.1f} MB): open it in a browser",
            highlight=False,
            soft_wrap=True,
        )
    return 0
