"""What the loop itself costs: everything outside model, simulator and perception.

Two figures: microseconds per decision with a fake world that costs next to nothing, and the share of wall
time that the loop takes in a real run (one episode at a time, so that nothing overlaps).
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from worldloop.agents import AGENTS  # noqa: E402
from worldloop.engine import RunSettings, run  # noqa: E402
from worldloop.models import MODELS  # noqa: E402
from worldloop.runs import read_run  # noqa: E402
from worldloop.tasks import TASKS  # noqa: E402

from fakes import FakeModel, FakeTask, fake_agent  # noqa: E402

OUTSIDE = ("act", "simulate", "perceive")


def fake_loop(concurrency: int) -> float:
    """Milliseconds per decision, all of it loop: folders, records, scheduling and the fake's own work."""
    with tempfile.TemporaryDirectory() as folder:
        task = FakeTask(count=64)
        settings = RunSettings("fake", "fake", concurrency=concurrency, keep_frames=0)
        start = time.perf_counter()
        run(task, FakeModel(), fake_agent(), settings, folder)
        return 1e3 * (time.perf_counter() - start) / (64 * task.budgets.budget)


def real_loop(task_name: str, model: str, episodes: int) -> dict[str, float]:
    """Share of wall time and milliseconds per decision in a real run, one episode at a time."""
    task = TASKS.create(task_name)
    settings = RunSettings(task_name, model, concurrency=1, keep_frames=0, episodes=episodes)
    agent = AGENTS.create(task.default_agent, task=task_name)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("warm", "timed"):  # the first pass compiles kernels and loads scenes
            run(task, MODELS.create(model), agent, settings, Path(folder) / name)
        records = [e.episode for e in read_run(Path(folder) / "timed").records()]
    wall = sum(r.seconds["wall"] for r in records)
    inside = wall - sum(r.seconds.get(phase, 0.0) for r in records for phase in OUTSIDE)
    return {"share": inside / wall, "ms_per_decision": 1e3 * inside / sum(r.decisions for r in records)}


def main() -> None:
    """Measure and write benchmarks/results/loop.json."""
    result = {
        f"fake_ms_per_decision_c{c}": statistics.median(fake_loop(c) for _ in range(5)) for c in (1, 8, 32)
    }
    for task, model in (
        ("active-recognition", "oracle"),
        ("image-goal", "oracle"),
        ("image-goal", "pointcloud"),
    ):
        result |= {f"{task}_{model}_{k}": v for k, v in real_loop(task, model, 8).items()}
    path = ROOT / "benchmarks" / "results" / "loop.json"
    path.write_text(json.dumps({k: round(v, 4) for k, v in result.items()}, indent=1) + "\n")
    print(path.read_text())


if __name__ == "__main__":
    main()
