"""Training the autoencoder of the video model on single pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldloop.core import InputError
from worldloop.models.video import VAEConfig, VideoVAE, vae_loss
from worldloop.training.dataset import ActionClips
from worldloop.training.dataset.layout import FRONT
from worldloop.training.loop import LoopConfig, StepInput, train
from worldloop.training.video.footage import styles
from worldloop.training.video.weights import save_vae

HELD_OUT = 256
"""Pictures kept aside to measure the reconstruction."""


@dataclass(frozen=True)
class AutoencoderTraining:
    """Settings of `train_autoencoder`."""

    data: tuple[str, ...]
    out: Path
    loop: LoopConfig
    vae: VAEConfig = field(default_factory=VAEConfig)
    edges: float = 1.0
    """Weight of the error of differences between neighbouring pixels: without it pictures get soft."""
    kl_weight: float = 1e-6
    noise: float = 0.05
    """Standard deviation of noise on the decoder's input, in units of the latents': it forgives a generator."""


class _Reconstruction(nn.Module):
    def __init__(self, vae: VideoVAE, settings: AutoencoderTraining) -> None:
        super().__init__()
        self.vae, self.settings = vae, settings

    def forward(self, frames: Tensor) -> Tensor:
        generator = torch.Generator(frames.device).manual_seed(int(torch.randint(2**62, (1,))))
        loss, seen = vae_loss(self.vae, frames, generator, self.settings.kl_weight)
        error = seen - frames
        across, down = error.diff(dim=3).abs().mean(), error.diff(dim=2).abs().mean()
        return loss + self.settings.edges * (across + down)


def train_autoencoder(
    settings: AutoencoderTraining, progress: Callable[[int, float], None] | None = None
) -> dict[str, Any]:
    """Train, store the latents' statistics, measure on pictures kept aside, and write `vae.safetensors`.

    Returns facts for the card: data, loop, `psnr` (dB) and `l1` of reconstructions. SplitError for held-out
    scenes.
    """
    pictures, scenes = load_pictures(settings.data)
    rest = np.random.default_rng(settings.loop.seed).permutation(len(pictures))
    kept, rest = rest[:HELD_OUT], rest[HELD_OUT:]
    if not len(rest):
        raise InputError(f"{len(pictures)} pictures are too few; collect more than {HELD_OUT}")
    torch.manual_seed(settings.loop.seed)
    vae = VideoVAE(settings.vae)
    batch = settings.loop.batch

    def loss(model: nn.Module, given: StepInput) -> Tensor:
        rows = rest[given.random.integers(len(rest), size=batch)][given.rows]
        flip = given.random.random(batch)[given.rows] < 0.5
        frames = _tensor(pictures[rows], given.device)
        frames = torch.where(
            torch.from_numpy(flip).to(given.device)[:, None, None, None], frames.flip(3), frames
        )
        return model(frames)

    facts = train(_Reconstruction(vae, settings), loss, settings.loop, settings.out, progress)
    vae.cpu().eval()
    # Models carry it in half precision: whatever is measured and encoded from here on is what they will do.
    vae.half().float()
    with torch.no_grad():
        sample = _tensor(pictures[rest[:: max(1, len(rest) // 512)]], torch.device("cpu"))
        vae.set_statistics(torch.cat([vae.moments(part)[0] for part in sample.split(32)]))
        vae.half().float()
    facts |= {
        "data": list(settings.data),
        "scenes": len(scenes),
        "styles": styles(scenes),
        "pictures": len(rest),
        "parameters": sum(p.numel() for p in vae.parameters()),
        **quality(vae, pictures[kept]),
    }
    facts["vae"] = asdict(settings.vae)
    facts["weights_hash"] = save_vae(
        settings.out / "vae.safetensors", vae, {**facts, "training_scenes": scenes}
    )
    return facts


def load_pictures(folders: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """All front pictures uint8 [N,H,W,3] of datasets, and their scenes."""
    if not folders:
        raise InputError("no training data: give at least one --data folder (see `worldloop collect`)")
    opened = [ActionClips(f) for f in folders]
    if len({c.spec.videos[FRONT] for c in opened}) > 1:
        raise InputError("these datasets have pictures of different sizes")
    return np.concatenate([c.to_memory()[0] for c in opened]), sorted({s for c in opened for s in c.scenes})


@torch.no_grad()
def quality(vae: VideoVAE, pictures: np.ndarray) -> dict[str, float]:
    """`psnr` in dB and `l1` (0..1) of reconstructed pictures uint8 [B,H,W,3]."""
    frames = _tensor(pictures, torch.device("cpu"))
    seen = torch.cat([vae.decode(vae.encode(part)).clamp(-1, 1) for part in frames.split(32)])
    mse = F.mse_loss(seen, frames, reduction="none").mean((1, 2, 3)) / 4
    return {
        "psnr": round(float((-10 * mse.clamp(min=1e-10).log10()).mean()), 3),
        "l1": round(float((seen - frames).abs().mean() / 2), 5),
    }


def _tensor(pictures: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
