"""What the loop itself costs: everything outside model, simulator, perception and agent.

The loop has a thread of its own; world, model, perception and the storing of pictures work in a pool. So the
processor time of that thread is what the loop costs, together with what the agent thinks there between two calls
of perception; a meter around the agent's coroutines tells the two apart.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from worldloop.agents import AGENTS  # noqa: E402
from worldloop.core import Agent  # noqa: E402
from worldloop.engine import RunSettings, run  # noqa: E402
from worldloop.models import MODELS  # noqa: E402
from worldloop.runs import read_run  # noqa: E402
from worldloop.tasks import TASKS  # noqa: E402

from fakes import FakeModel, FakeTask, fake_agent  # noqa: E402

DEMO = [
    (task, model)
    for task in ("active-recognition", "image-goal")
    for model in ("none", "oracle", "pointcloud")
]


class Meter:
    """Processor seconds that an agent's coroutines take on the loop's thread; waiting is not counted."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, part: Any) -> Any:
        """The proposer, reviser or answerer with every call metered."""
        return None if part is None else _Metered(part, self)


class _Metered:
    def __init__(self, part: Any, meter: Meter) -> None:
        self._part, self._meter = part, meter

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._part, name)
        return lambda *args: _Steps(method(*args), self._meter)


class _Steps:
    def __init__(self, coroutine: Any, meter: Meter) -> None:
        self._coroutine, self._meter = coroutine, meter

    def __await__(self) -> Generator[Any, Any, Any]:
        sent = None
        while True:
            start = time.thread_time()
            try:
                waiting = self._coroutine.send(sent)
            except StopIteration as done:
                return done.value
            finally:
                self._meter.seconds += time.thread_time() - start
            sent = yield waiting


def metered(agent: Agent) -> tuple[Agent, Meter]:
    """The agent with a meter around its thoughts."""
    meter = Meter()
    parts = {n: meter.around(getattr(agent, n)) for n in ("proposer", "reviser", "answerer")}
    return replace(agent, **parts), meter


def fake_loop(concurrency: int) -> float:
    """Milliseconds of the loop's thread per decision, in a fake world whose own work is done in the pool."""
    with tempfile.TemporaryDirectory() as folder:
        task, (agent, meter) = FakeTask(count=64), metered(fake_agent())
        settings = RunSettings("fake", "fake", concurrency=concurrency, keep_frames=0)
        start = time.thread_time()
        run(task, FakeModel(), agent, settings, folder)
        return 1e3 * (time.thread_time() - start - meter.seconds) / (64 * task.budgets.budget)


def demo_run(task_name: str, model: str, episodes: int) -> dict[str, float]:
    """Seconds of one run of `make demo`: wall clock, loop, agent, storing pictures; and its decisions."""
    task = TASKS.create(task_name)
    settings = RunSettings(task_name, model, split="mini", episodes=episodes)
    agent, meter = metered(AGENTS.create(task.default_agent, task=task_name))
    with tempfile.TemporaryDirectory() as folder:
        wall, busy = time.perf_counter(), time.thread_time()
        run(task, MODELS.create(model), agent, settings, Path(folder) / "timed")
        wall, busy = time.perf_counter() - wall, time.thread_time() - busy
        records = [e.episode for e in read_run(Path(folder) / "timed").records()]
    return {
        "wall_s": wall,
        "loop_s": busy - meter.seconds,
        "agent_s": meter.seconds,
        "store_s": sum(r.seconds.get("record", 0.0) for r in records),
        "decisions": sum(r.decisions for r in records),
    }


def main() -> None:
    """Measure and write benchmarks/results/loop.json."""
    result: dict[str, Any] = {
        f"fake_ms_per_decision_c{c}": round(statistics.median(fake_loop(c) for _ in range(5)), 4)
        for c in (1, 8, 32)
    }
    episodes = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    for task, model in DEMO[:2]:
        demo_run(task, model, 2)  # compiles, loads networks
    rows = {f"{task} {model}": demo_run(task, model, episodes) for task, model in DEMO}
    total = {k: sum(row[k] for row in rows.values()) for k in next(iter(rows.values()))}
    rows["all"] = total
    for row in rows.values():
        row["loop_ms_per_decision"] = 1e3 * row["loop_s"] / row["decisions"]
        row["loop_share"] = row["loop_s"] / row["wall_s"]
    result["demo"] = {name: {k: round(v, 4) for k, v in row.items()} for name, row in rows.items()}
    path = ROOT / "benchmarks" / "results" / "loop.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(path.read_text())


if __name__ == "__main__":
    main()
