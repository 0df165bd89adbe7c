"""Post-training a video transformer of diffusers on actions: low-rank adaptation, everything else frozen.

The recipe is that of the model in this package (World-In-World, arXiv 2510.18135): one epoch over clips of actions
and observations, the family's own denoising loss on the frames to predict, actions dropped now and then for guidance.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worldloop.core import InputError, derive_seed
from worldloop.models.diffusers.prompt_control import CONTROL_FILE, ControlConfig, PromptControl, save_control
from worldloop.training.diffusers.adapter import add_adapters, save_adapter
from worldloop.training.diffusers.clips import ClipStore, encode_clips, select
from worldloop.training.diffusers.families import Family, LatentClips, Prompt
from worldloop.training.diffusers.folder import LoadedModel, licence, load_model, open_folder, weights_hash
from worldloop.training.diffusers.prompts import (
    ImageEncoder,
    PromptBook,
    empty_book,
    encode_captions,
    require_text_encoder,
)
from worldloop.training.loop import LoopConfig, StepInput, local_device, train

CONTROLS = ("text", "code", "camera")


@dataclass(frozen=True)
class DiffusersTraining:
    """Settings of `train_diffusers`."""

    base: str
    """Folder of a pipeline, or of a transformer alone."""
    data: tuple[str, ...]
    out: Path
    control: str = "text"
    """`text`: captions for the pipeline's text encoder. `code`, `camera`: see `PromptControl`."""
    vae: Path | None = None
    """Folder of the autoencoder, where it does not lie beside the transformer."""
    examples: int | None = None
    """Clips to train on, drawn once from the data; None takes every clip there is."""
    epochs: int = 1
    batch: int = 4
    learning_rate: float = 1e-4
    rank: int = 16
    dropped: float = 0.1
    """Share of clips whose actions are withheld."""
    frames: int | None = None
    """Frames of a clip after the present one; None takes the least number from 8 on that the model can do."""
    size: tuple[int, int] | None = None
    """Rows and columns of the video; None takes those of the data, to the nearest multiple that the model can do."""
    seed: int = 0
    precision: str = "auto"
    checkpointing: bool | None = None
    """Compute activations twice to save memory; None does so on a GPU."""

    def __post_init__(self) -> None:
        if self.control not in CONTROLS:
            raise InputError(f"--control is one of {', '.join(CONTROLS)}, got {self.control!r}")
        few = self.examples is not None and self.examples < self.batch
        if few or self.batch < 1 or self.epochs < 1 or self.rank < 1 or not 0 <= self.dropped <= 1:
            raise InputError("post-training needs at least one batch of examples, one epoch and rank 1")


class AdaptedVideo(nn.Module):
    """A transformer with adapters and, for `code` and `camera`, a control."""

    def __init__(self, family: Family, transformer: Any, control: PromptControl | None = None) -> None:
        super().__init__()
        self.family, self.transformer, self.control = family, transformer, control

    def prompt(self, prompt: Prompt, actions: Tensor | None, keep: Tensor | None = None) -> Prompt:
        """The prompt with the actions in it, where there is a control for them."""
        return prompt if self.control is None else self.control(prompt, actions, keep)

    def forward(
        self, clips: LatentClips, prompt: Prompt, actions: Tensor | None, keep: Tensor | None, seed: int
    ) -> Tensor:
        """Loss per clip [B], with noise and noise levels drawn from the seed."""
        generator = torch.Generator(clips.video.device).manual_seed(seed)
        return self.family.loss(self.transformer, clips, self.prompt(prompt, actions, keep), generator)


def adapt(model: LoadedModel, control: str, codes: int, rank: int, seed: int = 0) -> AdaptedVideo:
    """Put adapters and control on a loaded model, in place. Its output is unchanged: both start at zero."""
    torch.manual_seed(derive_seed(seed, "adapters"))
    add_adapters(model.transformer, model.family, rank)
    if control == "text":
        return AdaptedVideo(model.family, model.transformer)
    config = ControlConfig(control, model.family.width, codes if control == "code" else 0)
    return AdaptedVideo(model.family, model.transformer, PromptControl(config))


