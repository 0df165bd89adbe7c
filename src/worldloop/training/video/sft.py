"""Post-training a video model on actions: low-rank adaptation of the attention, everything else frozen.

After World-In-World (arXiv 2510.18135): one epoch over action-observation clips, the usual denoising loss on the
clip to predict, context clean and out of the loss, actions dropped now and then for guidance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worldloop.actions import NAVIGATION, TextTranslator
from worldloop.core import InputError, derive_seed
from worldloop.core.errors import MissingExtraError
from worldloop.models.video import (
    TARGETS,
    Condition,
    ConditioningConfig,
    FlowConfig,
    VideoBackbone,
    VideoCheckpoint,
    caption_batch,
    load_checkpoint,
    save_adapter,
    save_checkpoint,
)
from worldloop.training.loop import LoopConfig, StepInput, local_device, train
from worldloop.training.video.clip_loss import ClipLoss
from worldloop.training.video.footage import ClipBatch, Footage, clip_batch, open_footage, styles

CONTROLS = ("text", "code", "camera")
TIMED = ("seconds", "examples_per_second")
"""Facts that stay out of the weight file, so that the same training gives the same file."""
LARGEST_SHARE = 0.015
"""Of the backbone's parameters adapters and control head may train so many, unless a rank is asked for."""


@dataclass(frozen=True)
class SupervisedTraining:
    """Settings of `train_sft`."""

    base: str
    """A checkpoint file, or the name of packaged weights."""
    data: tuple[str, ...]
    out: Path
    control: str = "code"
    examples: int | None = None
    """Clips to train on, drawn once from the data; None takes every clip there is."""
    epochs: int = 1
    batch: int = 16
    learning_rate: float = 1e-3
    rank: int | None = None
    """Of the adapters; None: the largest whose share, with the control head, stays within `LARGEST_SHARE`."""
    detail: int = 2
    """With `code` and `camera`, panoramas are enlarged so many times, see `ConditioningConfig.detail`."""
    dropped: float = 0.1
    """Share of clips whose actions are withheld."""
    flow: FlowConfig | None = None
    """Noise levels; None takes those that the base was trained on."""
    seed: int = 0
    precision: str = "auto"
    latents: Path | None = None
    """A folder that keeps the encoded data for other trainings with the same autoencoder."""
    sampling_steps: int | None = None
    """Recommended in the file; None recommends what the base does."""

    def __post_init__(self) -> None:
        if self.control not in CONTROLS:
            raise InputError(f"--control is one of {', '.join(CONTROLS)}, got {self.control!r}")
        if (self.examples is not None and self.examples < self.batch) or self.epochs < 1 or self.rank == 0:
            raise InputError("post-training needs at least one batch of examples, one epoch and rank 1")
        if self.control == "text":
            object.__setattr__(self, "detail", 1)

    @property
    def sharpens(self) -> bool:
        """Whether pixels are trained on, too: controls with poses mend what they decode."""
        return self.control != "text"


