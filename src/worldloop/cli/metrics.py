"""Measure what world models, or videos in a folder, show: quality, controllability, geometry, physics, interaction, long drives.

worldloop metrics --model M[,M] measures models beside the baselines frozen, shuffled and oracle on the same cases, and the same
command goes on where it was stopped. `list` names all metrics, `sanity` plants defects to see whether metrics do what they claim,
`cases` writes the questions for those who make videos elsewhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldloop.cli.console import errors, names, out, print_json, progress
from worldloop.cli.run import slug
from worldloop.cli.study import Show
from worldloop.core import InputError

if TYPE_CHECKING:
    from worldloop.engine.measure import MeasureSettings, Subject
    from worldloop.metrics.cases import CaseSpec
    from worldloop.metrics.metric import Metric
    from worldloop.runs.scores import Scores

CASES = 8
SUITE_KINDS = {
    "quality": ("walk", "keys", "table"),
    "controllability": ("walk", "keys", "compose"),
    "geometry": ("walk", "loop", "keys"),
    "physics": ("physics",),
    "interaction": ("walk", "keys", "table", "physics"),
    "long": ("loop", "long"),
}
"""Kinds of case that the metrics of a suite are made for; the full suite takes all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `worldloop metrics`."""
    add = parser.add_argument
    add(
        "what",
        nargs="?",
        default="run",
        choices=("run", "list", "sanity", "cases"),
        help="default: %(default)s",
    )
    add("--model", default="", help="world models, separated by commas; name:key=value,... sets options")
    add(
        "--videos",
        default="",
        metavar="DIR",
        help="videos in place of a model: DIR/CASE.mp4, .npy or a folder of .png",
    )
    add("--bare", action="store_true", help="with --videos: each video by itself, without cases")
    add(
        "--resample",
        action="store_true",
        help="with --videos: bring videos to the size and length of their case",
    )
    add("--has-start", action="store_true", help="with --videos: each begins with the start picture")
    add("--suite", default="full", choices=("full", *SUITE_KINDS), help="default: %(default)s")
    add("--metrics", default="", metavar="NAME,...", help="only these metrics, whatever the suite")
    add(
        "--kinds",
        default="",
        metavar="KIND,...",
        help="kinds of case (default: those that the suite is made for)",
    )
    add("--cases", type=int, default=CASES, metavar="N", help="cases of each kind (default: %(default)s)")
    add("--seed", type=int, default=0, help="of the list of cases")
    add(
        "--chunk",
        type=int,
        default=8,
        metavar="N",
        help="actions imagined in one call (default: %(default)s)",
    )
    add("--batch", type=int, default=4, metavar="N", help="cases asked together (default: %(default)s)")
    add("--no-baselines", action="store_true", help="leave out frozen, shuffled and oracle")
    add(
        "--keep-frames",
        type=int,
        default=1,
        metavar="N",
        help="store the imagined frames of the first N cases of each kind; -1: all (default: %(default)s)",
    )
    add("--retry-failed", action="store_true", help="do cases again in which something failed")
    add(
        "--composite",
        choices=("ewm",),
        help="also one number for each model; see docs/metrics.md for what it hides",
    )
    add("--out", metavar="DIR", help="where the scores, or the cases, go (default: runs/metrics)")
    add("--markdown", action="store_true", help="print tables as Markdown")


def main(options: argparse.Namespace) -> int:
    """Do what is asked for."""
    verbs: dict[str, Callable[[argparse.Namespace], int]] = {
        "run": _run,
        "list": _list,
        "sanity": _sanity,
        "cases": _cases,
    }
    return verbs[options.what](options)


def _run(options: argparse.Namespace) -> int:
    from worldloop.engine.measure import measure
    from worldloop.runs.scores import read_scores

    metrics, left_out = _metrics(options)
    folder = Path(options.out or "runs/metrics")
    subjects, baselines, specs, settings = _subjects(options, folder)
    for line in left_out:
        _say(line)
    given = {k: v for k, v in vars(options).items() if k not in ("verb", "json", "verbose")}
    with progress(quiet=options.json) as bar:
        lines = Bars(bar)
        headers = measure(
            subjects, specs, metrics, settings, baselines=baselines, given=given, progress=lines
        )
    scores = [read_scores(place) for _, place in (*subjects, *baselines)]
    show(scores, options, folder)
    whole = all(h.status == "complete" for h in headers)
    asked = scores[: len(subjects)]
    hopeless = any(all(r.status in ("failed", "unfit", "lacking") for r in s.rows) for s in asked)
    return 0 if whole and not hopeless else 1


class Bars:
    """A line of progress for each model."""

    def __init__(self, bar: Any) -> None:
        self._bar, self._lines = bar, dict[str, Any]()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show how many of the cases are done."""
        if what not in self._lines:
            self._lines[what] = self._bar.add_task(what, total=total, note="")
        self._bar.update(self._lines[what], completed=done, total=total)


def show(scores: Sequence[Scores], options: argparse.Namespace, folder: Path) -> None:
    """Print the tables, and the composite where it is asked for."""
    from worldloop.metrics.normalisers import read_normalisers
    from worldloop.view.composite import composite
    from worldloop.view.metric_table import metric_tables
    from worldloop.view.metric_text import to_markdown, to_rich

    tables = metric_tables(scores)
    one = composite(scores, read_normalisers()) if options.composite else None
    if options.json:
        found = {"folders": [str(s.folder) for s in scores], "tables": [t.to_dict() for t in tables]}
        print_json(found | ({"composite": one.to_dict()} if one else {}))
    elif options.markdown:
        out.print(to_markdown(tables), markup=False, highlight=False, soft_wrap=True)
    else:
        out.print(to_rich(tables))
    if one is not None and not options.json:
        out.print(one.to_rich())
        for note in one.notes():
            out.print(note, style="dim", markup=False, highlight=False, soft_wrap=True)
    if not options.json:
        _tell(f"Page: worldloop view {folder} --html {folder}/metrics.html")


