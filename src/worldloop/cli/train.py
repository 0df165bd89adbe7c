"""Train: `recogniser` (names objects in active recognition), `vae` and `video` (the video model's autoencoder and its
base, from passive video), `sft` (low-rank adaptation of a video model to actions), `distil` (a video model that samples
in 1, 2 or 4 steps). The same command goes on where it was stopped. A card is written beside the weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from worldloop.cli.console import names, out, print_json, progress
from worldloop.core import InputError

SIZES = {"tiny": (128, 4, 4), "small": (192, 6, 6), "default": (288, 9, 6)}
"""Width, depth and heads of the video transformer."""
STEPS = {"vae": 6000, "video": 8000, "distil": 2000}
BATCH = {"vae": 32, "video": 16, "sft": 16, "distil": 16}
RATE = {"vae": 1e-3, "video": 5e-4, "sft": 1e-3, "distil": 2e-4}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `worldloop train`."""
    add = parser.add_argument
    add("what", choices=("recogniser", "vae", "video", "sft", "distil"))
    add("--out", metavar="DIR", help="where weights and card go (default: the name of what is trained)")
    add("--seed", type=int, default=0)
    add("--data", metavar="DIR[,DIR]", help="all but recogniser: datasets of `worldloop collect`")
    add("--vae", metavar="FILE", help="video: the autoencoder")
    add("--base", metavar="FILE", help="sft, distil: the video model to adapt, or the teacher")
    add("--control", default="code", help="sft: text, code or camera (default: %(default)s)")
    add("--examples", type=int, metavar="N", help="sft: clips to train on (default: all)")
    add(
        "--epochs",
        type=int,
        default=1,
        metavar="N",
        help="sft: times through the clips (default: %(default)s)",
    )
    add("--rank", type=int, metavar="R", help="sft: rank of the adapters (default: 1.5 %% are trained)")
    add("--steps", type=int, metavar="N", help=f"vae, video, distil: training steps (default: {STEPS})")
    add(
        "--student-steps",
        type=int,
        default=1,
        metavar="K",
        help="distil: sampling steps of the student, 1, 2 or 4 (default: %(default)s)",
    )
    add(
        "--no-score",
        action="store_true",
        help="video, sft, distil: leave the open-loop score out of the card",
    )
    add("--batch", type=int, metavar="B", help=f"examples in a step (default: {BATCH})")
    add("--learning-rate", type=float, metavar="X", help=f"default: {RATE}")
    add(
        "--size",
        choices=tuple(SIZES),
        default="default",
        help="video: of the transformer (default: %(default)s)",
    )
    add("--muon", action="store_true", help="video: the Muon optimiser for the blocks (torch 2.9)")
    add("--shift", type=float, metavar="X", help="video, sft: stress on high noise levels, from 1 up")
    add("--latents", metavar="DIR", help="video, sft: keep the encoded data here for other trainings")
    add("--compile", action="store_true", help="vae, video: compile first; pays off in runs of an hour")
    add("--precision", default="auto", help="fp32, bf16 or auto (default: %(default)s)")
    add(
        "--scenes",
        type=int,
        default=60,
        metavar="N",
        help="recogniser: scenes of a style (default: %(default)s)",
    )
    add(
        "--views",
        type=int,
        default=120,
        metavar="N",
        help="recogniser: views of a scene (default: %(default)s)",
    )


def main(options: argparse.Namespace) -> int:
    """Train and print the card."""
    train = {"recogniser": _recogniser, "vae": _vae, "video": _video, "sft": _sft, "distil": _distil}[
        options.what
    ]
    with progress(quiet=options.json) as bar:
        line = bar.add_task(f"train {options.what}", total=None, note="")

        def show(step: int, loss: float, total: int | None) -> None:
            bar.update(line, completed=step, total=total, note=f"loss {loss:.4f}")

        folder = Path(options.out or options.what)
        card = train(options, folder, show)
        if options.what != "recogniser":
            bar.update(line, note="score")
            card = _card(options, folder, card)
    if options.json:
        print_json(card)
    else:
        out.print(card)
    return 0


