"""Reproduce a published finding end to end: train what it needs, measure all arms, say what the intervals say.

Writes study.json, study.svg, models/ and runs/ (ordinary run folders) into --out. The same command goes on where it
was stopped and repeats nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from worldloop.cli.console import episode_numbers, errors, names, out, print_json, progress
from worldloop.core import InputError
from worldloop.view.wide import Wide

if TYPE_CHECKING:
    from worldloop.studies import Adaptation, Evaluation, Ready, StudyResult
    from worldloop.studies.evaluation import Progress

ADAPTING = (
    "base",
    "data",
    "epochs",
    "batch",
    "learning_rate",
    "rank",
    "precision",
    "sampling_steps",
    "latents",
)
OPTIONS = {
    "data-scaling": (*ADAPTING, "sizes", "control"),
    "compute-scaling": ("model", "rollouts"),
    "adaptation-vs-scale": ("models",),
    "style-transfer": (*ADAPTING, "examples", "control", "models"),
    "control-format": (*ADAPTING, "examples"),
    "controllability-vs-quality": ("models", "cases"),
}
"""Options that belong to some studies only."""
TASKS = "active-recognition,image-goal"
SIZES, ROLLOUTS, CONTROL = "400,2000,4000,20000", "1,3,6,11", "code"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `worldloop study`."""
    add = parser.add_argument
    add("what", choices=tuple(OPTIONS))
    add("--out", metavar="DIR", help="the study's folder (default: studies/NAME)")
    add("--base", metavar="FILE", help="all but the scale studies: the video model to adapt")
    add("--data", metavar="DIR[,DIR]", help="datasets of `worldloop collect` to adapt it on")
    add("--sizes", metavar="N,...", help=f"data-scaling: numbers of examples (default: {SIZES})")
    add("--control", help=f"data-scaling, style-transfer: text, code or camera (default: {CONTROL})")
    add("--examples", type=int, metavar="N", help="style-transfer, control-format: clips (default: all)")
    add("--epochs", type=int, metavar="N", help="times through the clips (default: 1)")
    add("--batch", type=int, metavar="B", help="examples in a step (default: 16)")
    add("--learning-rate", type=float, metavar="X", help="default: 0.001")
    add("--rank", type=int, metavar="R", help="rank of the adapters (default: 1.5 %% are trained)")
    add("--precision", choices=("auto", "fp32", "bf16"), help="of the training (default: auto)")
    add("--sampling-steps", type=int, metavar="N", help="of the adapted models (default: as the base)")
    add("--latents", metavar="DIR", help="keep the encoded data here for other studies and trainings")
    add("--model", metavar="SPEC", help="compute-scaling: a world model, as `worldloop run` takes it")
    add(
        "--rollouts",
        metavar="M,...",
        help=f"compute-scaling: plans for each decision (default: {ROLLOUTS})",
    )
    add(
        "--models",
        metavar="ROLE=FILE,...",
        help="adaptation-vs-scale: small-adapted=FILE,large-base=FILE and, if wanted, small-base=FILE; "
        "style-transfer, instead of training: base=FILE,adapted=FILE; controllability-vs-quality: world models, as "
        "`worldloop run` takes them (default: controls of several strengths, point cloud and packaged video models)",
    )
    add("--cases", type=int, metavar="N", help="controllability-vs-quality: cases of each kind (default: 24)")
    add("--tasks", help=f"default: {TASKS}; controllability-vs-quality: all four")
    add("--split", default="test", help="`test`, `val`, `mini` or an episode file (default: %(default)s)")
    add(
        "--episodes",
        metavar="N|TASK=N,...",
        help="only the first N episodes of each list, or of the lists of these tasks",
    )
    add(
        "--trials",
        type=int,
        default=96,
        metavar="N",
        help="open-loop trials over all styles (default: %(default)s)",
    )
    add("--open-loop-only", action="store_true", help="leave out the closed loop")
    add(
        "--reference-runs",
        metavar="DIR",
        help="finished runs on the same lists: of none, oracle and, if there, the arms",
    )
    add("--seed", type=int, default=0)
    add("--concurrency", type=int, default=8, metavar="C", help="episodes in flight (default: %(default)s)")
    add(
        "--device", default="auto", help="where video models answer: cpu, cuda or auto (default: %(default)s)"
    )


