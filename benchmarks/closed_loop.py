"""The main comparison: controls, point cloud and packaged video models on the full test lists (over an hour on two cores).

Runs (or resumes) runs/test and writes benchmarks/results/closed_loop.json: the leaderboard, and how sharp the
frames were that each model imagined (in the first three episodes of each list, whose frames are stored).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.ndimage import laplace

from worldloop.cli.main import main as worldloop
from worldloop.runs import Run, find_runs, read_run
from worldloop.stats import mcnemar_exact
from worldloop.view.leaderboard import leaderboard

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "runs" / "test"
MODELS = (
    "none,oracle,pointcloud,rotate-only,oracle-blur,oracle-wrong,shuffled,blind,frozen,video-base,video-lora"
)


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
        blur, wrong = models["oracle-blur"], models["oracle-wrong"]
        wins = sum(blur[i] and not wrong[i] for i in blur)
        losses = sum(wrong[i] and not blur[i] for i in blur)
        out[task] = mcnemar_exact(wins, losses)
    return out


def adapted_against_base(runs: list[Run]) -> dict[str, object]:
    """By task: how video-lora compares with video-base on the same episodes."""
    both = [r for r in runs if r.header.spec["model"] in ("video-base", "video-lora")]
    table = leaderboard(both, baseline="video-base", allow_missing_controls=True).to_dict()
    keys = ("difference", "p_value", "verdict")
    rows = ((t["task"], r) for t in table["tasks"] for r in t["rows"] if r["model"] == "video-lora")
    return {task: {k: row[k] for k in keys} for task, row in rows}


def main() -> None:
    """Run what is missing and write the figures."""
    status = worldloop(["run", "--model", MODELS, "--split", "test", "--out", str(RUNS)])
    if status:
        raise SystemExit(status)
    runs = [read_run(folder) for folder in find_runs(RUNS)]
    table = leaderboard(runs).to_dict()
    for row in (row for task in table["tasks"] for row in task["rows"]):
        row["folder"] = Path(row["folder"]).relative_to(ROOT).as_posix()
    result = {
        "leaderboard": table,
        "blur_against_wrong_p": blur_against_wrong(runs),
        "adapted_against_base": adapted_against_base(runs),
        "sharpness": {f"{r.header.spec['task']}/{r.header.spec['model']}": sharpness(r) for r in runs},
        "seconds": {
            f"{r.header.spec['task']}/{r.header.spec['model']}": round(r.header.seconds, 1) for r in runs
        },
    }
    path = ROOT / "benchmarks" / "results" / "closed_loop.json"
    path.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    print(f"{path}: {len(runs)} runs")


if __name__ == "__main__":
    main()
