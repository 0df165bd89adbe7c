"""Run tasks with world models in the loop; the same command resumes what was cut off.

Each pair of task and model becomes a run folder OUT/TASK/MODEL, for `worldloop compare` and `view`.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldloop.agents import AGENTS
from worldloop.cli.console import episode_numbers, errors, names, out, print_json, progress
from worldloop.cli.run_executor import add_arguments as add_executor_arguments
from worldloop.cli.run_executor import executor_of
from worldloop.cli.run_until import until_decided
from worldloop.core import Agent, InputError, Task, WorldModel
from worldloop.engine import Executor, Limits, RunSettings, run, select
from worldloop.engine.check import unfit, usable
from worldloop.models import MODELS
from worldloop.runs import EpisodeRecord, read_run
from worldloop.stats import check_margin
from worldloop.tasks import TASKS
from worldloop.view.leaderboard import leaderboard
from worldloop.view.sequential import boards_dict, boards_rich, sequential_boards

DEFAULT_TASKS, DEFAULT_MODELS = "active-recognition,image-goal", "none,oracle,pointcloud"
ENV_MODELS = "none,oracle"
"""Models for environments of others, which show a picture and nothing else."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `worldloop run`."""
    add = parser.add_argument
    add(
        "--task",
        default=DEFAULT_TASKS,
        help="tasks, separated by commas (default: %(default)s)",
    )
    add(
        "--env",
        default="",
        metavar="gym:ID",
        help="a Gymnasium environment in place of --task; gym:ID,key=value,... sets options",
    )
    add(
        "--model",
        default=DEFAULT_MODELS,
        help="world models, separated by commas; name:key=value,... sets options (default: %(default)s; with --env "
        f"{ENV_MODELS})",
    )
    add("--agent", default="", help="agent (default: the task's own)")
    add(
        "--split",
        default="mini",
        help="`mini`, `val`, `test` or an episode file ending in .json (default: %(default)s)",
    )
    add(
        "--episodes",
        metavar="N|TASK=N,...",
        help="only the first N episodes of each list, or of the lists of these tasks",
    )
    add("--rollouts", type=int, metavar="M", help="plans proposed for each decision (default: the task's)")
    add("--horizon", type=int, metavar="L", help="actions in a plan (default: the task's)")
    add(
        "--execute",
        help="actions of the chosen plan to carry out: first, all or a number (default: the task's)",
    )
    add("--use", default="both", choices=("plan", "perceive", "both"), help="what imagination is used for")
    add("--seed", type=int, default=0)
    add("--concurrency", type=int, default=8, metavar="C", help="episodes in flight (default: %(default)s)")
    add(
        "--keep-frames",
        type=int,
        default=3,
        metavar="N",
        help="store the images of the first N episodes; -1: all (default: %(default)s)",
    )
    add("--cache", metavar="DIR", help="keep rollouts for later runs")
    add(
        "--time-limit",
        type=float,
        default=900.0,
        metavar="S",
        help="seconds for each episode (default: %(default)s)",
    )
    add(
        "--retries",
        type=int,
        default=2,
        help="further attempts after a failed model call (default: %(default)s)",
    )
    add(
        "--until-decided",
        action="store_true",
        help="scene by scene, each model until it is found better or worse than `none`; the same command without this goes on",
    )
    add(
        "--margin",
        type=float,
        metavar="D",
        help="with --until-decided: also stop where the difference of SR is found to be below D",
    )
    add("--retry-failed", action="store_true", help="run crashed and timed-out episodes again")
    add_executor_arguments(parser)
    add("--out", default="runs/latest", metavar="DIR", help="where the run folders go (default: %(default)s)")


@dataclass(frozen=True)
class Job:
    """One run to be done."""

    task: Task
    model: WorldModel
    agent: Agent
    settings: RunSettings
    folder: Path


def main(options: argparse.Namespace) -> int:
    """Run every pair of task and model, then print the leaderboard."""
    if check_margin(options.margin) is not None and not options.until_decided:
        raise InputError("--margin belongs to --until-decided")
    with executor_of(options) as executor:
        return _run_all(options, executor)


