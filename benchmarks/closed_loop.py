"""The main comparison: controls, point cloud and packaged video models on the full test lists (hours on two cores).

Runs (or resumes) runs/test/{both,plan,perceive,blind-agent}, keeps how every episode ended in benchmarks/results/outcomes, and
writes benchmarks/results/closed_loop.json from all that is kept: the leaderboard; for tasks that ask for an answer, what planning
and perceiving bring apart, and what an agent gets that answers without looking; and how sharp the frames were that each model
imagined (in the first three episodes of each list, whose frames are stored). `--task` and `--model` do a part of it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from outcomes import keep, kept
from scipy.ndimage import laplace

from worldloop.cli.main import main as worldloop
from worldloop.runs import Run, find_runs, read_run
from worldloop.stats import mcnemar_exact, wilson
from worldloop.view.leaderboard import leaderboard

ROOT = Path(__file__).resolve().parents[1]
RUNS, OUTCOMES = ROOT / "runs" / "test", ROOT / "benchmarks" / "results" / "outcomes"
USES = ("both", "plan", "perceive")
TASKS = "active-recognition,image-goal,embodied-qa,manipulation"
MODELS = (
    "none,oracle,pointcloud,rotate-only,oracle-blur,oracle-wrong,shuffled,blind,frozen,video-base,video-lora"
)
ADAPTED = "video-lora-code"
"""What the packaged `video-lora` calls itself."""
BLIND, GUESSED = "blind-agent", "embodied-qa"
"""Folder of the runs in which an agent answers without looking, and the tasks that have one."""
ANSWERED, ASKED = "active-recognition,embodied-qa", "oracle,pointcloud,video-lora"
"""Where imagination can also serve the answer, and the models whose use is taken apart."""


def sharpness(run: Run) -> float | None:
    """Mean over imagined frames of the variance of the Laplacian of the grey image; None without frames."""
    keys = {key for row in run.candidates.column("frames").to_pylist() for key in row if key}
    if not keys:
        return None
    return float(np.mean([laplace(run.frame(k).mean(axis=2)).var() for k in sorted(keys)]))


def blur_against_wrong(runs: list[Run]) -> dict[str, float]:
    """Exact McNemar p of oracle-blur against oracle-wrong by task (a single comparison, not adjusted)."""
    found: dict[str, dict[str, dict[str, bool]]] = {}
    for run in runs:
        success = {e.episode.episode_id: e.episode.success for e in run.records()}
        found.setdefault(run.header.spec["task"], {})[run.header.spec["model"]] = success
    out = {}
    for task, models in found.items():
        if not {"oracle-blur", "oracle-wrong"} <= models.keys():
            continue
        blur, wrong = models["oracle-blur"], models["oracle-wrong"]
        wins = sum(blur[i] and not wrong[i] for i in blur)
        losses = sum(wrong[i] and not blur[i] for i in blur)
        out[task] = mcnemar_exact(wins, losses)
    return out


def adapted_against_base(runs: list[Run]) -> dict[str, object]:
    """By task: how video-lora compares with video-base on the same episodes."""
    both = [r for r in runs if r.header.spec["model"] in ("video-base", ADAPTED)]
    if not any(r.header.spec["model"] == "video-base" for r in both):
        return {}
    table = leaderboard(both, baseline="video-base", allow_missing_controls=True).to_dict()
    keys = ("difference", "p_value", "verdict")
    rows = ((t["task"], r) for t in table["tasks"] for r in t["rows"] if r["model"] == ADAPTED)
    return {task: {k: row[k] for k in keys} for task, row in rows}


def keep_finished(runs: Path, use: str) -> None:
    """Keep the outcomes of all complete runs below a folder."""
    for run in [read_run(f) for f in find_runs(runs)] if runs.is_dir() else []:
        if run.header.status != "complete":
            print(f"left out, not finished: {run.folder.relative_to(ROOT)}")
            continue
        task, model = (str(run.header.spec[k]) for k in ("task", "model"))
        keep(run, OUTCOMES / use / task / f"{model}.json", sharpness=sharpness(run))


def all_kept(use: str) -> list[tuple[Run, dict[str, Any]]]:
    """Every run whose outcomes are kept, and what was noted of it."""
    return [kept(path) for path in sorted((OUTCOMES / use).glob("*/*.json"))]


def table_of(runs: list[Run]) -> dict[str, Any]:
    """The leaderboard of runs, JSON-ready, with paths relative to the repository."""
    table = leaderboard(runs, allow_missing_controls=True).to_dict()
    for row in (row for task in table["tasks"] for row in task["rows"]):
        row["folder"] = Path(row["folder"]).relative_to(ROOT).as_posix()
    return table


def uses() -> dict[str, dict[str, dict[str, Any]]]:
    """By task and model: the success rate with imagination for planning alone, for perceiving alone, and for both."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for use in USES:
        runs = [run for run, _ in all_kept(use)]
        for task in table_of(runs)["tasks"] if runs else []:
            for row in task["rows"]:
                if task["task"] in ANSWERED.split(",") and row["model"] in ("oracle", "pointcloud", ADAPTED):
                    found.setdefault(task["task"], {}).setdefault(row["model"], {})[use] = row["success_rate"]
    return found


