"""Time and memory of world models from diffusers' pipelines, as JSON, with random weights.

    python benchmarks/bench_diffusers.py [--device cuda] [--width 1.3B] [--steps 4] [--repeats 3] [--out FILE]

On a GPU one pipeline, Wan image to video, at its real width; its text encoder is left out, whose prompts are encoded once
and then kept. On the CPU every pipeline class at the tiny size of the tests: those figures say what the code around the
networks costs. `load` is the system's load average before and after.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldloop.actions import NAVIGATION
from worldloop.core import Observation, Query
from worldloop.models.diffusers import DiffusersConfig, DiffusersModel

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

WIDTHS = {
    "1.3B": {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30},
    "14B": {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40},
}
TINY = (
    "svd",
    "wan-i2v",
    "wan-5b",
    "wan-a14b",
    "ltx",
    "hunyuan",
    "cogvideox-i2v",
    "cosmos",
    "cosmos2.5",
    "cosmos3",
)
PLAN = ("turn_left", "move_forward", "move_forward", "turn_right")


def queries(count: int, side: int) -> list[Query]:
    """Candidates of one decision."""
    rgb = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return [Query((Observation(rgb),), (), NAVIGATION.plan(PLAN), seed) for seed in range(count)]


def timed(model: DiffusersModel, asked: list[Query], repeats: int) -> dict[str, Any]:
    """Seconds per rollout, the fastest of a few repeats after one that warms up, and the most memory taken."""
    on_gpu = model.device.type == "cuda"
    model.simulate(asked)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        model.simulate(asked)
        times.append(time.perf_counter() - start)
    found: dict[str, Any] = {"seconds_per_rollout": round(min(times) / len(asked), 4)}
    if on_gpu:
        found["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return found


def save_wide(width: str, folder: Path, device: str) -> None:
    """Wan image to video at a real width, without a text encoder."""
    import diffusers as d

    from tiny_diffusers import flow_scheduler, write_index

    with torch.device(device):
        transformer = d.WanTransformer3DModel(
            **WIDTHS[width],
            attention_head_dim=128,
            in_channels=36,
            out_channels=16,
            text_dim=4096,
            freq_dim=256,
        ).to(torch.bfloat16)
    transformer.save_pretrained(folder / "transformer")
    d.AutoencoderKLWan().save_pretrained(folder / "vae")
    flow_scheduler().save_pretrained(folder / "scheduler")
    write_index(folder, "WanImageToVideoPipeline", absent=("text_encoder", "tokenizer"))


def wide(width: str, steps: int, repeats: int, device: str) -> dict[str, Any]:
    """Wan at a real width: 480 x 832 pixels, 17 frames for four actions, one and four candidates at a time."""
    out: dict[str, Any] = {"width": width, "steps": steps, "size": "480x832", "frames": 17}
    with tempfile.TemporaryDirectory() as place:
        save_wide(width, Path(place), device)
        for batch in (1, 4):
            config = DiffusersConfig(
                place, control="none", steps=steps, size="480x832", batch=batch, device=device
            )
            start = time.perf_counter()
            model = DiffusersModel(config)
            loaded = round(time.perf_counter() - start, 1)
            out[f"batch_{batch}"] = {"load_seconds": loaded, **timed(model, queries(4, 256), repeats)}
            del model
            torch.cuda.empty_cache()
    return out


def tiny(repeats: int) -> dict[str, Any]:
    """Every pipeline class with a network of next to no width: one step, one frame for each of four actions."""
    from tiny_pipelines import save_any

    torch.set_num_threads(1)
    out = {}
    with tempfile.TemporaryDirectory() as place:
        for kind in TINY:
            folder = save_any(kind, Path(place) / kind)
            size: dict[str, Any] = {} if kind == "hunyuan" else {"size": 256 if kind == "cosmos3" else 64}
            config = DiffusersConfig(
                str(folder), steps=1, frames_per_action=1, device="cpu", safety=False, **size
            )
            model = DiffusersModel(config)
            out[kind] = {"pipeline": model.pipeline.loads, **timed(model, queries(2, 64), repeats)}
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--width", choices=WIDTHS, default="1.3B")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "diffusers.json")
    options = parser.parse_args()
    before = os.getloadavg()
    on_gpu = options.device.startswith("cuda")
    found = (
        {"wan": wide(options.width, options.steps, options.repeats, options.device)}
        if on_gpu
        else {"tiny": tiny(options.repeats)}
    )
    machine = torch.cuda.get_device_name() if on_gpu else platform.processor() or platform.machine()
    result = {"machine": machine, "torch": torch.__version__, **found}
    result["load"] = {"before": before, "after": os.getloadavg()}
    text = json.dumps(result, indent=2) + "\n"
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
