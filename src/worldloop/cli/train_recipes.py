"""From the options of `worldloop train` to the recipes; these import torch, so the command line does it late."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from worldloop.cli.console import names
from worldloop.core import InputError

Show = Callable[[int, float, int | None], None]
"""(step, loss, total steps where known)"""
SIZES = {"tiny": (128, 4, 4), "small": (192, 6, 3), "default": (288, 9, 6)}
"""Width, depth and heads of the video transformer."""


def train(
    options: argparse.Namespace, folder: Path, show: Show, scoring: Callable[[], None]
) -> dict[str, Any]:
    """Train what was asked for; returns its card. `scoring` is called before a model is scored."""
    facts = RECIPES[options.what](options, folder, show)
    if options.what in ("recogniser", "policy", "inverse-dynamics") or _is_diffusers(options):
        return facts
    from worldloop.training.video.card import FILES, score_file, write_card

    score = None
    if options.what != "vae" and not options.no_score:
        scoring()
        score = score_file(folder / FILES[options.what])
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
    settings = AutoencoderTraining(_data(options), folder, loop, start=_path(options.start))
    return train_autoencoder(settings, lambda step, loss: show(step, loss, loop.steps))


def _video(options: argparse.Namespace, folder: Path, show: Show) -> dict[str, Any]:
    from worldloop.training.video import BaseTraining, train_base

    if not (options.vae or options.start):
        raise InputError("give the autoencoder with --vae FILE (`worldloop train vae` makes one)")
    if options.start and options.size:
        raise InputError("--size is for a new base; --start brings its own")
    loop = _loop(options)
    width, depth, heads = SIZES[options.size or "default"]
    plain = BaseTraining(_data(options), _path(options.vae), folder, loop, start=options.start)
    settings = replace(
        plain,
        backbone=replace(plain.backbone, width=width, depth=depth, heads=heads),
        flow=replace(plain.flow, shift=options.shift or plain.flow.shift),
        muon=options.muon,
        latents=_path(options.latents),
    )
    return train_base(settings, lambda step, loss: show(step, loss, loop.steps))


def _sft(options: argparse.Namespace, folder: Path, show: Show) -> dict[str, Any]:
    from worldloop.models.video import FlowConfig
    from worldloop.training.video import SupervisedTraining, train_sft

    if not options.base:
        raise InputError("give the model to adapt with --base PATH (`worldloop train video` makes one)")
    if _is_diffusers(options):
        return _diffusers(options, folder, show)
    settings = SupervisedTraining(
        options.base,
        _data(options),
        folder,
        control=options.control,
        examples=options.examples,
        epochs=options.epochs,
        batch=options.batch or 16,
        learning_rate=options.learning_rate or (5e-4 if options.full else 1e-3),
        rank=options.rank,
        seed=options.seed,
        precision=options.precision,
        latents=_path(options.latents),
        flow=FlowConfig(shift=options.shift) if options.shift else None,
        sampling_steps=options.sampling_steps,
        full=options.full,
        vae=_path(options.vae),
        muon=options.muon,
        changes=options.changes,
    )
    return train_sft(settings, lambda step, loss: show(step, loss, None))


def _diffusers(options: argparse.Namespace, folder: Path, show: Show) -> dict[str, Any]:
    from worldloop.training.diffusers import DiffusersTraining, train_diffusers

    if options.full or options.muon:
        raise InputError(
            "--full and --muon are for worldloop's own video model; a diffusers folder is adapted by LoRA"
        )
    settings = DiffusersTraining(
        options.base,
        _data(options),
        folder,
        control=options.control,
        vae=_path(options.vae),
        examples=options.examples,
        epochs=options.epochs,
        batch=options.batch or 4,
        learning_rate=options.learning_rate or 1e-4,
        rank=16 if options.rank is None else options.rank,
        frames=options.frames,
        size=_size(options.size),
        seed=options.seed,
        precision=options.precision,
    )
    return train_diffusers(settings, lambda step, loss: show(step, loss, None))


def _distil(options: argparse.Namespace, folder: Path, show: Show) -> dict[str, Any]:
    from worldloop.training.video import Distillation, train_distil

    if not options.base:
        raise InputError(
            "give the teacher with --base FILE (`worldloop train video` or `train sft` makes one)"
        )
    loop = _loop(options)
    settings = Distillation(
        options.base, _data(options), folder, loop, options.student_steps, latents=_path(options.latents)
    )
    return train_distil(settings, lambda step, loss: show(step, loss, loop.steps))


def _policy(options: argparse.Namespace, folder: Path, show: Show) -> dict[str, Any]:
    from worldloop.agents.policy import PolicyConfig
    from worldloop.training.policy import PolicyTraining, train_policy

    loop, policy = _loop(options), PolicyConfig(size=options.size, width=options.width)
    settings = PolicyTraining(_data(options), folder, loop, policy, _path(options.start))
    return train_policy(settings, lambda step, loss: show(step, loss, loop.steps))


def _inverse(options: argparse.Namespace, folder: Path, show: Show) -> dict[str, Any]:
    from worldloop.training.inverse_dynamics import InverseTraining, train_inverse

    loop = _loop(options)
    settings = InverseTraining(folder, options.scenes, options.pairs, loop=loop)
    return train_inverse(settings, lambda step, loss: show(step, loss, loop.steps))


RECIPES = {
    "recogniser": _recogniser,
    "vae": _vae,
    "video": _video,
    "sft": _sft,
    "distil": _distil,
    "policy": _policy,
    "inverse-dynamics": _inverse,
}


def _is_diffusers(options: argparse.Namespace) -> bool:
    return options.what == "sft" and bool(options.base) and Path(options.base).is_dir()


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        height, width = map(int, text.split(","))
    except ValueError:
        raise InputError(f"--size is height and width in pixels, such as 128,128, not {text!r}") from None
    return height, width


def _loop(options: argparse.Namespace) -> Any:
    from worldloop.training.loop import LoopConfig

    return LoopConfig(
        steps=options.steps,
        batch=options.batch,
        learning_rate=options.learning_rate,
        average=0.998,
        seed=options.seed,
        precision=options.precision,
    )


def _data(options: argparse.Namespace) -> tuple[str, ...]:
    if not options.data:
        raise InputError("give the training data with --data DIR (`worldloop collect` makes it)")
    return tuple(names(options.data))


def _path(given: str | None) -> Path | None:
    return Path(given) if given else None
