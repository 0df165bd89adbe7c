"""The whole training of the video model in a given time: autoencoder, base, adaptation, and an open-loop score.

    worldloop collect --style A,B --frames 24000 --panorama 128 --out data
    python scripts/train_video.py data --out video --seconds 1500

Steps are set by a short trial of each phase, so that the same command fits a laptop and an accelerator. Writes
vae/vae.safetensors, base/base.safetensors and adapted/adapted.safetensors, each with its card, and card.json with all
of it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from worldloop.cli.train_recipes import SIZES
from worldloop.models.video import BackboneConfig, ConditioningConfig, VideoModel
from worldloop.training.loop import LoopConfig, local_device
from worldloop.training.video import (
    AutoencoderTraining,
    BaseTraining,
    SupervisedTraining,
    train_autoencoder,
    train_base,
    train_sft,
)
from worldloop.training.video.base import TEXT_BUCKETS
from worldloop.training.video.card import open_loop, write_card
from worldloop.training.video.footage import Footage, open_footage
from worldloop.training.video.weights import load_vae


def steps_within(seconds: float, trial: Callable[[Path, int], dict[str, Any]]) -> int:
    """How many steps fit, by the speed of a trial."""
    few = 60 if torch.cuda.is_available() else 6
    with tempfile.TemporaryDirectory() as folder:
        trial(Path(folder) / "warm", 2)
        facts = trial(Path(folder) / "timed", few)
    return max(20, int(seconds / (facts["seconds"] / facts["steps"])))


def main() -> None:
    """Train and score."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=1500.0, help="of training in all three phases")
    parser.add_argument("--size", choices=SIZES, default="default")
    parser.add_argument("--batch", type=int, default=64 if torch.cuda.is_available() else 8)
    parser.add_argument("--vae", type=Path, help="an autoencoder that is trained already")
    parser.add_argument("--control", default="code")
    parser.add_argument("--trials", type=int, default=96)
    o = parser.parse_args()
    o.out.mkdir(parents=True, exist_ok=True)
    data, card, encoder_file = tuple(o.data), {}, o.out / "vae" / "vae.safetensors"
    loop = LoopConfig(steps=1, batch=o.batch, average=0.998)

    def vae(folder: Path, steps: int) -> dict[str, Any]:
        config = replace(loop, steps=steps, learning_rate=1e-3, average=0.0)
        return train_autoencoder(AutoencoderTraining(data, folder, config))

    if o.vae:
        encoder_file.parent.mkdir(exist_ok=True)
        shutil.copy(o.vae, encoder_file)
    else:
        card["vae"] = write_card(
            encoder_file.parent, "vae", vae(encoder_file.parent, steps_within(0.3 * o.seconds, vae))
        )
        note("vae", card["vae"])
    width, depth, heads = SIZES[o.size]
    backbone = BackboneConfig(
        width=width, depth=depth, heads=heads, conditioning=ConditioningConfig(text_buckets=TEXT_BUCKETS)
    )
    encoder, _ = load_vae(encoder_file)
    card["encode_seconds"] = 0.0

    def encoded(detail: int, pictures: bool = False) -> Footage:
        begun = time.perf_counter()
        found = open_footage(
            data, encoder, backbone.panorama, local_device(), None, o.out / "latents", detail, pictures
        )
        card["encode_seconds"] = round(card["encode_seconds"] + time.perf_counter() - begun, 1)
        return found

    passive = encoded(1)

    def base(folder: Path, steps: int) -> dict[str, Any]:
        config = replace(loop, steps=steps, learning_rate=6e-4)
        settings = BaseTraining(data, encoder_file, folder, config, backbone)
        return train_base(settings, footage=passive)

    card["base"] = base(o.out / "base", steps_within(0.5 * o.seconds, base))
    note("base", card["base"])
    weights = str(o.out / "base" / "base.safetensors")

    plain = SupervisedTraining(weights, data, o.out / "adapted", control=o.control, batch=o.batch)
    footage = encoded(plain.detail, plain.sharpens)

    def adapt(folder: Path, steps: int) -> dict[str, Any]:
        return train_sft(replace(plain, out=folder, examples=steps * o.batch), footage=footage)

    most = len(footage.starts(1, backbone.clip_frames)) // o.batch
    card["adapted"] = adapt(o.out / "adapted", min(most, steps_within(0.2 * o.seconds, adapt)))
    note("adapted", card["adapted"])
    models = {
        n: VideoModel(o.out / n / f"{n}.safetensors", device=str(local_device())) for n in ("base", "adapted")
    }
    score = card["open_loop"] = open_loop(models, o.trials)
    for name, row in score["models"].items():
        print(name, row, flush=True)
    for name, kind in (("base", "video"), ("adapted", "sft")):
        card[name] = write_card(o.out / name, kind, card[name], score)
    (o.out / "card.json").write_text(json.dumps(card, indent=1) + "\n")


def note(phase: str, facts: dict[str, Any]) -> None:
    """One line of progress."""
    keys = ("steps", "seconds", "examples_per_second", "psnr", "trained_share")
    print(phase, {k: facts[k] for k in keys if k in facts}, "loss", facts["losses"][-1][1], flush=True)


if __name__ == "__main__":
    main()