def train_diffusers(
    settings: DiffusersTraining, progress: Callable[[int, float], None] | None = None
) -> dict[str, Any]:
    """Post-train, write adapter, control and `card.json`, and return the card.

    SplitError for held-out scenes; InputError for folders that cannot be used; MissingExtraError without diffusers.
    """
    device, folder = local_device(), open_folder(settings.base, settings.vae)
    dtype = _dtype(settings.precision, device)
    if settings.control == "text":
        require_text_encoder(folder)
    model = load_model(folder, dtype)
    family = model.family
    frames = family.fitting_frames(settings.frames)
    selection = select(settings.data, frames, settings.examples, settings.seed)
    steps = settings.epochs * len(selection.chosen) // settings.batch
    if steps < 1:
        raise InputError(f"{len(selection.chosen)} clips do not fill a batch of {settings.batch}")
    size = family.fitting_size(selection.datasets[0].spec.size, settings.size)
    eye = ImageEncoder(folder, device, dtype) if family.reads_image else None
    store = encode_clips(selection, family, model.vae, size, device, eye)
    del eye
    book = _book(settings, model, store, device, dtype)
    adapted = adapt(model, settings.control, len(store.actions), settings.rank, settings.seed)
    checkpointing = device.type == "cuda" if settings.checkpointing is None else settings.checkpointing
    if checkpointing:
        model.transformer.enable_gradient_checkpointing()
    base = weights_hash(folder)
    loop = LoopConfig(
        steps=steps,
        batch=settings.batch,
        learning_rate=settings.learning_rate,
        weight_decay=0.0,
        warmup=min(50, steps // 10 + 1),
        seed=settings.seed,
        precision=settings.precision,
    )
    about = {
        "base": base,
        "control": settings.control,
        "clips": [list(size), frames, settings.dropped, store.digest()],
    }
    facts = train(
        adapted, _loss(settings, store, book), loop, settings.out / "progress", progress, about=about
    )
    total = sum(p.numel() for p in adapted.parameters())
    facts |= {
        "family": family.name,
        "control": settings.control,
        "base": base,
        "licence": licence(folder),
        "data": list(settings.data),
        "scenes": len(store.scenes),
        "training_scenes": list(store.scenes),
        "actions": store.actions,
        "examples": len(store),
        "epochs": settings.epochs,
        "frames": frames,
        "size": list(size),
        "rank": settings.rank,
        "dropped": settings.dropped,
        "gradient_checkpointing": checkpointing,
        "parameters": total,
        "trained_share": round(facts["trained_parameters"] / total, 5),
    }
    save_adapter(settings.out, model.transformer)
    if adapted.control is not None:
        save_control(settings.out / CONTROL_FILE, adapted.control)
    (settings.out / "card.json").write_text(json.dumps(facts, indent=2) + "\n")
    return facts


def _book(
    settings: DiffusersTraining,
    model: LoadedModel,
    store: ClipStore,
    device: torch.device,
    dtype: torch.dtype,
) -> PromptBook:
    """The prompts of the training: captions, or the empty prompt that the control's actions are added to."""
    folder, family = model.folder, model.family
    if settings.control == "text":
        return encode_captions(folder, family, store.captions, device, dtype)
    if folder.part("text_encoder") is None:
        return empty_book(family)
    return encode_captions(folder, family, (), device, dtype)


def _loss(
    settings: DiffusersTraining, store: ClipStore, book: PromptBook
) -> Callable[[nn.Module, StepInput], Tensor]:
    orders = [
        np.random.default_rng(derive_seed(settings.seed, "epoch", e)).permutation(len(store))
        for e in range(settings.epochs)
    ]
    order = np.concatenate(orders)

    def loss(model: nn.Module, given: StepInput) -> Tensor:
        # Each epoch is a permutation of its own, cut into steps.
        at = order[given.step * settings.batch : (given.step + 1) * settings.batch][given.rows]
        kept = given.random.random(settings.batch)[given.rows] >= settings.dropped
        seed = int(given.random.integers(2**62)) + given.rows.start
        spoken = settings.control == "text"
        captions = [store.captions[i] if spoken and k else "" for i, k in zip(at, kept)]
        actions = {"text": None, "code": store.codes, "camera": store.poses}[settings.control]
        return model(
            store.latents.rows(torch.from_numpy(at), given.device),
            book.prompt(captions, given.device),
            None if actions is None else torch.from_numpy(actions[at]).to(given.device),
            torch.from_numpy(kept).to(given.device),
            seed,
        ).mean()

    return loss


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    """What frozen weights are kept in: bf16 where the loop computes in it."""
    auto = precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if auto or precision == "bf16" else torch.float32