def main(options: argparse.Namespace) -> int:
    """Do the study, then print its table and verdict."""
    allowed = OPTIONS[options.what]
    for option in sorted({o for given in OPTIONS.values() for o in given} - set(allowed)):
        if getattr(options, option) is not None:
            raise InputError(f"--{option.replace('_', '-')} does not belong to {options.what}")
    study = _STUDIES[options.what]
    folder = Path(options.out or Path("studies") / options.what)
    with progress(quiet=options.json) as bar:
        result = study(options, folder, Show(bar))
    if options.json:
        print_json(result.to_dict())
    else:
        _print(result, folder)
    return 0 if result.measured else 1


@dataclass
class Show:
    """A line of progress for each stage; a finished stage stays."""

    bar: Any
    label: str = ""
    line: Any = None

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self.label:
            self.label, self.line = what, self.bar.add_task(what, total=total, note="")
        self.bar.update(self.line, completed=done, total=total)


def _data_scaling(options: argparse.Namespace, folder: Path, show: Progress) -> StudyResult:
    from worldloop.studies import DataScaling, data_scaling

    sizes = _numbers("--sizes", options.sizes or SIZES)
    return data_scaling(DataScaling(_adaptation(options), folder, sizes, _evaluation(options)), show)


def _compute_scaling(options: argparse.Namespace, folder: Path, show: Progress) -> StudyResult:
    from worldloop.studies import ComputeScaling, compute_scaling

    if not options.model:
        raise InputError("give the world model with --model SPEC; see `worldloop list`")
    rollouts = _numbers("--rollouts", options.rollouts or ROLLOUTS)
    return compute_scaling(ComputeScaling(options.model, folder, rollouts, _evaluation(options)), show)


def _adaptation_vs_scale(options: argparse.Namespace, folder: Path, show: Progress) -> StudyResult:
    from worldloop.studies import AdaptationVsScale, adaptation_vs_scale

    models = _models(options)
    return adaptation_vs_scale(AdaptationVsScale(models, folder, _evaluation(options)), show)


def _models(options: argparse.Namespace) -> dict[str, str]:
    """Weight files by role."""
    models: dict[str, str] = {}
    for pair in (options.models or "").split(","):
        role, eq, path = pair.strip().partition("=")
        if pair.strip() and (not eq or not path or role in models):
            raise InputError(f"--models is ROLE=FILE,ROLE=FILE with each role once, got {options.models!r}")
        if role:
            models[role] = path
    return models


def _style_transfer(options: argparse.Namespace, folder: Path, show: Progress) -> StudyResult:
    from worldloop.studies import Ready, StyleTransfer, style_transfer

    how: Adaptation | Ready
    if models := _models(options):
        if models.keys() != {"base", "adapted"}:
            raise InputError(f"--models is base=FILE,adapted=FILE here, got {options.models!r}")
        for option in (*ADAPTING, "examples", "control"):
            if getattr(options, option) is not None:
                raise InputError(
                    f"--{option.replace('_', '-')} is for training; with --models nothing is trained"
                )
        how = Ready(**models)
    else:
        how = _adaptation(options)
    settings = StyleTransfer(how, folder, options.examples, _evaluation(options))
    return style_transfer(settings, show)


def _control_format(options: argparse.Namespace, folder: Path, show: Progress) -> StudyResult:
    from worldloop.studies import ControlFormat, control_format

    settings = ControlFormat(_adaptation(options), folder, options.examples, evaluation=_evaluation(options))
    return control_format(settings, show)


def _controllability_vs_quality(options: argparse.Namespace, folder: Path, show: Progress) -> StudyResult:
    from worldloop.studies import ControllabilityVsQuality, controllability_vs_quality
    from worldloop.studies.controllability_vs_quality import DEFAULT

    options.tasks = options.tasks or f"{TASKS},embodied-qa,manipulation"
    models = tuple(names(options.models or DEFAULT))
    cases = 24 if options.cases is None else options.cases
    settings = ControllabilityVsQuality(models, folder, cases, evaluation=_evaluation(options))
    return controllability_vs_quality(settings, show)


