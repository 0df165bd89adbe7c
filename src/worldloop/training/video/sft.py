"""Post-training a video model on actions: low-rank adaptation of the attention, everything else frozen; or all weights.

After World-In-World (arXiv 2510.18135): one epoch over action-observation clips, the usual denoising loss on the
clip to predict, context clean and out of the loss, actions dropped now and then for guidance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worldloop.actions import NAVIGATION, TextTranslator
from worldloop.core import InputError, derive_seed
from worldloop.models.video import (
    Condition,
    ConditioningConfig,
    FlowConfig,
    VideoCheckpoint,
    VideoSpec,
    caption_batch,
    load_checkpoint,
    save_adapter,
    save_checkpoint,
)
from worldloop.training.loop import LoopConfig, StepInput, local_device, train
from worldloop.training.video.adapting import adapt
from worldloop.training.video.clip_loss import ClipLoss, hidden_matrices
from worldloop.training.video.demonstrations import fitted
from worldloop.training.video.footage import ClipBatch, Footage, clip_batch, kinds, open_footage
from worldloop.training.video.weights import file_hash, load_vae

WALKED = ("text", "code", "camera")
"""Controls that are learnt from walks; `vector` is learnt from demonstrations."""
CONTROLS = (*WALKED, "vector")
TIMED = ("seconds", "examples_per_second")
"""Facts that stay out of the weight file, so that the same training gives the same file."""
SHORT = {"lora": "LoRA", "full": "all weights"}


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
    """Of the adapters; None: the largest whose share, with the control head, stays within `adapting.LARGEST_SHARE`."""
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
    full: bool = False
    """Train all weights of the transformer: for a base that has seen nothing like the data, such as one of houses for
    a table. There is no adapter file then."""
    vae: Path | None = None
    """With `full`: another autoencoder than the base's, a file or the name of packaged weights."""
    muon: bool = False
    """With `full`: let Muon train the blocks' matrices; needs torch 2.9."""

    changes: float = 0.0
    """How much more counts what differs from the present, see `change_weights`: for a camera that stands still."""

    def __post_init__(self) -> None:
        if not 0 <= self.changes < 1000:
            raise InputError(f"--changes is a weight of at least 0, such as 2, got {self.changes}")
        if self.control not in CONTROLS:
            raise InputError(f"--control is one of {', '.join(CONTROLS)}, got {self.control!r}")
        if (self.examples is not None and self.examples < self.batch) or self.epochs < 1 or self.rank == 0:
            raise InputError("post-training needs at least one batch of examples, one epoch and rank 1")
        if not self.full and (self.vae is not None or self.muon):
            raise InputError("another autoencoder and Muon are for training all weights; say --full")
        if self.full and self.rank is not None:
            raise InputError("--rank is of adapters, and --full trains all weights; choose one")
        if self.control in ("text", "vector"):
            object.__setattr__(self, "detail", 1)

    @property
    def sharpens(self) -> bool:
        """Whether pixels are trained on, too: all controls but text mend what they decode."""
        return self.control != "text"