def success_rate(run: Run) -> dict[str, float]:
    """Of one run by itself, with its interval."""
    successes = [e.episode.success for e in run.records()]
    found = wilson(sum(successes), len(successes))
    return {"value": found.value, "low": found.low, "high": found.high, "n": len(successes)}


def main() -> None:
    """Run what is missing and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default=TASKS)
    parser.add_argument("--model", default=MODELS)
    parser.add_argument("--only-report", action="store_true", help="run nothing")
    options = parser.parse_args()
    if not options.only_report:
        asked = ["--split", "test", "--concurrency", "8"]
        _run(["--task", options.task, "--model", options.model, *asked, "--out", str(RUNS / "both")])
        answered = ",".join(t for t in options.task.split(",") if t in ANSWERED.split(","))
        models = ",".join(m for m in options.model.split(",") if m in ASKED.split(","))
        for use in ("plan", "perceive") if answered and models else ():
            _run(["--task", answered, "--model", models, *asked, "--use", use, "--out", str(RUNS / use)])
        guessed = ",".join(t for t in options.task.split(",") if t in GUESSED.split(","))
        if guessed:
            blind = ["--task", guessed, "--model", "none", "--agent", "blind", *asked]
            _run([*blind, "--out", str(RUNS / BLIND)])
    for use in (*USES, BLIND):
        keep_finished(RUNS / use, use)
    found = all_kept("both")
    runs = [run for run, _ in found]
    result: dict[str, Any] = {
        "leaderboard": table_of(runs) if runs else {"tasks": []},
        "blur_against_wrong_p": blur_against_wrong(runs),
        "adapted_against_base": adapted_against_base(runs),
        "uses": uses(),
        "blind_agent": {r.header.spec["task"]: success_rate(r) for r, _ in all_kept(BLIND)},
        "sharpness": {_name(run): noted["sharpness"] for run, noted in found},
        "seconds": {_name(run): round(run.header.seconds, 1) for run in runs},
    }
    path = ROOT / "benchmarks" / "results" / "closed_loop.json"
    if path.exists():
        _keep_others(result, json.loads(path.read_text()))
    path.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    print(f"{path}: {len(runs)} runs")


def _keep_others(result: dict[str, Any], before: dict[str, Any]) -> None:
    """Leave the figures of tasks as they were of which no outcomes are kept, or not yet those of all models."""
    known, found = (
        {t["task"]: {r["model"] for r in t["rows"]} for t in x["leaderboard"]["tasks"]}
        for x in (before, result)
    )
    measured = {task for task, models in found.items() if models >= known.get(task, set())}
    for task in found.keys() - measured:
        print(f"left as it was, for only {len(found[task])} of {len(known[task])} models are kept: {task}")
    result["leaderboard"]["tasks"] = [t for t in result["leaderboard"]["tasks"] if t["task"] in measured]
    others = [t for t in before["leaderboard"]["tasks"] if t["task"] not in measured]
    result["leaderboard"]["tasks"] = sorted(
        [*result["leaderboard"]["tasks"], *others], key=lambda t: t["task"]
    )
    for part in ("blur_against_wrong_p", "adapted_against_base", "sharpness", "seconds"):
        for key, value in before[part].items():
            if key.split("/")[0] not in measured:
                result[part][key] = value
    for task, models in before["uses"].items():
        for model, rates in models.items():
            new = result["uses"].setdefault(task, {}).setdefault(model, {})
            result["uses"][task][model] = {**rates, **new}


def _name(run: Run) -> str:
    return f"{run.header.spec['task']}/{run.header.spec['model']}"


def _run(arguments: list[str]) -> None:
    status = worldloop(["run", *arguments])
    if status:
        raise SystemExit(status)


if __name__ == "__main__":
    main()
