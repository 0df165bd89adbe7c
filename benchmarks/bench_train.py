"""Training throughput of the video transformer: clips per second, and the share of the matmul peak, as JSON.

    python benchmarks/bench_train.py [--seconds 8] [--batch 8] [--quick] [--out FILE]

The real recipes run (`train_base`, `train_sft`) on random latents, so that no data is needed and no video is decoded.
`clips_per_s` is the batch over the median time of a step, from the end of one step to the end of the next. FLOPs of a
step are counted by torch (matrix products and attention, forward and backward, nothing recomputed); the peak is the
best of a few large matrix products in the same precision, on the same device, just before. `load` is the system's
load average: other programs make every figure smaller. `--quick` only shows that the benchmark works.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from worldloop.cli.train_recipes import SIZES as RECIPE_SIZES
from worldloop.models.video import BackboneConfig, ConditioningConfig, VideoVAE
from worldloop.training.loop import LoopConfig, local_device
from worldloop.training.video import BaseTraining, SupervisedTraining, train_base, train_sft
from worldloop.training.video.base import TEXT_BUCKETS
from worldloop.training.video.footage import Footage
from worldloop.training.video.weights import save_vae

SIZES = {n: RECIPE_SIZES[n] for n in ("small", "default")}
"""Width, depth and heads."""
QUICK = {"tiny": (32, 1, 2)}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
ACTIONS = {"move_forward": (0.2, 0.0, 0.0), "turn_left": (0.0, 0.0, 22.5), "turn_right": (0.0, 0.0, -22.5)}
EPISODE = 32
MOST_STEPS = 96
WARM = 2
"""Steps before the clock starts."""


class Enough(Exception):  # noqa: N818 - not an error
    """Stops a training that has been watched for long enough."""


@dataclass(frozen=True)
class Bench:
    """One size of the transformer on its way through both recipes."""

    folder: Path
    size: tuple[int, int, int]
    batch: int
    footage: Footage

    def base(self, precision: str, steps: int, progress: Callable[[int, float], None]) -> None:
        """Passive video, all parameters."""
        width, depth, heads = self.size
        text = ConditioningConfig(text_buckets=TEXT_BUCKETS)
        backbone = BackboneConfig(width=width, depth=depth, heads=heads, conditioning=text)
        loop = LoopConfig(
            steps=steps, batch=self.batch, average=0.998, precision=precision, checkpoint_seconds=1e9
        )
        with tempfile.TemporaryDirectory() as out:
            settings = BaseTraining(("random",), self.folder / "vae.safetensors", Path(out), loop, backbone)
            train_base(settings, progress, self.footage)
            (Path(out) / "base.safetensors").replace(self.folder / "base.safetensors")

    def sft(self, precision: str, steps: int, progress: Callable[[int, float], None]) -> None:
        """Low-rank adaptation with code control."""
        with tempfile.TemporaryDirectory() as out:
            settings = SupervisedTraining(
                str(self.folder / "base.safetensors"), ("random",), Path(out), examples=steps * self.batch,
                batch=self.batch, precision=precision,
            )  # fmt: skip
            train_sft(settings, progress, self.footage)


def random_footage(frames: int, device: torch.device) -> Footage:
    """Latents and pictures of the usual size and random actions, in episodes of 32 frames."""
    random, draw = np.random.default_rng(0), torch.Generator().manual_seed(0)
    frames -= frames % EPISODE
    codes = random.integers(1, len(ACTIONS) + 1, frames)
    codes[EPISODE - 1 :: EPISODE] = 0
    sizes = (16, 16), (32, 64)  # enlarged twice, as adaptation wants panoramas; the base reduces them
    latents, panoramas = (torch.randn(frames, 8, *s, generator=draw).half().to(device) for s in sizes)
    episodes = np.repeat(np.arange(frames // EPISODE), EPISODE)
    poses = random.normal(size=(frames, 3))
    front, around = (random.integers(0, 256, (frames, 128, w, 3), dtype=np.uint8) for w in (128, 256))
    scenes = ("house/train/A/0000",)
    return Footage(latents, panoramas, codes, poses, episodes, scenes, ACTIONS, (front, around))


def step_flops(run: Callable[..., None]) -> int:
    """FLOPs of the first step of a training, in the plain form of attention, which is the same everywhere."""
    seen: list[int] = []
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run("fp32", 1, lambda step, loss: seen.append(counter.get_total_flops()))
    return seen[0]


def step_seconds(run: Callable[..., None], precision: str, seconds: float) -> tuple[float, int]:
    """Median seconds of a step, and how many were timed; the first ones only warm up."""
    ends: list[float] = []

    def watch(step: int, loss: float) -> None:
        # The loop has just read the loss, so all work up to here is done, on a GPU too.
        ends.append(time.perf_counter())
        if len(ends) >= WARM + 2 and ends[-1] - ends[WARM - 1] > seconds:
            raise Enough

    with contextlib.suppress(Enough):
        run(precision, MOST_STEPS, watch)
    times = np.diff(ends[WARM - 1 :])
    return median(times.tolist()), len(times)


def matmul_peak(precision: str, device: torch.device, sides: Sequence[int]) -> float:
    """Best FLOP/s of square matrix products of a few sizes."""
    best = 0.0
    for side in sides:
        a, b = (torch.randn(side, side, device=device).to(PRECISIONS[precision]) for _ in range(2))
        for _ in range(4):
            wait(device)
            start = time.perf_counter()
            a @ b
            wait(device)
            best = max(best, 2 * side**3 / (time.perf_counter() - start))
    return best


def wait(device: torch.device) -> None:
    """Until the device has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(sizes: dict[str, tuple[int, int, int]], batch: int, seconds: float) -> list[dict[str, Any]]:
    """A row for each size, recipe and precision."""
    device, rows = local_device(), []
    sides = (2048, 4096, 8192) if device.type == "cuda" else (512, 1024, 2048)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_vae(folder / "vae.safetensors", VideoVAE(), {})
        # An epoch of the adaptation must last longer than it is watched.
        footage = random_footage(batch * MOST_STEPS * 4 // 3 + EPISODE, device)
        for label, size in sizes.items():
            bench = Bench(folder, size, batch, footage)
            for phase, run in (("base", bench.base), ("sft", bench.sft)):
                flops = step_flops(run)
                for precision in PRECISIONS:
                    peak = matmul_peak(precision, device, sides)
                    each, timed = step_seconds(run, precision, seconds)
                    rows.append(
                        {
                            "size": label, "phase": phase, "precision": precision, "batch": batch,
                            "clips_per_s": round(batch / each, 2), "step_ms": round(1000 * each, 2),
                            "steps_timed": timed, "gflop_per_clip": round(flops / batch / 1e9, 3),
                            "gflops": round(flops / each / 1e9, 1), "matmul_peak_gflops": round(peak / 1e9, 1),
                            "share_of_peak": round(flops / each / peak, 4),
                        }
                    )  # fmt: skip
                    print(json.dumps(rows[-1]), flush=True)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; write JSON where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cuda = torch.cuda.is_available()
    parser.add_argument("--seconds", type=float, default=8.0, help="of each size, phase and precision")
    parser.add_argument("--batch", type=int, default=64 if cuda else 8)
    parser.add_argument("--quick", action="store_true", help="a tiny model for a moment: no real figures")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/train.json")
    o = parser.parse_args(arguments)
    before = os.getloadavg()
    rows = measure(QUICK, 2, 0.1) if o.quick else measure(SIZES, o.batch, o.seconds)
    result = {
        "machine": {
            "device": torch.cuda.get_device_name() if cuda else "cpu",
            "threads": torch.get_num_threads(),
            "cpus": len(os.sched_getaffinity(0)),
            "torch": torch.__version__,
        },
        "rows": rows,
        "load": {"before": before, "after": os.getloadavg()},
    }
    out = o.out or (None if o.quick else Path(__file__).parent / "results" / "train.json")
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["machine"] | {"load": result["load"]}))


if __name__ == "__main__":
    main()
