"""What the families of video transformers in diffusers have in common: latents, prompts, and a loss per clip.

In every family the first latent frame holds the present observation. It is known when the model is asked, so it
never counts in the loss; how the transformer is told of it differs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from worldloop.core import InputError
from worldloop.models.diffusers.prompt_control import Prompt
from worldloop.models.video import FlowConfig
from worldloop.models.video.flow import draw_times

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
"""What the attention projections are called in all four families."""


@dataclass(frozen=True, eq=False)
class LatentClips:
    """B clips of T latent frames, normalised as the transformer wants them. Frame 0 is the present."""

    video: Tensor
    """[B,C,T,h,w], the whole clip encoded together."""
    present: Tensor
    """[B,C,1,h,w], the present encoded alone, as it will be when the model is asked."""
    condition: Tensor | None = None
    """[B,C,T,h,w], the present and then grey frames encoded together, for families that read this."""
    image: Tensor | None = None
    """[B,N,D], the present as an image encoder sees it, for families that read this."""

    def rows(self, at: Any, device: torch.device) -> LatentClips:
        """The chosen clips as float32 on a device."""

        def taken(latents: Tensor | None) -> Any:
            return None if latents is None else latents[at].to(device).float()

        return LatentClips(*(taken(getattr(self, f.name)) for f in fields(self)))


class Family(ABC):
    """One family: how its latents are made, how its transformer is called, and what it is trained on."""

    name: ClassVar[str]
    transformer_class: ClassVar[str]
    vae_classes: ClassVar[tuple[str, ...]]
    targets: ClassVar[tuple[str, ...]] = ATTENTION
    """Names of the adapted layers, for peft."""
    padding: ClassVar[str] = "zeros"
    """What the prompt's padding is: `zeros`, `encoded` (the encoder's output, attended to) or `masked`."""
    reads_condition: bool = False
    reads_image: bool = False

    temporal: int
    """Frames of video behind each latent frame after the first."""
    multiple: int
    """Height and width of the video are multiples of this."""
    tokens: int
    """Length of the prompt in tokens."""
    width: int
    """Width of a prompt embedding."""
    frame_multiple: int = 1
    """The number of latent frames is a multiple of this."""

    @abstractmethod
    def __init__(
        self, transformer: Any, vae: Any, scheduler: Mapping[str, Any], index: Mapping[str, Any]
    ) -> None:
        """From the loaded models and the settings of scheduler and pipeline; InputError for what is unknown.

        `index["_adapted"]` is the name of the transformer's folder.
        """

    @abstractmethod
    def normalised(self, vae: Any, latents: Tensor) -> Tensor:
        """The autoencoder's output [B,C,T,h,w] in the scale of the transformer."""

    @abstractmethod
    def loss(
        self, transformer: nn.Module, clips: LatentClips, prompt: Prompt, generator: torch.Generator
    ) -> Tensor:
        """Training loss per clip [B], with noise and noise levels drawn from the generator."""

    def prepare(self, transformer: Any) -> Any:
        """The loaded transformer, adjusted in place where that is needed, without effect on what it computes."""
        return transformer

    def condition(self, vae: Any, present: Tensor, video: Tensor) -> tuple[Tensor, Tensor | None]:
        """The present [B,C,1,h,w] and, where the family reads it, the condition [B,C,T,h,w], from pixels.

        present: float [B,3,1,H,W] in [-1,1]. video: float [B,3,F,H,W].
        """
        alone = self.encoded(vae, present)
        if not self.reads_condition:
            return alone, None
        grey = torch.zeros_like(video[:, :, 1:])
        return alone, self.encoded(vae, torch.cat([present, grey], 2))

    def encoded(self, vae: Any, pixels: Tensor) -> Tensor:
        """Normalised latents of pixels float [B,3,F,H,W] in [-1,1]: the mode, so that they are the same each time."""
        return self.normalised(vae, vae.encode(pixels).latent_dist.mode())

    def fitting_frames(self, wanted: int | None) -> int:
        """Predicted frames of a clip: as asked for, else the least number from 8 on that the family can do."""

        def fits(frames: int) -> bool:
            return frames % self.temporal == 0 and (frames // self.temporal + 1) % self.frame_multiple == 0

        if wanted is None:
            return next(n for n in range(8, 1000) if fits(n))
        if wanted < 1 or not fits(wanted):
            near = [n for n in range(1, 1000) if fits(n)][:4]
            raise InputError(f"{self.name} predicts {', '.join(map(str, near))}, ... frames, not {wanted}")
        return wanted

    def fitting_size(self, data: int, wanted: tuple[int, int] | None) -> tuple[int, int]:
        """Rows and columns of the video: as asked for, else those of the data, to the nearest multiple."""
        if wanted is None:
            side = max(1, round(data / self.multiple)) * self.multiple
            return side, side
        if any(s < 1 or s % self.multiple for s in wanted):
            raise InputError(f"{self.name} needs height and width in multiples of {self.multiple}")
        return wanted


class FlowFamily(Family):
    """Flow matching: `x_t = (1 - t) x_0 + t eps`, the transformer predicts `eps - x_0` and is told 1000 t."""

    shift: float = 1.0
    """Moves the drawn noise levels towards 1, as sampling does."""
    levels: tuple[float, float] = (0.0, 1.0)
    """Least and greatest noise level, for a transformer that is the expert of some of them."""
    keeps_present: bool = True
    """Whether the present stands clean in frame 0; else that frame is noisy and the present is read elsewhere."""

    @abstractmethod
    def velocity(
        self, transformer: nn.Module, noisy: Tensor, t: Tensor, clips: LatentClips, prompt: Prompt
    ) -> Tensor:
        """The predicted velocity [B,C,T,h,w] at noise levels t [B]."""

    def shift_of(self, latents: Tensor) -> float:
        """The shift for latents [B,C,T,h,w]."""
        return self.shift

    def loss(
        self, transformer: nn.Module, clips: LatentClips, prompt: Prompt, generator: torch.Generator
    ) -> Tensor:
        x0 = clips.video
        t = draw_times(FlowConfig(shift=self.shift_of(x0)), len(x0), 1, generator)[:, 0]
        t = self.levels[0] + (self.levels[1] - self.levels[0]) * t.to(x0)
        noise = draw_noise(x0, generator)
        noisy = blend(x0, noise, t)
        if self.keeps_present:
            noisy = with_present(noisy, clips.present)
        v = self.velocity(transformer, noisy, t, clips, prompt)
        return ahead((v.float() - (noise - x0)).square())

    def frame_levels(self, t: Tensor, frames: int) -> Tensor:
        """Noise levels [B,T] from those of the clips [B]: 0 where the present stands clean."""
        levels = t[:, None].repeat(1, frames)
        if self.keeps_present:
            levels[:, 0] = 0
        return levels


def draw_noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """Normal draws of the same shape, kind and device."""
    return torch.randn(like.shape, generator=generator, device=generator.device).to(like)


def blend(x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """`(1 - t) x_0 + t eps` for levels t [B]."""
    t = spread(t, x0)
    return (1 - t) * x0 + t * noise


def spread(t: Tensor, like: Tensor) -> Tensor:
    """[B] -> [B,1,1,...] with as many dimensions as `like`."""
    return t.view(-1, *[1] * (like.ndim - 1))


def with_present(noisy: Tensor, present: Tensor) -> Tensor:
    """The latents with the present [B,C,1,h,w] in frame 0."""
    return torch.cat([present, noisy[:, :, 1:]], 2)


def ahead(error: Tensor) -> Tensor:
    """Mean per clip [B] of an error [B,C,T,h,w] over the frames to predict: all but the present."""
    return error[:, :, 1:].flatten(1).mean(1)


def scaled(latents: Tensor, mean: Any, std: Any, factor: float = 1.0) -> Tensor:
    """Latents [B,C,T,h,w] over mean and deviation of each channel, given as [C] or, by frame, as [C*F]."""
    channels = latents.shape[1]
    m, s = (
        torch.as_tensor(v).to(latents).view(1, channels, -1, 1, 1)[:, :, : latents.shape[2]]
        for v in (mean, std)
    )
    return (latents - m) * factor / s
