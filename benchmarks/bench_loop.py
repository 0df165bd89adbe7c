"""What the loop itself costs: everything outside model, simulator and perception.

The loop has a thread of its own; world, model and perception work in a pool. So the processor time of that
thread is what the loop costs: scheduling, proposals, hashing, records, tables.
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


def fake_loop(concurrency: int) -> float:
    """Milliseconds of the loop's thread per decision, in a fake world whose own work is done in the pool."""
    with tempfile.TemporaryDirectory() as folder:
        task = FakeTask(count=64)
        settings = RunSettings("fake", "fake", concurrency=concurrency, keep_frames=0)
        start = time.thread_time()
        run(task, FakeModel(), fake_agent(), settings, folder)
        return 1e3 * (time.thread_time() - start) / (64 * task.budgets.budget)


def real_loop(task_name: str, model: str, episodes: int) -> dict[str, float]:
    """Processor time of the loop's thread in a real run, per decision and as a share of wall time."""
    task = TASKS.create(task_name)
    settings = RunSettings(task_name, model, keep_frames=0, episodes=episodes)
    agent = AGENTS.create(task.default_agent, task=task_name)
    with tempfile.TemporaryDirectory() as folder:
        run(task, MODELS.create(model), agent, settings, Path(folder) / "warm")  # compiles and loads scenes
        wall, busy = time.perf_counter(), time.thread_time()
        run(task, MODELS.create(model), agent, settings, Path(folder) / "timed")
        wall, busy = time.perf_counter() - wall, time.thread_time() - busy
        records = [e.episode for e in read_run(Path(folder) / "timed").records()]
    return {"share": busy / wall, "ms_per_decision": 1e3 * busy / sum(r.decisions for r in records)}


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
