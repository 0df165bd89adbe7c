"""The main comparison: controls, point cloud and packaged video models on the full test lists (hours on two cores).

Runs (or resumes) runs/test and runs/use, and writes benchmarks/results/closed_loop.json: the leaderboard; for tasks that ask
for an answer, what planning and perceiving bring apart; and how sharp the frames were that each model imagined (in the
first three episodes of each list, whose frames are stored). `--task` and `--model` do a part of it; unfinished runs are
left out of the file, and named.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import laplace

from worldloop.cli.main import main as worldloop
from worldloop.runs import Run, find_runs, read_run
from worldloop.stats import mcnemar_exact
from worldloop.view.leaderboard import leaderboard

ROOT = Path(__file__).resolve().parents[1]
RUNS, USES = ROOT / "runs" / "test", ROOT / "runs" / "use"
TASKS = "active-recognition,image-goal,embodied-qa,manipulation"
MODELS = (
    "none,oracle,pointcloud,rotate-only,oracle-blur,oracle-wrong,shuffled,blind,frozen,video-base,video-lora"
)
ADAPTED = "video-lora-code"
"""What the packaged `video-lora` calls itself."""
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


def finished(folder: Path) -> list[Run]:
    """The complete runs below a folder."""
    runs = [read_run(f) for f in find_runs(folder)] if folder.is_dir() else []
    for run in runs:
        if run.header.status != "complete":
            print(f"left out, not finished: {run.folder.relative_to(ROOT)}")
    return [r for r in runs if r.header.status == "complete"]


def table_of(runs: list[Run]) -> dict[str, Any]:
    """The leaderboard of runs, JSON-ready, with folders relative to the repository."""
    table = leaderboard(runs, allow_missing_controls=True).to_dict()
    for row in (row for task in table["tasks"] for row in task["rows"]):
        row["folder"] = Path(row["folder"]).relative_to(ROOT).as_posix()
    return table


def uses(both: list[Run]) -> dict[str, dict[str, dict[str, Any]]]:
    """By task and model: the success rate with imagination for planning alone, for perceiving alone, and for both."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for use, runs in (
        ("plan", finished(USES / "plan")),
        ("perceive", finished(USES / "perceive")),
        ("both", both),
    ):
        for task in table_of(runs)["tasks"] if runs else []:
            for row in task["rows"]:
                if task["task"] in ANSWERED.split(",") and row["model"] in ("oracle", "pointcloud", ADAPTED):
                    found.setdefault(task["task"], {}).setdefault(row["model"], {})[use] = row["success_rate"]
    return found


def main() -> None:
    """Run what is missing and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default=TASKS)
    parser.add_argument("--model", default=MODELS)
    parser.add_argument("--only-report", action="store_true", help="run nothing")
    options = parser.parse_args()
    if not options.only_report:
        asked = ["--split", "test", "--concurrency", "8"]
        _run(["--task", options.task, "--model", options.model, *asked, "--out", str(RUNS)])
        answered = ",".join(t for t in options.task.split(",") if t in ANSWERED.split(","))
        models = ",".join(m for m in options.model.split(",") if m in ASKED.split(","))
        for use in ("plan", "perceive") if answered and models else ():
            _run(["--task", answered, "--model", models, *asked, "--use", use, "--out", str(USES / use)])
    runs = finished(RUNS)
    result = {
        "leaderboard": table_of(runs),
        "blur_against_wrong_p": blur_against_wrong(runs),
        "adapted_against_base": adapted_against_base(runs),
        "uses": uses(runs),
        "sharpness": {f"{r.header.spec['task']}/{r.header.spec['model']}": sharpness(r) for r in runs},
        "seconds": {
            f"{r.header.spec['task']}/{r.header.spec['model']}": round(r.header.seconds, 1) for r in runs
        },
    }
    path = ROOT / "benchmarks" / "results" / "closed_loop.json"
    path.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    print(f"{path}: {len(runs)} runs")


def _run(arguments: list[str]) -> None:
    status = worldloop(["run", *arguments])
    if status:
        raise SystemExit(status)


if __name__ == "__main__":
    main()