Show = Callable[[int, float, int | None], None]


def _card(options: argparse.Namespace, folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    from worldloop.training.video.card import FILES, score_file, write_card

    scored = options.what != "vae" and not options.no_score
    score = score_file(folder / FILES[options.what]) if scored else None
    return write_card(folder, options.what, facts, score)


def _recogniser(options: argparse.Namespace, folder: Path, show: Show) -> dict[str, Any]:
    from worldloop.training.recogniser import TrainConfig, train_recogniser

    if options.scenes < 1 or options.views < 1:
        raise InputError("--scenes and --views must be at least 1")
    return train_recogniser(
        TrainConfig(scenes=options.scenes, views=options.views, seed=options.seed, out=folder)
    )


def _vae(options: argparse.Namespace, folder: Path, show: Show) -> dict[str, Any]:
    from worldloop.training.video import AutoencoderTraining, train_autoencoder

    loop = _loop(options)
    settings = AutoencoderTraining(_data(options), folder, loop)
    return train_autoencoder(settings, lambda step, loss: show(step, loss, loop.steps))


def _video(options: argparse.Namespace, folder: Path, show: Show) -> dict[str, Any]:
    from worldloop.training.video import BaseTraining, train_base

    if not options.vae:
        raise InputError("give the autoencoder with --vae FILE (`worldloop train vae` makes one)")
    loop = _loop(options)
    width, depth, heads = SIZES[options.size]
    plain = BaseTraining(_data(options), Path(options.vae), folder, loop)
    settings = replace(
        plain,
        backbone=replace(plain.backbone, width=width, depth=depth, heads=heads),
        flow=replace(plain.flow, shift=options.shift or plain.flow.shift),
        muon=options.muon,
        latents=options.latents and Path(options.latents),
    )
    return train_base(settings, lambda step, loss: show(step, loss, loop.steps))


def _sft(options: argparse.Namespace, folder: Path, show: Show) -> dict[str, Any]:
    from worldloop.training.video import SupervisedTraining, train_sft

    if not options.base:
        raise InputError("give the model to adapt with --base FILE (`worldloop train video` makes one)")
    settings = SupervisedTraining(
        options.base,
        _data(options),
        folder,
        control=options.control,
        examples=options.examples,
        epochs=options.epochs,
        batch=options.batch or BATCH["sft"],
        learning_rate=options.learning_rate or RATE["sft"],
        rank=options.rank,
        seed=options.seed,
        precision=options.precision,
        latents=options.latents and Path(options.latents),
    )
    if options.shift:
        settings = replace(settings, flow=replace(settings.flow, shift=options.shift))
    return train_sft(settings, lambda step, loss: show(step, loss, None))


def _distil(options: argparse.Namespace, folder: Path, show: Show) -> dict[str, Any]:
    from worldloop.training.video import Distillation, train_distil

    if not options.base:
        raise InputError(
            "give the teacher with --base FILE (`worldloop train video` or `train sft` makes one)"
        )
    loop = _loop(options)
    settings = Distillation(options.base, _data(options), folder, loop, options.student_steps)
    return train_distil(settings, lambda step, loss: show(step, loss, loop.steps))


def _loop(options: argparse.Namespace) -> Any:
    from worldloop.training.loop import LoopConfig

    what = options.what
    return LoopConfig(
        steps=options.steps or STEPS[what],
        batch=options.batch or BATCH[what],
        learning_rate=options.learning_rate or RATE[what],
        average=0.998,
        seed=options.seed,
        precision=options.precision,
        compiled=options.compile,
    )


def _data(options: argparse.Namespace) -> tuple[str, ...]:
    if not options.data:
        raise InputError("give the training data with --data DIR (`worldloop collect` makes it)")
    return tuple(names(options.data))
