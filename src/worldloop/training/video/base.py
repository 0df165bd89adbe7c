"""Training the base on passive video: it learns how houses look in motion, with loose captions and no actions.

As with video models from the web, a caption may name the directions of the motion, in any order and without
amounts, and is often missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worldloop.core import InputError
from worldloop.models.video import (
    BackboneConfig,
    Condition,
    ConditioningConfig,
    FlowConfig,
    SamplerConfig,
    VideoBackbone,
    VideoCheckpoint,
    VideoSpec,
    VideoVAE,
    caption_batch,
    load_checkpoint,
    save_checkpoint,
)
from worldloop.training.loop import LoopConfig, StepInput, local_device, train
from worldloop.training.video.clip_loss import ClipLoss
from worldloop.training.video.footage import Footage, clip_batch, open_footage, styles
from worldloop.training.video.weights import load_vae

TEXT_BUCKETS = 2048
HIDDEN = re.compile(r"\.blocks\.\d+\.(attention|mlp)\.")
"""Names of the matrices between tokens and tokens."""


@dataclass(frozen=True)
class BaseTraining:
    """Settings of `train_base`."""

    data: tuple[str, ...]
    vae: Path | None
    """The autoencoder; None where `start` brings one."""
    out: Path
    loop: LoopConfig
    backbone: BackboneConfig = field(
        default_factory=lambda: BackboneConfig(conditioning=ConditioningConfig(text_buckets=TEXT_BUCKETS))
    )
    flow: FlowConfig = field(default_factory=lambda: FlowConfig(shift=2.0))
    history: int = 4
    """Most context frames of a training clip, the present one included; half of the clips have that one alone."""
    uncaptioned: float = 0.4
    """Share of clips without a caption."""
    muon: bool = False
    """Let Muon train the blocks' matrices; needs torch 2.9."""
    start: str | None = None
    """A base to train further, with its autoencoder and sizes: a checkpoint file, or the name of packaged weights."""
    latents: Path | None = None
    """A folder that keeps the encoded data for other trainings with the same autoencoder."""

    def __post_init__(self) -> None:
        if (self.vae is None) == (self.start is None):
            raise InputError("give either an autoencoder for a new base, or a base to train further")


def train_base(
    settings: BaseTraining,
    progress: Callable[[int, float], None] | None = None,
    footage: Footage | None = None,
) -> dict[str, Any]:
    """Train a backbone, from scratch or further, and write `base.safetensors`; returns facts for the card.

    `footage`: the data, where it has been encoded by the same autoencoder already. SplitError for held-out scenes.
    """
    torch.manual_seed(settings.loop.seed)
    vae, backbone, before, seen = _beginning(settings)
    config = backbone.config
    if footage is None:
        footage = open_footage(settings.data, vae, config.panorama, local_device(), store=settings.latents)
        vae.cpu()
    frames, batch = config.clip_frames, settings.loop.batch
    starts = {n: footage.starts(n, frames) for n in range(1, settings.history + 1)}
    if not all(len(s) for s in starts.values()):
        raise InputError("the episodes of this data are too short for the clips")

    def loss(model: nn.Module, given: StepInput) -> Tensor:
        n = 1 if given.random.random() < 0.5 else int(given.random.integers(1, settings.history + 1))
        present = starts[n][given.random.integers(len(starts[n]), size=batch)][given.rows]
        captioned = given.random.random(batch)[given.rows] >= settings.uncaptioned
        seed = int(given.random.integers(2**62)) + given.rows.start
        clips = clip_batch(footage, present, n, frames, given.device)
        captions = [
            loose_caption(footage, c) if k else "" for c, k in zip(clips.codes.cpu().numpy(), captioned)
        ]
        condition = Condition(text=caption_batch(captions, TEXT_BUCKETS).to(given.device))
        return model(clips, condition, None, seed).mean()

    learner = ClipLoss(backbone, settings.flow)
    hidden = [n for n, p in learner.named_parameters() if p.ndim == 2 and HIDDEN.search(n)]
    about = {"start": before["weights_hash"]} if before else None
    muon = hidden if settings.muon else ()
    facts = train(learner, loss, settings.loop, settings.out, progress, muon, about)
    if before:
        facts["before"] = before
    backbone.cpu().eval()
    scenes = tuple(sorted({*footage.scenes, *seen}))
    spec = VideoSpec(
        "video-base",
        "text",
        footage.actions,
        summary="a small latent video diffusion transformer, trained on passive video with loose captions",
        history=1,
        sampler=SamplerConfig(steps=4, shift=settings.flow.shift),
        training_scenes=scenes,
        notes="Not trained on actions: it knows words of direction, not amounts.",
        extra={"training": facts},
    )
    facts["weights_hash"] = save_checkpoint(
        settings.out / "base.safetensors", VideoCheckpoint(vae, backbone, spec), half=True
    )
    return facts | {
        "data": list(settings.data),
        "scenes": len(footage.scenes),
        "styles": styles(footage.scenes),
        "frames": len(footage.codes),
        "parameters": sum(p.numel() for p in backbone.parameters()),
        "flow": asdict(settings.flow),
    }


def _beginning(
    settings: BaseTraining,
) -> tuple[VideoVAE, VideoBackbone, dict[str, Any], tuple[str, ...]]:
    """Autoencoder, backbone, what is known of its training so far, and the scenes that the two have seen."""
    if settings.start is None:
        assert settings.vae is not None
        vae, card = load_vae(settings.vae)
        return vae, VideoBackbone(settings.backbone), {}, tuple(card.get("training_scenes", ()))
    checkpoint = load_checkpoint(settings.start)
    if "adaptation" in checkpoint.spec.extra or checkpoint.spec.control != "text":
        raise InputError(f"{settings.start} is no base: it was post-trained on actions")
    before = {**checkpoint.spec.extra.get("training", {}), "weights_hash": checkpoint.weights_hash}
    return checkpoint.vae, checkpoint.backbone, before, checkpoint.spec.training_scenes


PHRASES = {"forward": "moves forward", "left": "rotates left", "right": "rotates right"}


def loose_caption(footage: Footage, codes: np.ndarray) -> str:
    """What somebody would say of a clip: the kinds of its motion, without order, amounts or number."""
    moves = list(footage.actions.values())
    kinds = set()
    for code in codes:
        forward, _, turn = moves[code - 1]
        kinds.add("forward" if forward else "left" if turn > 0 else "right")
    return "The camera " + " and ".join(PHRASES[k] for k in sorted(kinds)) + "."