def _run_all(options: argparse.Namespace, executor: Executor) -> int:
    jobs, left_out = plan_jobs(options)
    for job in jobs:
        executor.check(job.task, job.agent, job.settings)
    for line in left_out:
        errors.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)
    given = {k: v for k, v in vars(options).items() if k not in ("verb", "json", "verbose")}
    _same_names(jobs)
    if options.until_decided:
        return _until_decided(jobs, given, options, executor)
    done = []
    with progress(quiet=options.json) as bar:
        for job in jobs:
            done.append(_run(job, given, options.retry_failed, bar, executor))
    folders = [job.folder for job in jobs]
    complete = all(header.status == "complete" for header in done)
    controls = {"none", "oracle"} <= {job.model.card.name for job in jobs}
    board = leaderboard([read_run(f) for f in folders], allow_missing_controls=not controls)
    if options.json:
        found = {"runs": [str(f) for f in folders], "left_out": left_out, "leaderboard": board.to_dict()}
        print_json(found)
    else:
        out.print(board.to_rich())
        for folder in folders:
            _explain_failures(folder)
        if not controls:
            errors.print(
                "Without both `none` and `oracle` this table cannot say whether a model helps.",
                style="yellow",
            )
        out.print(
            f"Report: worldloop view {options.out} --html {options.out}/report.html",
            highlight=False,
            soft_wrap=True,
        )
    failed = any(all(e.episode.status != "finished" for e in read_run(f).records()) for f in folders)
    return 0 if complete and not failed else 1


def _until_decided(
    jobs: list[Job], given: dict[str, Any], options: argparse.Namespace, executor: Executor
) -> int:
    with progress(quiet=options.json) as bar:
        boards = until_decided(
            jobs,
            lambda job, only, continued: _run(
                job, given, options.retry_failed and not continued, bar, executor, only, continued
            ),
            lambda folders: sequential_boards([read_run(f) for f in folders], margin=options.margin),
        )
    if options.json:
        print_json({"runs": [str(job.folder) for job in jobs], "sequential": boards_dict(boards)})
        return 0
    out.print(boards_rich(boards))
    for job in jobs:
        _explain_failures(job.folder)
    again = f"worldloop compare {options.out} --sequential"
    out.print(f"Again: {again}. The same command without --until-decided finishes the runs.", soft_wrap=True)
    return 0


def _same_names(jobs: list[Job]) -> None:
    """InputError for two models that the table could not tell apart."""
    seen: dict[tuple[str, str, str], str] = {}
    for job in jobs:
        card = job.model.card
        key = job.task.name + job.task.version, card.name, repr(sorted(card.settings.items()))
        if key in seen:
            raise InputError(
                f"{seen[key]!r} and {job.settings.model!r} both call themselves {card.name!r} in their cards; "
                "give one of them another name"
            )
        seen[key] = job.settings.model


def _explain_failures(folder: Path) -> None:
    """Say why episodes did not finish, the most frequent reasons first."""
    found = [e.episode for e in read_run(folder).records() if e.episode.status != "finished"]
    reasons = Counter(e.error or e.status for e in found)
    for reason, count in reasons.most_common(3):
        text = f"{folder.parent.name} / {folder.name}: {count} did not finish: {reason}"
        errors.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


