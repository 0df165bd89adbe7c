"""Collecting and reading training data: frames per second, bytes per frame and clips per second, as JSON.

    python benchmarks/bench_data.py [--frames 6144] [--seconds 2] [--out FILE]

The light of every scene is baked before, so that runs with one and two processes do the same work. The machine's
load before the start stands beside the figures: whatever else runs makes them smaller.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.envs.house.scenes import load_scene
from worldloop.training.collect import collect
from worldloop.training.collect_config import CollectConfig, plan_shards
from worldloop.training.dataset import ActionClips

LENGTH = 8
"""Frames of the clips that are read."""


def collected(out: Path, frames: int, **settings: Any) -> dict[str, Any]:
    """Collect afresh; frames per second, with and without the start of the workers, and bytes per frame."""
    times: list[tuple[float, int]] = []
    config = CollectConfig(out, frames, styles=("A", "B"), **settings)
    summary = collect(config, lambda done, total: times.append((time.perf_counter(), done)))
    # The first scene of every worker comes with the start of the process.
    (begin, before), (end, after) = times[config.jobs or 1], times[-1]
    return {
        "frames_per_s_once_started": round((after - before) / (end - begin), 1),
        "frames_per_s": round(frames / summary["seconds"], 1),
        "seconds": summary["seconds"],
        "video_bytes_per_frame": round(summary["bytes"]["videos"] / frames),
        "table_bytes_per_frame": round(summary["bytes"]["tables"] / frames),
    }


def rate(call: Callable[[], object], seconds: float) -> float:
    """Calls per second: the best of three slices, because other programs can only slow a slice down."""
    best = 0.0
    for _ in range(3):
        start, done = time.perf_counter(), 0
        while time.perf_counter() - start < seconds / 3:
            call()
            done += 1
        best = max(best, done / (time.perf_counter() - start))
    return round(best, 1)


def reading(folder: Path, seconds: float) -> dict[str, float]:
    """Random clips from disk and from kept episodes, and all frames at once."""
    random = np.random.default_rng(0)
    started = time.perf_counter()
    cold = ActionClips(folder, cache_bytes=0)
    opened = time.perf_counter() - started
    starts = cold.starts(LENGTH)

    def draw(clips: ActionClips) -> object:
        episode, first = starts[random.integers(len(starts))]
        return clips.clip(int(episode), int(first), LENGTH)

    warm = ActionClips(folder)
    for episode in range(len(warm)):
        warm.clip(episode, 0, 1)
    started = time.perf_counter()
    frames, _ = cold.to_memory(jobs=os.cpu_count() or 1)
    everything = time.perf_counter() - started
    return {
        "open_s": round(opened, 4),
        "clips_per_s_decoding": rate(lambda: draw(cold), seconds),
        "clips_per_s_kept": rate(lambda: draw(warm), seconds),
        "frames_per_s_to_memory": round(len(frames) / everything, 1),
    }


def main() -> None:
    """Measure and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=6144)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "data.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, frames = Path(folder), options.frames
        load = os.getloadavg()[0]
        for shard in plan_shards(CollectConfig(root, frames, styles=("A", "B"))):
            load_scene(shard.scene)
        result = {
            "machine": {
                "processors": os.cpu_count(),
                "platform": platform.platform(),
                "load": round(load, 2),
            },
            "frames": frames,
            "size": 128,
            "collect": {
                "lossless_1_job": collected(root / "one", frames, jobs=1),
                "lossless_2_jobs": collected(root / "two", frames, jobs=2),
                "lossy_2_jobs": collected(root / "lossy", frames, jobs=2, lossless=False),
                "panorama_128_and_depth_2_jobs": collected(
                    root / "all", frames // 2, jobs=2, panorama_height=128, depth=True
                ),
            },
            "read": {
                "clip_length": LENGTH,
                "lossless": reading(root / "one", options.seconds),
                "lossy": reading(root / "lossy", options.seconds),
            },
        }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
