"""Speed and size of the video world model with random weights, as JSON.

    python benchmarks/bench_video.py [--repeats 3] [--out FILE]

Two threads answer questions, each on one thread. Every figure is the fastest of a few repeats; `load` is the
system's load average before and after, because other programs slow all of it down.
"""

from __future__ import annotations

import argparse
import json
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
from worldloop.core.threads import each
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


def make_model(control: str = "code", history: int = 1, guidance: float = 1.0) -> VideoModel:
    """The default sizes with random weights."""
    torch.manual_seed(0)
    heads = ConditioningConfig(4096 * (control == "text"), 3 * (control == "code"), control == "camera")
    config = BackboneConfig(conditioning=heads, window=max(8, history))
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


def decisions(repeats: int) -> dict[str, float]:
    """Seconds for three candidates of one decision, 4 steps."""
    out = {}
    for control in ("code", "text", "camera"):
        model, asked = make_model(control), queries(3, 4)
        out[f"{control}_L4"] = timed(lambda m=model, a=asked: m.simulate(a), repeats)
    model = make_model()
    out["code_L5"] = timed(lambda: model.simulate(queries(3, 5)), repeats)
    guided, asked = make_model(guidance=2.0), queries(3, 4)
    out["code_L4_guidance"] = timed(lambda: guided.simulate(asked), repeats)
    asked = queries(3, 4)
    out["code_L4_processor"] = processor_seconds(lambda: model.simulate(asked))
    return {k: round(v, 3) for k, v in out.items()}


def batches(repeats: int) -> dict[str, float]:
    """Sixteen queries on four histories (L = 4): one call against sixteen, and whether the answers agree."""
    model, asked = make_model(), queries(16, 4, histories=4)
    together = timed(lambda: model.simulate(asked), repeats)
    apart = timed(lambda: [model.simulate([q]) for q in asked], repeats)
    a, b = model.simulate(asked), [model.simulate([q])[0] for q in asked]
    same = all(np.array_equal(f.rgb, g.rgb) for r, s in zip(a, b) for f, g in zip(r.frames, s.frames))
    return {
        "one_call_s": round(together, 3),
        "sixteen_calls_s": round(apart, 3),
        "one_call_processor_s": round(processor_seconds(lambda: model.simulate(asked)), 3),
        "speedup": round(apart / together, 2),
        "bit_identical": same,
    }


def shared_context(repeats: int) -> list[dict[str, float]]:
    """Seconds for G candidates (L = 4) on one history of N frames; a model without sharing pays N for each."""
    out = []
    for frames in (1, 4, 8):
        model = make_model(history=frames)
        history = model._reader.read(queries(1, 4, frames)[0]).history
        encode = timed(lambda m=model, h=history: each(m._context, [h]), repeats)
        for count in (1, 2, 4, 8):
            asked = queries(count, 4, frames)
            seconds = timed(lambda m=model, a=asked: m.simulate(a), repeats)
            out.append(
                {
                    "frames": frames,
                    "candidates": count,
                    "context_s": round(encode, 3),
                    "total_s": round(seconds, 3),
                }
            )
    return out


def passes(repeats: int) -> dict[str, float]:
    """Milliseconds on one thread: autoencoder per frame, one velocity of a 4-frame clip, one context."""
    model = make_model()
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
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "video.json")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    before, repeats = os.getloadavg(), options.repeats
    result = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cpus": len(os.sched_getaffinity(0)),
            "torch": torch.__version__,
        },
        "parameters": sizes(),
        "one_thread": passes(repeats),
        "decision_s": decisions(repeats),
        "batch_of_16": batches(repeats),
        "candidates_on_one_history": shared_context(repeats),
        "load": {"before": before, "after": os.getloadavg()},
    }
    text = json.dumps(result, indent=2)
    if options.out:
        options.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
