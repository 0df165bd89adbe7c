"""Training the base on passive video: it learns how houses or tables look in motion, with loose captions and no actions.

As with video models from the web, a caption may name the directions of the motion, in any order and without
amounts, and is often missing. Of demonstrations at a table it tells the goal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
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
from worldloop.training.video.clip_loss import ClipLoss, hidden_matrices
from worldloop.training.video.demonstrations import fitted
from worldloop.training.video.footage import Footage, clip_batch, kinds, open_footage
from worldloop.training.video.weights import file_hash, load_vae

TEXT_BUCKETS = 2048


@dataclass(frozen=True)
class BaseTraining:
    """Settings of `train_base`."""

    data: tuple[str, ...]
    vae: Path | None
    """The autoencoder; None where `start` brings the one to use."""
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
    """A base to train further, with its sizes and, where `vae` is None, its autoencoder: a checkpoint file, or the name
    of packaged weights. One of houses may be trained further on demonstrations; its panorama is left out then."""
    latents: Path | None = None
    """A folder that keeps the encoded data for other trainings with the same autoencoder."""

    def __post_init__(self) -> None:
        if self.vae is None and self.start is None:
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
    if footage is None:
        wide = backbone.config.panorama
        footage = open_footage(settings.data, vae, wide, local_device(), store=settings.latents)
        vae.cpu()
    backbone = fitted(backbone, footage.commands)
    config, table = backbone.config, footage.commands
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
        told = zip(present, clips.codes.cpu().numpy(), captioned)
        captions = [caption(footage, at, codes) if k else "" for at, codes, k in told]
        condition = Condition(text=caption_batch(captions, TEXT_BUCKETS).to(given.device))
        return model(clips, condition, None, seed).mean()

    learner = ClipLoss(backbone, settings.flow)
    muon = hidden_matrices(learner) if settings.muon else ()
    told = (("start", "weights_hash"), ("vae", "vae"))
    about = {name: before[key] for name, key in told if key in before} or None
    facts = train(learner, loss, settings.loop, settings.out, progress, muon, about)
    if before:
        facts["before"] = before
    backbone.cpu().eval()
    scenes = tuple(sorted({*footage.scenes, *seen}))
    spec = VideoSpec(
        "video-base" if table is None else "video-table-base",
        "text" if table is None else "none",
        footage.actions,
        summary="a small latent video diffusion transformer, trained on passive video with loose captions",
        history=1,
        sampler=SamplerConfig(steps=4, shift=settings.flow.shift),
        training_scenes=scenes,
        notes="Not trained on actions: it knows words of direction, not amounts."
        if table is None
        else "Not trained on commands, which change nothing.",
        extra={"training": facts},
        vocabulary=None if table is None else table.vocabulary,
    )
    facts["weights_hash"] = save_checkpoint(
        settings.out / "base.safetensors", VideoCheckpoint(vae, backbone, spec), half=True
    )
    return facts | {
        "data": list(settings.data),
        "scenes": len(footage.scenes),
        **kinds(footage.scenes),
        "frames": len(footage.codes),
        "parameters": sum(p.numel() for p in backbone.parameters()),
        "flow": asdict(settings.flow),
    }


def _beginning(
    settings: BaseTraining,
) -> tuple[VideoVAE, VideoBackbone, dict[str, Any], tuple[str, ...]]:
    """Autoencoder, backbone, what is known of its training so far, and the scenes that the two have seen."""
    vae, card = (None, {}) if settings.vae is None else load_vae(settings.vae)
    seen = tuple(card.get("training_scenes", ()))
    if settings.start is None:
        assert vae is not None
        return vae, VideoBackbone(settings.backbone), {}, seen
    checkpoint = load_checkpoint(settings.start)
    if "adaptation" in checkpoint.spec.extra or checkpoint.spec.control not in ("text", "none"):
        raise InputError(f"{settings.start} is no base: it was post-trained on actions")
    before = {**checkpoint.spec.extra.get("training", {}), "weights_hash": checkpoint.weights_hash}
    if vae is not None and settings.vae is not None:
        before["vae"] = file_hash(settings.vae)
        checkpoint = replace(checkpoint, vae=vae)
    return checkpoint.vae, checkpoint.backbone, before, (*checkpoint.spec.training_scenes, *seen)


PHRASES = {"forward": "moves forward", "left": "rotates left", "right": "rotates right"}


def caption(footage: Footage, frame: int, codes: np.ndarray) -> str:
    """What somebody would say of the clip that follows a frame."""
    if footage.commands is not None:
        return footage.commands.texts[int(footage.commands.tasks[frame])]
    return loose_caption(footage, codes)


def loose_caption(footage: Footage, codes: np.ndarray) -> str:
    """What somebody would say of a clip: the kinds of its motion, without order, amounts or number."""
    moves = list(footage.actions.values())
    kinds = set()
    for code in codes:
        forward, _, turn = moves[code - 1]
        kinds.add("forward" if forward else "left" if turn > 0 else "right")
    return "The camera " + " and ".join(PHRASES[k] for k in sorted(kinds)) + "."
