"""Cosmos-Predict 2 and 2.5: image to world."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch

from worldloop.core import InputError
from worldloop.models.diffusers.config import DiffusersConfig
from worldloop.models.diffusers.folder import GUARD, PipelineFolder
from worldloop.models.diffusers.pipelines import Ask, VideoPipeline


class Unguarded:
    """Stands where the safety checker would, and lets everything pass."""

    def to(self, device: Any) -> Unguarded:
        """Nothing to move."""
        return self

    def check_text_safety(self, text: str) -> bool:
        """Always true."""
        return True

    def check_video_safety(self, frames: np.ndarray) -> np.ndarray:
        """The frames as they are."""
        return frames


def guard(config: DiffusersConfig) -> Any:
    """The safety checker of Cosmos, from what is on this machine already; InputError where it is not."""
    try:
        from cosmos_guardrail import CosmosSafetyChecker
    except ImportError:
        raise InputError(
            "pipelines of Cosmos run a safety checker, which their licence asks for: pip install cosmos_guardrail, or "
            "give safety=false where you may do without"
        ) from None
    try:
        with offline():
            return CosmosSafetyChecker()
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"the weights of cosmos_guardrail are not on this machine ({error}); download them with its own tools, or "
            "give safety=false where you may do without"
        ) from None


@contextmanager
def offline() -> Iterator[None]:
    """The Hugging Face libraries find what is on this machine, and nothing else, while this lasts."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def without_padding_mask(transformer: Any) -> None:
    """Let a Cosmos transformer read that nothing is padded from a channel of zeros, in place.

    It would resize a mask of zeros to that channel, by a library that nothing else here needs.
    """
    if not transformer.config.concat_padding_mask:
        return
    transformer.register_to_config(concat_padding_mask=False)

    def add(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        known = kwargs["condition_mask"]
        # A mask may have fewer rows than the batch only where it is the same for all of them.
        known = known.expand(len(kwargs["hidden_states"]), -1, -1, -1, -1)
        return args, {**kwargs, "condition_mask": torch.cat([known, torch.zeros_like(known[:, :1])], 1)}

    transformer.register_forward_pre_hook(add, with_kwargs=True)


class Cosmos2(VideoPipeline):
    """Cosmos-Predict 2: N pictures and N prompts in a call."""

    loads = "Cosmos2VideoToWorldPipeline"
    names = ("Cosmos2VideoToWorldPipeline",)
    controls: ClassVar[tuple[str, ...]] = ("text", "code", "camera", "none")
    steps = 35
    guidance = 7.0
    area = 704 * 1280
    caches = False

    def __init__(self, pipe: Any, folder: PipelineFolder, config: DiffusersConfig) -> None:
        super().__init__(pipe, folder, config)
        without_padding_mask(pipe.transformer)

    @classmethod
    def arguments_to_load(
        cls, folder: PipelineFolder, config: DiffusersConfig, adapted: bool
    ) -> dict[str, Any]:
        return {GUARD: guard(config) if config.safety else Unguarded()}

    def default_negative(self) -> str:
        return str(importlib.import_module(type(self.pipe).__module__).DEFAULT_NEGATIVE_PROMPT)


class Cosmos25(Cosmos2):
    """Cosmos-Predict 2.5: one candidate in a call, from a video of one frame."""

    loads = "Cosmos2_5_PredictBasePipeline"
    names = ("Cosmos2_5_PredictBasePipeline",)
    controls = ("text", "none")
    steps = 36
    batches = False
    one_picture = True

    @property
    def width(self) -> int:
        about = self.pipe.transformer.config
        return int(
            about.crossattn_proj_in_channels if about.use_crossattn_projection else about.text_embed_dim
        )

    def start(self, asks: Sequence[Ask]) -> dict[str, Any]:
        # Given as an image it would need a further library; its first frame is read in the same way.
        return {"video": [asks[0].picture], "num_latent_conditional_frames": 1}
