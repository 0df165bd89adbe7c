"""Speed and size of the video world model, as JSON: random weights of the default size, and the packaged ones.

    python benchmarks/bench_video.py [--repeats 3] [--quick] [--out FILE]

Questions are answered side by side, each on one thread. Every figure is the fastest of a few repeats; `load` is the
system's load average before and after, because other programs slow all of it down. `--quick` only shows that the
benchmark works: a tiny transformer, one repeat, nothing written unless `--out` is given.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldloop.actions import NAVIGATION
from worldloop.core import Observation, Query
from worldloop.core.threads import available_cpus, each
from worldloop.models.video import (
    BackboneConfig,
    ConditioningConfig,
    SamplerConfig,
    VAEConfig,
    VideoBackbone,
    VideoCheckpoint,
    VideoModel,
    VideoSpec,
    VideoVAE,
)

ACTIONS = {"move_forward": (0.2, 0.0, 0.0), "turn_left": (0.0, 0.0, 22.5), "turn_right": (0.0, 0.0, -22.5)}
SIZE = {"width": 288, "depth": 9, "heads": 6}
TINY = {"width": 32, "depth": 1, "heads": 2}
CANDIDATES = (1, 2, 4, 8, 16)
PLAN = ("turn_left", "move_forward", "move_forward", "turn_right", "move_forward")


def timed(call: Callable[[], Any], repeats: int) -> float:
    """Seconds of the fastest of a few calls, after one that warms up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def processor_seconds(call: Callable[[], Any]) -> float:
    """Processor time of one call over all threads: what the wall clock cannot tell on a busy machine."""
    start = time.process_time()
    call()
    return time.process_time() - start


def make_model(
    control: str = "code", history: int = 1, guidance: float = 1.0, size: dict[str, int] = SIZE
) -> VideoModel:
    """A model with random weights."""
    torch.manual_seed(0)
    motions = tuple((a, b, math.radians(turn)) for a, b, turn in ACTIONS.values())
    heads = {
        "text": ConditioningConfig(text_buckets=4096),
        "code": ConditioningConfig(codes=3, camera=True, motions=motions),
        "camera": ConditioningConfig(camera=True),
    }[control]
    config = BackboneConfig(conditioning=heads, window=max(8, history), **size)
    sampler = SamplerConfig(steps=4, shift=3.0, guidance=guidance)
    spec = VideoSpec("bench", control, ACTIONS, history=history, sampler=sampler)
    return VideoModel(VideoCheckpoint(VideoVAE(VAEConfig()), VideoBackbone(config), spec))


def queries(count: int, length: int, frames: int = 1, histories: int = 1) -> list[Query]:
    """Different plans, spread over histories of a number of frames each."""
    seen = []
    for k in range(histories):
        rng = np.random.default_rng(k)
        views = [rng.integers(0, 256, (128, 128, 3), dtype=np.uint8) for _ in range(frames)]
        around = rng.integers(0, 256, (128, 256, 3), dtype=np.uint8)
        seen.append(tuple(Observation(v, panorama=around) for v in views))
    past = NAVIGATION.plan(["move_forward"] * (frames - 1)).actions if frames > 1 else ()
    plans = [[PLAN[(i + j) % 5] for j in range(length)] for i in range(count)]
    return [Query(seen[i % histories], past, NAVIGATION.plan(p), i) for i, p in enumerate(plans)]


def parameters(module: torch.nn.Module) -> int:
    """Number of weights."""
    return sum(p.numel() for p in module.parameters())


def sizes() -> dict[str, int]:
    """Parameter counts, with every conditioning head attached."""
    full = VideoBackbone(BackboneConfig(conditioning=ConditioningConfig(4096, 3, True)))
    vae = VideoVAE()
    return {
        "backbone_without_heads": parameters(full) - parameters(full.conditioner),
        "backbone_with_all_heads": parameters(full),
        "vae_encoder": parameters(vae.encoder),
        "vae_decoder": parameters(vae.decoder),
    }


def decisions(repeats: int, size: dict[str, int]) -> dict[str, float]:
    """Seconds for three candidates (M = 3) of one decision: 4 sampling steps, but the packaged model's own."""
    out = {}
    for control in ("code", "text", "camera"):
        model, asked = make_model(control, size=size), queries(3, 4)
        out[f"{control}_L4"] = timed(lambda m=model, a=asked: m.simulate(a), repeats)
    packaged, asked = VideoModel("video-lora"), queries(3, 4)
    out["video-lora_L4"] = timed(lambda: packaged.simulate(asked), repeats)
    out["video-lora_steps"] = packaged.sampler.steps
    model = make_model(size=size)
    out["code_L5"] = timed(lambda: model.simulate(queries(3, 5)), repeats)
    guided, asked = make_model(guidance=2.0, size=size), queries(3, 4)
    out["code_L4_guidance"] = timed(lambda: guided.simulate(asked), repeats)
    asked = queries(3, 4)
    out["code_L4_processor"] = processor_seconds(lambda: model.simulate(asked))
    return {k: round(v, 3) for k, v in out.items()}