def _subjects(
    options: argparse.Namespace, folder: Path
) -> tuple[list[tuple[Subject, Path]], list[tuple[Subject, Path]], list[CaseSpec], MeasureSettings]:
    """What is measured and where it goes, the baselines beside it, the list of cases, and the settings."""
    from worldloop.engine.check import usable
    from worldloop.engine.measure import BASELINES, MeasureSettings, ModelSubject
    from worldloop.engine.measure.videos import BareVideos, VideoFolder, bare_cases, build_bare
    from worldloop.metrics.cases import build_case
    from worldloop.models import MODELS

    if not (options.model or options.videos):
        raise InputError("say what to measure: --model M[,M] (see `worldloop list models`) or --videos DIR")
    if options.chunk < 1:
        raise InputError(f"--chunk counts actions from 1, got {options.chunk}")
    if (options.bare or options.resample or options.has_start) and not options.videos:
        raise InputError("--bare, --resample and --has-start belong to --videos")
    if options.bare and (options.model or options.resample or options.has_start):
        raise InputError(
            "--bare scores videos without cases: there is nothing to ask a model, or to bring them to"
        )
    specs = bare_cases(options.videos) if options.bare else _specs(options)
    subjects: list[tuple[Subject, Path]] = []
    baselines: list[tuple[Subject, Path]] = []
    if options.videos:
        videos = (
            BareVideos(options.videos)
            if options.bare
            else VideoFolder(options.videos, specs, options.resample, options.has_start)
        )
        subjects.append((videos, folder / slug(f"videos-{videos.name}")))
        for name in videos.unknown:
            _say(f"{options.videos}/{name} belongs to no case and is not scored")
        for name in videos.unread:
            _say(f"{options.videos}/{name} is not read: a video is an .mp4, an .npy or a folder of .png")
    asked = names(options.model)
    # To name one of the baselines that are measured anyway adds nothing.
    beside = [] if options.no_baselines or options.bare else list(BASELINES)
    for spec in [*asked, *(b for b in beside if b not in asked)]:
        place = folder / slug(spec)
        if place in {p for _, p in (*subjects, *baselines)}:
            raise InputError(f"{spec!r} is named twice")
        model = ModelSubject(usable(MODELS.create(spec), spec), options.chunk)
        (baselines if spec in beside else subjects).append((model, place))
    build = build_bare if options.bare else build_case
    settings = MeasureSettings(
        options.batch, 0, options.keep_frames, options.suite, options.retry_failed, build
    )
    return subjects, baselines, specs, settings


def _metrics(options: argparse.Namespace) -> tuple[list[Metric], list[str]]:
    """The metrics, and why others are left out: what does not come with the package is measured only when named."""
    from worldloop.metrics.metric import choose_metrics

    found = choose_metrics(options.suite, names(options.metrics))
    if not found:
        raise InputError(f"suite {options.suite!r} has no metric yet; see `worldloop metrics list`")
    left = [] if options.metrics else [m for m in found if m.optional]
    return [m for m in found if m not in left], [
        f"{m.name} is left out: {m.optional}; name it with --metrics" for m in left
    ]


def _specs(options: argparse.Namespace) -> list[CaseSpec]:
    from worldloop.metrics.cases import KINDS, list_cases

    usual = [k for k in KINDS if options.suite == "full" or k in SUITE_KINDS[options.suite]]
    if options.what == "sanity" and options.suite == "full":
        # Two hundred steps under every defect take as long as all others together; --suite long tries them.
        usual.remove("long")
    return list_cases(names(options.kinds) or usual, options.cases, options.seed)


def _list(options: argparse.Namespace) -> int:
    from worldloop.metrics.metric import choose_metrics
    from worldloop.view.metric_list import about, listed_markdown, listed_rich

    metrics = choose_metrics(options.suite, names(options.metrics))
    if options.json:
        print_json([about(m) for m in metrics])
    elif options.markdown:
        out.print(listed_markdown(metrics), markup=False, highlight=False, soft_wrap=True)
    else:
        out.print(listed_rich(metrics))
    return 0


def _sanity(options: argparse.Namespace) -> int:
    from worldloop.engine.measure.sanity import sanity
    from worldloop.metrics.defects import load_defects
    from worldloop.view.sanity_table import sanity_rich

    metrics, left_out = _metrics(options)
    specs = _specs(options)
    for line in [
        *left_out,
        *(f"{m.name} is scored over sets and not tried" for m in metrics if m.over == "set"),
    ]:
        _say(line)
    with progress(quiet=options.json) as bar:
        found = sanity(metrics, list(load_defects().values()), specs, Show(bar))
    if options.json:
        print_json(found.to_dict())
    else:
        out.print(sanity_rich(found))
    return 0 if found.passed else 1


def _cases(options: argparse.Namespace) -> int:
    from worldloop.engine.measure.export import export_cases

    if not options.out:
        raise InputError("say where the cases go: --out DIR")
    specs = _specs(options)
    with progress(quiet=options.json) as bar:
        path = export_cases(specs, Path(options.out), Show(bar))
    if options.json:
        print_json({"cases": str(path), "count": len(specs)})
    else:
        _tell(f"{path}: {len(specs)} cases. Put the videos into one folder and score them with")
        _tell("worldloop metrics --videos DIR and the same --suite, --kinds, --cases and --seed")
    return 0


def _say(text: str) -> None:
    errors.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _tell(text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)
