"""A small convolutional autoencoder: one latent for each 8 x 8 pixels, fast on a processor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldloop.core import InputError

FACTOR = 8
"""Pixels along one side of a latent."""


@dataclass(frozen=True)
class VAEConfig:
    """Sizes of the autoencoder. Levels work at 1/2, 1/4 and 1/8 of the resolution."""

    latent_channels: int = 8
    widths: tuple[int, int, int] = (32, 64, 128)
    """Channels at 1/2, 1/4 and 1/8; multiples of 8."""
    encoder_blocks: tuple[int, int, int] = (1, 1, 2)
    decoder_blocks: tuple[int, int, int] = (1, 1, 2)

    def __post_init__(self) -> None:
        for name in ("widths", "encoder_blocks", "decoder_blocks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if len(getattr(self, name)) != 3:
                raise InputError(f"vae: {name} has one number for each of the three levels")
        if any(w < 8 or w % 8 for w in self.widths) or self.latent_channels < 1:
            raise InputError(f"vae: widths are multiples of 8, latent_channels >= 1, got {self}")


def enlarged(frames: Tensor, times: int) -> Tensor:
    """Frames [B,C,H,W] at so many times their size, bilinear."""
    return F.interpolate(frames, scale_factor=times, mode="bilinear") if times > 1 else frames


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each after a group norm and SiLU; the second starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, width), nn.GroupNorm(8, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """[B,C,h,w] -> [B,C,h,w]"""
        y = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(y)))


def _level(width: int, blocks: int) -> list[nn.Module]:
    return [ResidualBlock(width) for _ in range(blocks)]


def _head(width: int, channels: int) -> list[nn.Module]:
    return [nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, channels, 3, padding=1)]


def _encoder(config: VAEConfig) -> nn.Sequential:
    a, b, c = config.widths
    return nn.Sequential(
        nn.PixelUnshuffle(2),
        nn.Conv2d(12, a, 3, padding=1),
        *_level(a, config.encoder_blocks[0]),
        nn.PixelUnshuffle(2),
        nn.Conv2d(4 * a, b, 1),
        *_level(b, config.encoder_blocks[1]),
        nn.PixelUnshuffle(2),
        nn.Conv2d(4 * b, c, 1),
        *_level(c, config.encoder_blocks[2]),
        *_head(c, 2 * config.latent_channels),
    )


def _decoder(config: VAEConfig) -> nn.Sequential:
    a, b, c = config.widths
    return nn.Sequential(
        nn.Conv2d(config.latent_channels, c, 3, padding=1),
        *_level(c, config.decoder_blocks[2]),
        nn.Conv2d(c, 4 * b, 1),
        nn.PixelShuffle(2),
        *_level(b, config.decoder_blocks[1]),
        nn.Conv2d(b, 4 * a, 1),
        nn.PixelShuffle(2),
        *_level(a, config.decoder_blocks[0]),
        *_head(a, 12),
        nn.PixelShuffle(2),
    )


class VideoVAE(nn.Module):
    """Pictures <-> latents, frame by frame. Latents have zero mean and unit variance per channel."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: VAEConfig = VAEConfig()) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = _encoder(config), _decoder(config)
        self.register_buffer("latent_mean", torch.zeros(config.latent_channels))
        self.register_buffer("latent_std", torch.ones(config.latent_channels))

    def moments(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B,C,H/8,W/8] of the unscaled latents of frames [B,3,H,W] in [-1,1]."""
        if frames.ndim != 4 or frames.shape[1] != 3 or frames.shape[2] % FACTOR or frames.shape[3] % FACTOR:
            raise InputError(
                f"frames are [B,3,H,W] with sides divisible by {FACTOR}, got {list(frames.shape)}"
            )
        mean, logvar = self.encoder(frames).chunk(2, dim=1)
        return mean, logvar.clamp(-20.0, 10.0)

    def encode(self, frames: Tensor) -> Tensor:
        """Scaled latents [B,C,H/8,W/8] (the mean, no noise) of frames float [B,3,H,W] in [-1,1]."""
        return self.scaled(self.moments(frames)[0])

    def decode(self, latents: Tensor) -> Tensor:
        """Frames float [B,3,H,W], about [-1,1] and not clipped, of scaled latents [B,C,H/8,W/8]."""
        if latents.ndim != 4 or latents.shape[1] != self.config.latent_channels:
            raise InputError(f"latents are [B,{self.config.latent_channels},h,w], got {list(latents.shape)}")
        return self.decoder(latents * self.latent_std[:, None, None] + self.latent_mean[:, None, None])

    def scaled(self, latents: Tensor) -> Tensor:
        """Unscaled latents -> zero mean and unit variance, by the stored statistics."""
        return (latents - self.latent_mean[:, None, None]) / self.latent_std[:, None, None]

    @torch.no_grad()
    def set_statistics(self, latents: Tensor) -> None:
        """Store mean and standard deviation per channel of unscaled latents [B,C,h,w]."""
        self.latent_mean.copy_(latents.mean((0, 2, 3)))
        self.latent_std.copy_(latents.std((0, 2, 3)).clamp(min=1e-6))


def noisy(mean: Tensor, logvar: Tensor, generator: torch.Generator) -> Tensor:
    """A draw from the encoder's normal distribution, [B,C,h,w]."""
    noise = torch.randn(mean.shape, generator=generator, device=generator.device).to(mean)
    return mean + (0.5 * logvar).exp() * noise


def divergence(mean: Tensor, logvar: Tensor) -> Tensor:
    """From a standard normal: summed over a frame's latents [B,C,h,w], averaged over frames."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum((1, 2, 3)).mean()
