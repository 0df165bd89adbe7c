"""What all pipelines have in common: how one is asked for videos, and what it can be asked for."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from worldloop.core import InputError, Plan
from worldloop.models.diffusers.config import DiffusersConfig
from worldloop.models.diffusers.folder import PipelineFolder
from worldloop.models.diffusers.picture import size_for
from worldloop.models.diffusers.prompt_control import Prompt, PromptControl
from worldloop.models.diffusers.timing import Timing

Embeddings = Mapping[str, Tensor]
"""Arguments of a pipeline that carry a prompt, such as `prompt_embeds` [1,S,D]."""
EMBEDS = "prompt_embeds"


@dataclass(frozen=True, eq=False)
class Ask:
    """One candidate, ready for a pipeline."""

    picture: Image
    """The present, at the size of the video."""
    size: tuple[int, int]
    """Rows and columns."""
    frames: int
    """Of the video, the present one included."""
    seed: int
    prompt: Embeddings
    negative: Embeddings
    text: str = ""
    """The prompt in words, for pipelines that have no text encoder of their own."""
    actions: np.ndarray | None = None
    """float32 [frames-1,D], for pipelines that read actions."""


class VideoPipeline(ABC):
    """One pipeline of diffusers: its numbers, and how its call is spelled."""

    loads: ClassVar[str]
    """The class of diffusers that makes the videos."""
    names: ClassVar[tuple[str, ...]]
    """Values of `_class_name` in `model_index.json` that this stands for."""
    needs: ClassVar[tuple[str, ...]] = ("transformer", "vae", "scheduler")
    """Parts without which it cannot be loaded."""
    control: ClassVar[str] = "text"
    """Control language without an adapter."""
    controls: ClassVar[tuple[str, ...]] = ("text", "none")
    """Control languages it can be asked in."""
    prompts: ClassVar[bool] = True
    """Whether it reads prompts as embeddings, codes and poses among them."""
    steps: ClassVar[int] = 50
    guidance: float = 5.0
    area: int = 480 * 832
    """Pixels of a frame that it was trained on."""
    per_action: ClassVar[int] = 4
    """Frames of video for each action, unless asked otherwise."""
    batches: bool = True
    """Whether a call may hold several candidates."""
    one_picture: ClassVar[bool] = False
    """Whether all candidates of a call must start from the same picture."""
    wide_vae: ClassVar[bool] = False
    """Whether the autoencoder stays in fp32."""
    caches: ClassVar[bool] = True
    """Whether the first-block cache works in it."""
    mask: ClassVar[str | None] = None
    """Argument for the prompt's mask, where it has one."""
    tokens: int = 512
    """Length of a prompt."""

    def __init__(self, pipe: Any, folder: PipelineFolder, config: DiffusersConfig) -> None:
        self.pipe, self.folder, self.config = pipe, folder, config

    @classmethod
    def arguments_to_load(
        cls, folder: PipelineFolder, config: DiffusersConfig, adapted: bool
    ) -> dict[str, Any]:
        """Further arguments of `from_pretrained`; InputError for a folder that cannot be used.

        adapted: there is an adapter that worldloop trained.
        """
        return {}

    @classmethod
    def denoisers(cls, folder: PipelineFolder) -> list[str]:
        """Names of the parts that denoise."""
        return [p for p in ("transformer", "transformer_2") if p in folder.parts]

    @property
    def temporal(self) -> int:
        """Frames of video behind each latent frame after the first."""
        return int(self.pipe.vae_scale_factor_temporal)

    @property
    def multiple(self) -> int:
        """Rows and columns of a video are multiples of this."""
        patch = self.pipe.transformer.config.patch_size
        patch = patch if isinstance(patch, int) else patch[1]
        return math.lcm(16, int(self.pipe.vae_scale_factor_spatial) * patch)

    @property
    def width(self) -> int:
        """Of a prompt embedding."""
        return int(self.pipe.transformer.config.text_embed_dim)

    @property
    def usual_frames(self) -> int | None:
        """The number of frames of a video unless asked otherwise; None where it follows from the plan."""
        return None

    def legal(self, frames: int) -> int:
        """The least number of frames that it can make, from a number up."""
        return math.ceil((frames - 1) / self.temporal) * self.temporal + 1

    def check_frames(self, frames: int) -> int:
        """The number itself; InputError when it cannot make so many."""
        if self.legal(frames) != frames:
            raise InputError(f"{self.loads} makes videos of {self.legal(frames)} frames, not of {frames}")
        return frames

    def check_size(self, wanted: tuple[int, int]) -> tuple[int, int] | None:
        """The size itself, None where it still follows from the picture; InputError when it cannot make such videos."""
        if any(n % self.multiple for n in wanted):
            raise InputError(
                f"{self.loads} makes videos whose rows and columns are multiples of {self.multiple}"
            )
        return wanted

    def size(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the video for a picture of `shape`, where none were asked for."""
        return size_for(shape, self.area, self.multiple)

    def encode(self, text: str) -> Embeddings:
        """A prompt by the pipeline's own text encoder, batch 1."""
        found = self.pipe.encode_prompt(
            prompt=text, do_classifier_free_guidance=False, max_sequence_length=self.tokens
        )
        return {EMBEDS: found[0]} if self.mask is None else {EMBEDS: found[0], self.mask: found[1]}

    def blank(self) -> Embeddings:
        """No prompt at all, as the training without a text encoder has it, batch 1."""
        embeds = torch.zeros(1, self.tokens, self.width)
        if self.mask is None:
            return {EMBEDS: embeds}
        return {EMBEDS: embeds, self.mask: torch.zeros(1, self.tokens, dtype=torch.bool)}

    def default_negative(self) -> str:
        """The negative prompt unless asked otherwise."""
        return ""

    def told(self, base: Embeddings, control: PromptControl, actions: Tensor, keep: bool) -> Embeddings:
        """A prompt with actions in it, as the training spells them, batch 1; `keep` False withholds them."""
        embeds, mask = base[EMBEDS], None if self.mask is None else base[self.mask].bool()
        if mask is not None:
            # The training knows no embeddings of padding; a control makes some of that visible.
            embeds = embeds * mask[..., None]
        out = control(Prompt(embeds, mask), actions, torch.tensor([keep]))
        return {EMBEDS: out.embeds} if self.mask is None else {EMBEDS: out.embeds, self.mask: out.mask}

    def generators(self, asks: Sequence[Ask]) -> Any:
        """One for each candidate. They live on the CPU, so that the noise is the same on every device."""
        return [torch.Generator().manual_seed(a.seed) for a in asks]

    def start(self, asks: Sequence[Ask]) -> dict[str, Any]:
        """Arguments for the present."""
        return {"image": asks[0].picture if self.one_picture else [a.picture for a in asks]}

    def extent(self, ask: Ask) -> dict[str, Any]:
        """Arguments for the size and the length of the videos."""
        return {"height": ask.size[0], "width": ask.size[1], "num_frames": ask.frames}

    def sampling(self, steps: int, guidance: float) -> dict[str, Any]:
        """Arguments for the number of steps and the guidance."""
        return {"num_inference_steps": steps, "guidance_scale": guidance}

    def actions(self, plan: Plan, timing: Timing) -> np.ndarray | None:
        """float32 [frames-1,D] of a plan, for pipelines that read actions."""
        return None

    def extra(self) -> dict[str, Any]:
        """Further arguments."""
        return {}

    def call(self, asks: Sequence[Ask], steps: int, guidance: float) -> np.ndarray:
        """Videos float [B,T,h,w,3] in [0,1] for candidates of one size and length."""
        arguments: dict[str, Any] = {
            **self.start(asks),
            **self.extent(asks[0]),
            "generator": self.generators(asks),
            "output_type": "np",
            **self.sampling(steps, guidance),
            **self.extra(),
            **{n: torch.cat([a.prompt[n] for a in asks]) for n in asks[0].prompt},
        }
        if guidance > 1:
            arguments |= {f"negative_{n}": torch.cat([a.negative[n] for a in asks]) for n in asks[0].negative}
        return np.asarray(self.pipe(**arguments).frames)