def plan_jobs(options: argparse.Namespace) -> tuple[list[Job], list[str]]:
    """Every pair of task and model, checked before the first one starts; and why others are left out.

    A model that a task cannot show what it reads, or asks what it does not answer, is left out there. InputError when
    it is left out of all.
    """
    jobs: list[Job] = []
    folders: set[Path] = set()
    limits = Limits(options.time_limit, options.retries)
    task_specs = task_names(options.task, options.env)
    model_specs = names(ENV_MODELS if options.env and options.model == DEFAULT_MODELS else options.model)
    if not task_specs or not model_specs:
        raise InputError("name at least one task and one model; see `worldloop list`")
    models = [(m, usable(MODELS.create(m), m)) for m in model_specs]
    left_out: dict[str, list[str]] = {m: [] for m in model_specs}
    tasks = [(t, TASKS.create(t)) for t in task_specs]
    numbers = _numbers(options.episodes, [task.name for _, task in tasks])
    for task_spec, task in tasks:
        agent_spec = options.agent or task.default_agent
        agent = AGENTS.create(agent_spec, task=task.name)
        for model_spec, model in models:
            settings = RunSettings(
                task_spec,
                model_spec,
                agent_spec,
                options.split,
                numbers.get(task.name),
                options.rollouts,
                options.horizon,
                _execute(options.execute),
                options.use,
                options.seed,
                options.concurrency,
                options.keep_frames,
                options.cache,
                limits,
            )
            settings.resolve(task)
            select(task, settings)
            if options.use == "perceive" and agent.answerer is None:
                raise InputError(
                    f"--use perceive needs an agent that answers; in {task.name} imagination serves planning"
                )
            folder = Path(options.out) / slug(task_spec) / slug(model_spec)
            if folder in folders:
                raise InputError(f"{model_spec!r} is named twice for {task_spec!r}")
            folders.add(folder)
            if (reason := unfit(task, model)) is not None:
                left_out[model_spec].append(f"{model_spec} is left out of {task.name}{reason}")
                continue
            jobs.append(Job(task, model, agent, settings, folder))
    for model_spec, model in models:
        if not any(job.model is model for job in jobs):
            raise InputError(
                f"{'; '.join(left_out[model_spec])}; no task that was named can show it that, or ask what it answers: "
                "choose another task or model"
            )
    return jobs, [line for lines in left_out.values() for line in lines]


def _numbers(text: str | None, tasks: list[str]) -> dict[str, int]:
    """How many episodes of which task; all of those that are not there. InputError for tasks that are not run."""
    numbers = {} if text is None else episode_numbers(text)
    if isinstance(numbers, int):
        return dict.fromkeys(tasks, numbers)
    if strangers := sorted(set(numbers) - set(tasks)):
        raise InputError(
            f"--episodes names {', '.join(strangers)}; the tasks of this run are {', '.join(tasks)}"
        )
    return numbers


def task_names(tasks: str, env: str) -> list[str]:
    """The tasks that are named, or the ones behind `--env gym:ID`; InputError for both or another kind of environment."""
    if not env:
        return names(tasks)
    if tasks != DEFAULT_TASKS:
        raise InputError("--env stands in place of --task: give one of them")
    kind, _, name = env.partition(":")
    if kind != "gym" or not name:
        raise InputError(
            f"--env takes gym:ID, such as gym:CartPole-v1, not {env!r}; for all else there is --task"
        )
    return [f"gym:env={name}"]


def slug(spec: str) -> str:
    """A folder name for a component spec."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", spec).strip("._") or "unnamed"


def _execute(text: str | None) -> int | None:
    if text is None:
        return None
    if text in ("first", "all"):
        return 1 if text == "first" else 0
    try:
        count = int(text)
    except ValueError:
        raise InputError(f"--execute takes first, all or a number, not {text!r}") from None
    if count < 1:
        raise InputError("--execute needs at least one action")
    return count


def _run(
    job: Job,
    given: dict[str, Any],
    retry_failed: bool,
    bar: Any,
    executor: Executor,
    only: Collection[str] | None = None,
    continued: bool = False,
) -> Any:
    label = f"{job.task.name} / {job.model.card.name}"
    total = len(select(job.task, job.settings))
    lines = {task.description: task.id for task in bar.tasks}
    line = lines[label] if label in lines else bar.add_task(label, total=total, note="")
    successes = 0

    def progressed(record: EpisodeRecord) -> None:
        nonlocal successes
        successes += record.success
        bar.update(line, advance=1, note=f"{successes} successes")

    if (job.folder / "run.json").exists():
        before = read_run(job.folder).records()
        if retry_failed:
            before = [e for e in before if e.episode.status == "finished"]
        successes = sum(e.episode.success for e in before)
        bar.update(line, completed=len(before), note=f"{successes} successes")
    return run(
        job.task,
        job.model,
        job.agent,
        job.settings,
        job.folder,
        given=given,
        retry_failed=retry_failed,
        progress=progressed,
        only=only,
        continued=continued,
        executor=executor,
    )
