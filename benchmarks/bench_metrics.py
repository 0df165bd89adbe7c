"""Speed of the metrics that need no weights, as JSON: all together and each by itself, in frames for each second.

    python benchmarks/bench_metrics.py [--cases 2] [--out FILE]

Clips are the true frames under noise and a blur, 128 x 128, of walks, held keys, loops and one long walk; making them is not
counted. `together` scores every clip by all metrics that apply, which share what they compute. `alone` is a metric by itself, with
all that it must compute first, over the clips to which it applies; `share` is what it adds in that order, on its own thread.
`command` is what `worldloop metrics` does for a table of one model, and of four, once they have imagined their frames and cases are
built: keys, scores and journal. What only the true frames tell is computed once for each case there, whatever the number of models. `per_s` is wall time on all processors, clip by clip on a thread each, long clips in parts; `core_ms` is processor time for
each frame, which other programs on a busy machine change less.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from worldloop.core.threads import available_cpus
from worldloop.engine.measure import Answer, MeasureSettings, measure
from worldloop.metrics.cases import Case, build_case, list_cases
from worldloop.metrics.clip import Clip
from worldloop.metrics.metric import Metric, load_metrics

KINDS = ("walk", "keys", "loop")
SUBJECTS = 4
"""Models in the larger table."""


def spoilt(frames: np.ndarray, seed: int) -> np.ndarray:
    """uint8 [T,H,W,3], blurred and noisy: no metric meets its special case of equal frames."""
    rng = np.random.default_rng(seed)
    soft = np.stack([gaussian_filter(f.astype(np.float32), (0.8, 0.8, 0)) for f in frames])
    return np.clip(soft + rng.normal(0, 4, soft.shape), 0, 255).astype(np.uint8)


def make_cases(cases: int) -> list[Case]:
    """`cases` of each short kind, and one long walk."""
    return [build_case(spec) for spec in [*list_cases(KINDS, cases), *list_cases(["long"], 1)]]


def imagined(case: Case, seed: int) -> Answer:
    """What a model may have imagined of it."""
    truth = case.truth.frames
    still = spoilt(truth[:1].repeat(len(truth), 0), seed)
    return Answer("asked", spoilt(truth, seed), still, twin_status="asked")


class Given:
    """A subject that answers at once."""

    def __init__(self, name: str, answers: dict[str, Answer]) -> None:
        self.name, self._answers = name, answers

    def identity(self) -> dict[str, Any]:
        """The name."""
        return {"model": self.name}

    def about(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def check_scenes(self, scenes: set[str]) -> None:
        """Made from none."""

    def source(self, case: str) -> str:
        """From no file."""
        return ""

    def ask(self, cases: Sequence[Case], twins: bool = True) -> list[Answer]:
        """What was given for each case."""
        return [self._answers[c.spec.id] for c in cases]


def command(cases: Sequence[Case], subjects: Sequence[Given], metrics: Sequence[Metric]) -> dict[str, float]:
    """Rate of `measure` for subjects whose frames are not stored: of many cases, few are."""

    def once() -> None:
        # A case of its own in each round: nothing is known of the truth yet.
        built = {c.spec: replace(c, truth=replace(c.truth, kept={})) for c in cases}
        settings = MeasureSettings(keep=0, build=built.__getitem__)
        with tempfile.TemporaryDirectory() as folder:
            places = [(s, Path(folder) / s.name) for s in subjects]
            measure(places, list(built), metrics, settings)

    return timed(once, len(subjects) * sum(len(c.truth.frames) for c in cases))


def timed(work: Callable[[], object], frames: int) -> dict[str, float]:
    """Frames for each second and processor time for each frame, the best of two rounds."""
    best, best_cpu = float("inf"), float("inf")
    for _ in range(2):
        start, cpu = time.perf_counter(), time.process_time()
        work()
        best = min(best, time.perf_counter() - start)
        best_cpu = min(best_cpu, time.process_time() - cpu)
    return {"frames": frames, "per_s": round(frames / best, 1), "core_ms": round(1000 * best_cpu / frames, 3)}


def fresh(clips: Sequence[Clip]) -> list[Clip]:
    """Clips that have nothing computed yet."""
    return [replace(c, kept={}) for c in clips]


def rate(
    clips: Sequence[Clip], score: Callable[[Clip], object], pool: ThreadPoolExecutor
) -> dict[str, float]:
    """The rate of scoring clips, with nothing computed yet."""
    return timed(lambda: list(pool.map(score, fresh(clips))), sum(len(c.frames) for c in clips))


def figures(cases: int) -> dict[str, object]:
    """All of them."""
    built = make_cases(cases)
    answers = [[imagined(c, 100 * k + i) for i, c in enumerate(built)] for k in range(SUBJECTS)]
    subjects = [
        Given(f"given-{k}", {c.spec.id: a for c, a in zip(built, some)}) for k, some in enumerate(answers)
    ]
    clips = [c.clip(a.frames, a.twin) for c, a in zip(built, answers[0]) if a.frames is not None]
    metrics = [m for m in load_metrics().values() if not m.weights and m.over == "clip"]

    def together(clip: Clip) -> None:
        for m in metrics:
            if m.applies(clip):
                m.score(clip)

    with ThreadPoolExecutor(available_cpus()) as pool:
        for m in metrics:  # compiles what is compiled at the first use
            for clip in fresh([c for c in clips if m.applies(c)][:1]):
                m.score(clip)
        whole = rate(clips, together, pool)
        alone = {}
        for m in metrics:
            some = [c for c in clips if m.applies(c)]
            if some:
                alone[m.name] = {**rate(some, m.score, pool), "clips": len(some)}
    for name, share in shares(metrics, clips).items():
        alone[name]["share_core_ms"] = share
    without = sorted(m.name for m in metrics if m.name not in alone)
    return {
        "together": {**whole, "metrics": len(metrics), "clips": len(clips)},
        "command": {str(n): command(built, subjects[:n], metrics) for n in (1, SUBJECTS)},
        "alone": alone,
        "apply_to_none": without,
    }


def shares(metrics: Sequence[Metric], clips: Sequence[Clip]) -> dict[str, float]:
    """Processor ms that each metric adds for each frame, after those before it, on one thread."""
    found: dict[str, float] = {}
    frames: dict[str, int] = {}
    for clip in fresh(clips):
        for m in metrics:
            if m.applies(clip):
                start = time.process_time()
                m.score(clip)
                found[m.name] = found.get(m.name, 0.0) + time.process_time() - start
                frames[m.name] = frames.get(m.name, 0) + len(clip.frames)
    return {n: round(1000 * s / frames[n], 3) for n, s in found.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=2, help="of each short kind")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "metrics.json")
    options = parser.parse_args(arguments)
    machine = {
        "processor": platform.processor() or platform.machine(),
        "processors": available_cpus(),
        "load_before": round(os.getloadavg()[0], 2),
    }
    text = json.dumps({"machine": machine, "size": 128, **figures(options.cases)}, indent=2)
    if options.out:
        options.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