def batches(repeats: int, size: dict[str, int]) -> dict[str, float]:
    """Sixteen queries (L = 4) in one call against sixteen calls, and whether the answers agree.

    Four histories, as when four episodes run side by side; `speedup` is the ratio of the throughputs.
    """
    model, asked = make_model(size=size), queries(16, 4, histories=4)
    together = timed(lambda: model.simulate(asked), repeats)
    apart = timed(lambda: [model.simulate([q]) for q in asked], repeats)
    a, b = model.simulate(asked), [model.simulate([q])[0] for q in asked]
    same = all(np.array_equal(f.rgb, g.rgb) for r, s in zip(a, b) for f, g in zip(r.frames, s.frames))
    return {
        "one_call_s": round(together, 3),
        "sixteen_calls_s": round(apart, 3),
        "one_call_queries_per_s": round(16 / together, 2),
        "sixteen_calls_queries_per_s": round(16 / apart, 2),
        "speedup": round(apart / together, 2),
        "one_call_processor_s": round(processor_seconds(lambda: model.simulate(asked)), 3),
        "sixteen_calls_processor_s": round(
            processor_seconds(lambda: [model.simulate([q]) for q in asked]), 3
        ),
        "bit_identical": same,
    }


def prefix_reuse(repeats: int, size: dict[str, int], frames: int) -> dict[str, Any]:
    """What G candidates (L = 4) on one history of N frames cost, with and without reuse of the history.

    Without reuse: the same plans on G different histories, each of which must be encoded. The lines `a + b G` are
    fitted to processor seconds, which neither idle threads (G = 1 keeps one busy) nor other programs bend. With reuse
    only `a` grows with N, without it `b` does: `slope_difference_s` is what encoding one history costs.
    """
    model = make_model(history=frames, size=size)
    histories = [model._reader.read(q).history for q in queries(16, 4, frames, histories=16)]
    model.simulate(queries(1, 4, frames))
    curves: dict[str, list[dict[str, float]]] = {"reuse": [], "no_reuse": []}
    for count in CANDIDATES:
        for name, rows in curves.items():
            asked = queries(count, 4, frames, 1 if name == "reuse" else count)
            costs = [measured(lambda a=asked: model.simulate(a)) for _ in range(repeats)]
            wall, processor = map(min, zip(*costs))
            rows.append({"G": count, "seconds": round(wall, 3), "processor_s": round(processor, 3)})
    lines = {name: line(rows) for name, rows in curves.items()}
    apart = lines["no_reuse"]["b"] - lines["reuse"]["b"]
    encode = min(processor_seconds(lambda: each(model._context, histories)) for _ in range(repeats)) / 16
    return {
        "frames": frames,
        **{name: {"curve": rows, "fit": lines[name]} for name, rows in curves.items()},
        "encode_one_history_processor_s": round(encode, 4),
        "slope_difference_s": round(apart, 4),
        "ratio_at_16": round(curves["no_reuse"][-1]["processor_s"] / curves["reuse"][-1]["processor_s"], 3),
    }


def measured(call: Callable[[], Any]) -> tuple[float, float]:
    """Wall seconds and processor seconds of one call."""
    start = time.perf_counter()
    processor = processor_seconds(call)
    return time.perf_counter() - start, processor


def line(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Least squares `a + b G` of processor seconds; `r2` is the share of the variance that it explains."""
    g, y = (np.array([row[k] for row in rows], float) for k in ("G", "processor_s"))
    b, a = np.polyfit(g, y, 1)
    left, spread = ((y - a - b * g) ** 2).sum(), ((y - y.mean()) ** 2).sum()
    return {"a": round(float(a), 4), "b": round(float(b), 4), "r2": round(float(1 - left / spread), 4)}


def passes(repeats: int, size: dict[str, int]) -> dict[str, float]:
    """Milliseconds on one thread: autoencoder per frame, one velocity of a 4-frame clip, one context."""
    model = make_model(size=size)
    vae, net = model.vae, model.backbone
    frame, latents = torch.rand(1, 3, 128, 128), torch.randn(1, 8, 16, 16)
    clip, t, around = torch.randn(1, 4, 8, 16, 16), torch.ones(1, 4), torch.randn(1, 8, 16, 32)
    with torch.inference_mode():
        context = net.context(latents[None], around)
        calls = {
            "vae_encode_ms_per_frame": lambda: vae.encode(frame),
            "vae_decode_ms_per_frame": lambda: vae.decode(latents),
            "context_1_frame_ms": lambda: net.context(latents[None], around),
            "velocity_4_frames_ms": lambda: net.velocity(clip, t, None, context),
        }
        return {name: round(1000 * timed(call, 10 * repeats), 2) for name, call in calls.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tiny model and one repeat: no real figures")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/video.json")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    before = os.getloadavg()
    repeats, size = (1, TINY) if options.quick else (options.repeats, SIZE)
    result = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cpus": available_cpus(),
            "torch": torch.__version__,
        },
        "transformer": size,
        "parameters": sizes(),
        "one_thread": passes(repeats, size),
        "decision_s": decisions(repeats, size),
        "batch_of_16": batches(repeats, size),
        "candidates_on_one_history": [prefix_reuse(repeats, size, frames) for frames in (1, 8)],
        "load": {"before": before, "after": os.getloadavg()},
    }
    text = json.dumps(result, indent=2)
    out = options.out or (None if options.quick else Path(__file__).parent / "results" / "video.json")
    if out:
        out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