def train_sft(
    settings: SupervisedTraining,
    progress: Callable[[int, float], None] | None = None,
    footage: Footage | None = None,
) -> dict[str, Any]:
    """Post-train and write `adapted.safetensors`; returns facts for the card.

    `footage`: the data, where it has been encoded by the same autoencoder already. SplitError for held-out scenes.
    """
    checkpoint, seen = _beginning(settings)
    spec, detail = checkpoint.spec, settings.detail
    sampler, steps = spec.sampler, settings.sampling_steps
    if steps is not None:
        sampler = replace(sampler, steps=steps, levels=None)
    if footage is None:
        footage = open_footage(
            settings.data,
            checkpoint.vae,
            checkpoint.backbone.config.panorama,
            local_device(),
            store=settings.latents,
            detail=detail,
            pictures=settings.sharpens,
        )
    if settings.sharpens and footage.pictures is None:
        raise InputError("this training looks at pixels; open the footage with its pictures")
    if footage.panoramas is not None and footage.panoramas.shape[-2] != detail * footage.latents.shape[-2]:
        raise InputError(f"panoramas are encoded at {detail} times their size for this training")
    commands = footage.commands
    check_data(settings, spec, footage)
    torch.manual_seed(settings.seed)
    backbone = fitted(checkpoint.backbone, commands)
    rank = adapt(backbone, settings.control, spec.actions, settings.rank, detail, commands, settings.full)
    frames, heads = backbone.config.clip_frames, backbone.config.conditioning
    chosen = examples(footage, frames, settings.examples, settings.seed)
    updates = settings.epochs * len(chosen) // settings.batch
    loop = LoopConfig(
        steps=updates, batch=settings.batch, learning_rate=settings.learning_rate,
        weight_decay=0.01 if settings.full else 0.0, average=0.998 if settings.full else 0.0,
        warmup=min(50, updates // 10 + 1), seed=settings.seed, precision=settings.precision,
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
    about: dict[str, Any] = {
        "base": checkpoint.weights_hash,
        "control": settings.control,
        "clips": [len(footage.codes), len(chosen), settings.dropped, detail, asdict(flow)],
    }
    if settings.full:
        about["full"] = [settings.muon, settings.vae and file_hash(settings.vae)]
    if settings.changes:
        about["changes"] = settings.changes
    vae = checkpoint.vae.to(local_device())
    learner = ClipLoss(backbone, flow, vae.decode if settings.sharpens else None, settings.changes)
    muon = hidden_matrices(learner) if settings.muon else ()
    facts = train(learner, loss, loop, settings.out, progress, muon, about=about)
    vae.cpu()
    backbone.cpu().eval()
    total = sum(p.numel() for p in backbone.parameters())
    facts |= {
        "control": settings.control,
        "examples": len(chosen),
        "epochs": settings.epochs,
        **({"method": "all weights"} if settings.full else {"rank": rank}),
        "flow": asdict(flow),
        **({"changes": settings.changes} if settings.changes else {}),
        "base": checkpoint.weights_hash,
        "data": list(settings.data),
        "scenes": len(footage.scenes),
        **kinds(footage.scenes),
        "parameters": total,
        "trained_share": round(facts["trained_parameters"] / total, 5),
    }
    stem = spec.name.removesuffix("-base") if commands is None else "video-table"
    way, method = ("full", "All weights") if settings.full else ("lora", "Low-rank adaptation")
    adapted = replace(
        spec,
        name=f"{stem}-{way}-{settings.control}",
        control=settings.control,
        actions=footage.actions,
        vocabulary=None if commands is None else commands.vocabulary,
        summary=f"a small latent video diffusion transformer, post-trained on actions ({SHORT[way]})",
        sampler=sampler,
        training_scenes=tuple(sorted({*spec.training_scenes, *footage.scenes, *seen})),
        notes=f"{method} on {len(chosen)} clips with {settings.control} control.",
        extra={**spec.extra, "adaptation": remembered(facts)},
    )
    made = VideoCheckpoint(checkpoint.vae, backbone, adapted)
    facts["weights_hash"] = save_checkpoint(settings.out / "adapted.safetensors", made, half=True)
    if not settings.full:  # the same as a small file beside its base
        save_adapter(settings.out / "adapter.safetensors", made, checkpoint.weights_hash)
    return facts


def _beginning(settings: SupervisedTraining) -> tuple[VideoCheckpoint, list[str]]:
    """The base with the autoencoder to use, and the scenes that this has seen."""
    checkpoint = load_checkpoint(settings.base)
    if settings.vae is None:
        return checkpoint, []
    vae, card = load_vae(settings.vae)
    return replace(checkpoint, vae=vae), card.get("training_scenes", [])


def check_data(settings: SupervisedTraining, spec: VideoSpec, footage: Footage) -> None:
    """InputError for data that does not go with the control or with what the base knows."""
    commands = footage.commands
    if (commands is not None) != (settings.control == "vector"):
        wanted = "demonstrations" if commands is None else "walks through houses"
        raise InputError(f"--control {settings.control} learns from {wanted}, and this data is none of that")
    if commands is None and dict(footage.actions) != dict(spec.actions):
        raise InputError("the data has other actions than the base model knows")
    if commands is not None and spec.vocabulary != commands.vocabulary and not settings.full:
        raise InputError(
            "the base has seen no such commands: train all its weights with --full, or train the base further first, "
            "with `worldloop train video --start BASE`"
        )


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
    if control == "vector":
        assert clips.hands is not None
        return Condition(vectors=clips.commands, before=clips.hands[:, -1]), Condition(vectors=clips.hands)
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
