"""Runs on Ray: does twice as much do twice as much, and what does a question cost beside the model?

The world is a toy with pictures of 128 x 128 and the model sleeps for a known time: what is measured is everything between
them. Starting processes is not counted in the rates: their clock runs from the first batch to the end of the last.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import numpy as np  # noqa: E402

from worldloop.core import Goal, ModelCard, Observation, Rollout  # noqa: E402
from worldloop.engine import LocalExecutor, RayConfig, RayExecutor, RunSettings, run  # noqa: E402

from fakes import FakeTask, fake_agent  # noqa: E402

SIDE, TILES = 128, 16
ROUNDS = 3
"""How often each of the two arms is run, taking turns."""
VIRTUAL = (1, 2, 4, 8, 16, 32, 64)
PROCESSES = 4
"""Workers at most; further virtual workers are further episodes in flight in the same processes."""


@dataclass
class Pictures(FakeTask):
    """The flat world in pictures of a usual size."""

    def goal(self, environment: Any, episode: Any) -> Goal:
        goal = super().goal(environment, episode)
        return Goal(goal.text, large(goal.image))

    def observe(self, environment: Any, episode: Any, observation: Observation) -> Observation:
        return replace(observation, rgb=large(observation.rgb), depth=None)


def large(image: Any) -> np.ndarray:
    """uint8 [SIDE,SIDE,3]"""
    return np.tile(image, (TILES, TILES, 1))


class Sleeper:
    """Takes a fixed time for each batch and more for each item, and notes when."""

    def __init__(self, notes: str, batch: float, item: float, max_batch: int) -> None:
        self.card = ModelCard("sleeper", "sleeps", "code")
        self.notes, self.batch, self.item, self.max_batch = notes, batch, item, max_batch

    def simulate(self, queries: Any) -> list[Rollout]:
        start = time.time()
        frames = [Rollout(tuple(_shifted(q.history[-1], i) for i in range(len(q.plan)))) for q in queries]
        left = self.batch + self.item * len(queries) - (time.time() - start)
        time.sleep(max(0.0, left))
        with Path(self.notes).open("a") as file:
            file.write(json.dumps([start, time.time(), len(queries)]) + "\n")
        return frames


def _shifted(now: Observation, by: int) -> Observation:
    return Observation(np.roll(now.rgb, by + 1, axis=1), hfov_deg=now.hfov_deg)


def measure(executor: Any, episodes: int, concurrency: int, **model: Any) -> dict[str, float]:
    """One run: questions a second, sizes of batches, and what is left beside the model."""
    with tempfile.TemporaryDirectory() as temporary:
        notes = Path(temporary) / "notes.jsonl"
        settings = RunSettings("fake", "sleeper", concurrency=concurrency, keep_frames=0)
        marks: list[float] = []
        task = Pictures(count=episodes)
        cpu = time.process_time()
        run(
            task,
            Sleeper(str(notes), **model),
            fake_agent(),
            settings,
            Path(temporary) / "run",
            executor=executor,
            progress=lambda record: marks.append(time.time()),
        )
        cpu = time.process_time() - cpu
        batches = sorted(json.loads(line) for line in notes.read_text().splitlines())
    wall = max(end for _, end, _ in batches) - batches[0][0]
    queries, busy = sum(n for *_, n in batches), sum(end - start for start, end, _ in batches)
    return {
        "queries": queries,
        "queries_per_second": round(queries / wall, 1),
        "mean_batch": round(queries / len(batches), 2),
        "model_ms_per_query": round(1000 * busy / queries, 3),
        "replica_idle_ms_per_query": round(1000 * (wall - busy) / queries, 3),
        "run_process_cpu_ms_per_query": round(1000 * cpu / queries, 3),
    }


def doubled() -> dict[str, Any]:
    """One worker and one replica against two and two."""
    arms: dict[int, list[float]] = {1: [], 2: []}
    model = {"batch": 0.1, "item": 0.0, "max_batch": 3}
    for _ in range(ROUNDS):
        for count, rates in arms.items():
            with RayExecutor(RayConfig(workers=count, replicas=count)) as executor:
                rates.append(measure(executor, 16, 8, **model)["queries_per_second"])
    ratios = [b / a for a, b in zip(arms[1], arms[2])]
    return {
        "model": model,
        "queries_per_second": {str(count): rates for count, rates in arms.items()},
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(r, 3) for r in ratios],
    }


def curve() -> list[dict[str, Any]]:
    """One replica asked by more and more virtual workers, on Ray and in one process."""
    model = {"batch": 0.05, "item": 0.002, "max_batch": 16}
    rows = []
    for virtual in VIRTUAL:
        episodes = max(6, 2 * virtual)
        processes = min(virtual, PROCESSES)
        with RayExecutor(RayConfig(workers=processes, replicas=1)) as executor:
            ray = measure(executor, episodes, virtual, **model)
        local = measure(LocalExecutor(), episodes, virtual, **model)
        rows.append({"virtual_workers": virtual, "processes": processes, "ray": ray, "local": local})
        print(json.dumps(rows[-1]))
    return rows


def main() -> None:
    """Measure and write benchmarks/results/scale.json."""
    result = {
        "load_before": [round(v, 2) for v in os.getloadavg()],
        "cpus": len(os.sched_getaffinity(0)),
        "twice_as_much": doubled(),
        "virtual_workers": curve(),
        "load_after": [round(v, 2) for v in os.getloadavg()],
    }
    print(json.dumps(result["twice_as_much"]))
    path = ROOT / "benchmarks" / "results" / "scale.json"
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