def adapt(
    backbone: VideoBackbone,
    control: str,
    actions: Mapping[str, tuple[float, float, float]],
    rank: int | None = None,
    detail: int = 1,
) -> int:
    """Freeze a backbone, put low-rank adapters on its attention and a fresh control head on it; returns the rank.

    Its output is unchanged: adapters and head start at zero. MissingExtraError without peft.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError as error:
        raise MissingExtraError("low-rank adaptation", "train") from error
    backbone.requires_grad_(False)
    if control == "code":
        motions = tuple((ahead, left, math.radians(turn)) for ahead, left, turn in actions.values())
        passage = backbone.config.panorama
        backbone.attach(
            ConditioningConfig(
                codes=len(actions), camera=True, detail=detail, motions=motions, passage=passage
            )
        )
    elif control == "camera":
        backbone.attach(ConditioningConfig(camera=True, detail=detail))
    _free_head(backbone)
    rank = rank or largest_rank(backbone)
    lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(TARGETS), bias="none")
    inject_adapter_in_model(lora, backbone)
    _free_head(backbone)  # peft has frozen it
    return rank


def _free_head(backbone: VideoBackbone) -> None:
    backbone.conditioner.requires_grad_(True)
    if backbone.conditioner.text is not None:
        # Words the base never heard have random embeddings, which tell them apart; the table is most of the head.
        backbone.conditioner.text.embed.requires_grad_(False)


def largest_rank(backbone: VideoBackbone) -> int:
    """The rank that keeps adapters and what already requires gradients within `LARGEST_SHARE`; at least 1."""
    config, total = backbone.config, sum(p.numel() for p in backbone.parameters())
    head = sum(p.numel() for p in backbone.parameters() if p.requires_grad)
    per_rank = len(TARGETS) * config.depth * 2 * config.width
    # The adapters count among all parameters, too.
    return max(1, int((LARGEST_SHARE * total - head) / (per_rank * (1 - LARGEST_SHARE))))


def train_sft(
    settings: SupervisedTraining,
    progress: Callable[[int, float], None] | None = None,
    footage: Footage | None = None,
) -> dict[str, Any]:
    """Post-train and write `adapted.safetensors`; returns facts for the card.

    `footage`: the data, where it has been encoded by the same autoencoder already. SplitError for held-out scenes.
    """
    checkpoint = load_checkpoint(settings.base)
    backbone, spec, detail = checkpoint.backbone, checkpoint.spec, settings.detail
    sampler, steps = spec.sampler, settings.sampling_steps
    if steps is not None:
        sampler = replace(sampler, steps=steps, levels=None)
    if footage is None:
        footage = open_footage(
            settings.data,
            checkpoint.vae,
            backbone.config.panorama,
            local_device(),
            store=settings.latents,
            detail=detail,
            pictures=settings.sharpens,
        )
    if settings.sharpens and footage.pictures is None:
        raise InputError("this training looks at pixels; open the footage with its pictures")
    if footage.panoramas is not None and footage.panoramas.shape[-2] != detail * footage.latents.shape[-2]:
        raise InputError(f"panoramas are encoded at {detail} times their size for this training")
    if dict(footage.actions) != dict(spec.actions):
        raise InputError("the data has other actions than the base model knows")
    torch.manual_seed(settings.seed)
    rank = adapt(backbone, settings.control, spec.actions, settings.rank, detail)
    frames, heads = backbone.config.clip_frames, backbone.config.conditioning
    chosen = examples(footage, frames, settings.examples, settings.seed)
    updates = settings.epochs * len(chosen) // settings.batch
    loop = LoopConfig(
        steps=updates, batch=settings.batch, learning_rate=settings.learning_rate,
        weight_decay=0.0, warmup=min(50, updates // 10 + 1), seed=settings.seed, precision=settings.precision,
    )  # fmt: skip

    def loss(model: nn.Module, given: StepInput) -> Tensor:
        # Each epoch is a permutation of its own, cut into steps.
        at = np.arange(given.step * settings.batch, (given.step + 1) * settings.batch)
        order = [_order(settings.seed, epoch, len(chosen)) for epoch in range(settings.epochs)]
        present = chosen[np.concatenate(order)[at]][given.rows]
        kept = torch.from_numpy(given.random.random(settings.batch)[given.rows] >= settings.dropped)
        seed = int(given.random.integers(2**62)) + given.rows.start
        which = given.random.integers(frames, size=settings.batch)[given.rows]
        clips = clip_batch(footage, present, 1, frames, given.device, which if settings.sharpens else None)
        ahead, past = conditions(settings.control, clips, footage, heads)
        return model(clips, replace(ahead, keep=kept.to(given.device)), past, seed).mean()

    flow = settings.flow or FlowConfig(shift=spec.sampler.shift)
    about = {
        "base": checkpoint.weights_hash,
        "control": settings.control,
        "clips": [len(footage.codes), len(chosen), settings.dropped, detail, asdict(flow)],
    }
    vae = checkpoint.vae.to(local_device())
    learner = ClipLoss(backbone, flow, vae.decode if settings.sharpens else None)
    facts = train(learner, loss, loop, settings.out, progress, about=about)
    vae.cpu()
    backbone.cpu().eval()
    total = sum(p.numel() for p in backbone.parameters())
    facts |= {
        "control": settings.control,
        "examples": len(chosen),
        "epochs": settings.epochs,
        "rank": rank,
        "flow": asdict(flow),
        "base": checkpoint.weights_hash,
        "data": list(settings.data),
        "scenes": len(footage.scenes),
        "styles": styles(footage.scenes),
        "parameters": total,
        "trained_share": round(facts["trained_parameters"] / total, 5),
    }
    adapted = replace(
        spec,
        name=f"{spec.name.removesuffix('-base')}-lora-{settings.control}",
        control=settings.control,
        summary="a small latent video diffusion transformer, post-trained on actions (LoRA)",
        sampler=sampler,
        training_scenes=tuple(sorted({*spec.training_scenes, *footage.scenes})),
        notes=f"Low-rank adaptation on {len(chosen)} clips with {settings.control} control.",
        extra={**spec.extra, "adaptation": remembered(facts)},
    )
    made = VideoCheckpoint(checkpoint.vae, backbone, adapted)
    facts["weights_hash"] = save_checkpoint(settings.out / "adapted.safetensors", made, half=True)
    # The same as a small file beside its base.
    save_adapter(settings.out / "adapter.safetensors", made, checkpoint.weights_hash)
    return facts


def remembered(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a weight file keeps of its training: nothing that differs where the same is done again elsewhere."""
    kept = {k: v for k, v in facts.items() if k not in TIMED}
    return kept | {"data": [Path(d).name for d in facts["data"]]}


def examples(footage: Footage, frames: int, count: int | None, seed: int) -> np.ndarray:
    """Present frames int64 [K] of the clips to train on: smaller sets are part of larger ones."""
    starts = footage.starts(1, frames)
    order = np.random.default_rng(derive_seed(seed, "examples")).permutation(len(starts))
    if count is not None and count > len(starts):
        raise InputError(
            f"the data has {len(starts)} clips, not {count}; collect more, or ask for fewer examples"
        )
    return starts[order[:count]]


def conditions(
    control: str,
    clips: ClipBatch,
    footage: Footage,
    heads: ConditioningConfig,
) -> tuple[Condition, Condition | None]:
    """Controls of the target frames and of the context frames, as a model with these heads gets them when asked.

    Where it is to tell itself which steps are blocked, codes come with the poses that they did lead to.
    """
    if control == "code":
        poses = clips.poses if heads.passage else None
        return Condition(codes=clips.codes, poses=poses), Condition(codes=clips.context_codes)
    if control == "camera":
        return Condition(poses=clips.poses), Condition(poses=clips.context_poses)
    names, speak = list(footage.actions), TextTranslator(NAVIGATION)
    plans = [NAVIGATION.plan([names[c - 1] for c in row]) for row in clips.codes.tolist()]
    captions = [str(speak.encode(plan).value) for plan in plans]
    return Condition(text=caption_batch(captions, heads.text_buckets).to(clips.codes.device)), None


def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng(derive_seed(seed, "epoch", epoch)).permutation(count)