_STUDIES: dict[str, Callable[[argparse.Namespace, Path, Progress], StudyResult]] = {
    "data-scaling": _data_scaling,
    "compute-scaling": _compute_scaling,
    "adaptation-vs-scale": _adaptation_vs_scale,
    "style-transfer": _style_transfer,
    "control-format": _control_format,
    "controllability-vs-quality": _controllability_vs_quality,
}


def _adaptation(options: argparse.Namespace) -> Adaptation:
    from worldloop.studies import Adaptation

    chosen = {n: getattr(options, n) for n in (*ADAPTING[2:], "control")}
    given = {n: v for n, v in chosen.items() if v is not None}
    return Adaptation(options.base or "", tuple(names(options.data or "")), seed=options.seed, **given)


def _evaluation(options: argparse.Namespace) -> Evaluation:
    from worldloop.studies import Evaluation

    return Evaluation(
        tasks=tuple(names(options.tasks or TASKS)),
        split=options.split,
        episodes=None if options.episodes is None else episode_numbers(options.episodes),
        trials=options.trials,
        closed_loop=not options.open_loop_only,
        reference_runs=options.reference_runs,
        seed=options.seed,
        concurrency=options.concurrency,
        device=options.device,
    )


def _numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"{option} takes whole numbers with commas between them, got {text!r}") from None


def _print(result: StudyResult, folder: Path) -> None:
    from worldloop.studies.result import JSON_NAME, PLOT_NAME

    out.print(
        Wide(lambda which: _measures(result, [result.measures[i] for i in which]), len(result.measures))
    )
    if rows := result.asked.get("correlations"):
        tasks = list(dict.fromkeys(r["task"] for r in rows))
        out.print(Wide(lambda which: _correlations(rows, [tasks[i] for i in which]), len(tasks)))
    for finding in result.findings:
        mark = "" if finding.deciding else " (does not decide)"
        _say(out, f"- {finding.sentence}{mark}")
    for note in result.notes:
        _say(errors, note, style="yellow")
    _say(out, f"Verdict: {result.verdict}", style="bold")
    _say(out, f"{folder / JSON_NAME}, {folder / PLOT_NAME}")


def _measures(result: StudyResult, measures: Sequence[str]) -> Table:
    """Every arm, and what it is compared with, by some of the measures."""
    from worldloop.studies.verdicts import shown

    table = Table(title=f"{result.study}: {result.claim}", title_justify="left")
    table.add_column(result.axis)
    for measure in measures:
        table.add_column(measure, justify="right")
    for arm in result.arms:
        cells = [shown(m, arm.estimates[m]) if m in arm.estimates else "" for m in measures]
        table.add_row(f"{arm.label} {arm.series}".strip(), *cells)
    for name, label in dict.fromkeys((r.name, r.label) for r in result.references):
        found = {r.measure: r.estimate for r in result.references if (r.name, r.label) == (name, label)}
        cells = [shown(m, found[m]) if m in found else "" for m in measures]
        table.add_row(f"{label} {name}".strip(), *cells, style="dim")
    return table


def _correlations(rows: list[dict[str, Any]], tasks: Sequence[str]) -> Table:
    """Every metric by some of the tasks, as far as it was measured."""
    found = {(r["metric"], r["task"]): r["pearson"] for r in rows}
    table = Table(title="Pearson's r of each metric, better upwards, with success", title_justify="left")
    table.add_column("metric")
    for task in tasks:
        table.add_column(task, justify="right")
    for metric in dict.fromkeys(r["metric"] for r in rows):
        table.add_row(metric, *(_correlation(found.get((metric, task))) for task in tasks))
    return table


def _correlation(found: Sequence[float | None] | None) -> str:
    """`+0.79 [+0.32, +0.95]`, bold where the interval leaves out 0."""
    if found is None or found[0] is None:
        return ""
    value, low, high = found
    if low is None or high is None:
        return f"{value:+.2f}"
    text = f"{value:+.2f} \\[{low:+.2f}, {high:+.2f}]"
    return f"[bold]{text}[/bold]" if low > 0 or high < 0 else text


def _say(console: Any, text: str, style: str = "") -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
