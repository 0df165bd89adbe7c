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
from worldloop.models.video import VAEConfig, VideoVAE
from worldloop.models.video.questions import pictures_to_tensor
from worldloop.models.video.vae import divergence, noisy
from worldloop.training.dataset import ActionClips
from worldloop.training.dataset.layout import FRONT
from worldloop.training.loop import LoopConfig, StepInput, train
from worldloop.training.video.footage import kinds
from worldloop.training.video.warps import equivariance_error, random_warps, warped
from worldloop.training.video.weights import file_hash, load_vae, save_vae

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
    equivariance: float = 0.05
    """Weight of the error between latents of a moved picture and moved latents. Without it, latents change all over
    when a picture moves by a few pixels, and are hard to predict (compare EQ-VAE, arXiv 2502.09509)."""
    start: Path | None = None
    """An autoencoder to train further, with its sizes, or a video model that has one."""


class _Reconstruction(nn.Module):
    """Half of the pictures are rebuilt from their latents, half from latents that were moved."""

    def __init__(self, vae: VideoVAE, settings: AutoencoderTraining) -> None:
        super().__init__()
        self.vae, self.settings = vae, settings

    def forward(self, frames: Tensor) -> Tensor:
        vae, settings = self.vae, self.settings
        generator = torch.Generator(frames.device).manual_seed(int(torch.randint(2**62, (1,))))
        mean, logvar = vae.moments(frames)
        mean, logvar = mean.float(), logvar.float()
        latents = noisy(mean, logvar, generator)
        maps = random_warps(len(frames), generator)
        view = warped(frames, maps)
        half = len(frames) // 2
        latents = torch.cat((warped(latents[:half], maps[:half]), latents[half:]))
        wanted = torch.cat((view[:half], frames[half:]))
        error = vae.decoder(latents).float() - wanted
        loss = error.abs().mean() + settings.kl_weight * divergence(mean, logvar)
        loss = loss + settings.edges * (error.diff(dim=3).abs().mean() + error.diff(dim=2).abs().mean())
        encoded = vae.moments(view)[0].float()
        return loss + settings.equivariance * equivariance_error(warped(mean, maps), encoded)


def train_autoencoder(
    settings: AutoencoderTraining, progress: Callable[[int, float], None] | None = None
) -> dict[str, Any]:
    """Train, store the latents' statistics, measure on pictures kept aside, and write `vae.safetensors`.

    Returns facts for the card: data, loop, `psnr` (dB) and `l1` of reconstructions, `equivariance_error` of latents.
    SplitError for held-out scenes.
    """
    pictures, scenes = load_pictures(settings.data)
    rest = np.random.default_rng(settings.loop.seed).permutation(len(pictures))
    kept, rest = rest[:HELD_OUT], rest[HELD_OUT:]
    if not len(rest):
        raise InputError(f"{len(pictures)} pictures are too few; collect more than {HELD_OUT}")
    torch.manual_seed(settings.loop.seed)
    vae, seen, before = _beginning(settings)
    batch = settings.loop.batch

    def loss(model: nn.Module, given: StepInput) -> Tensor:
        rows = rest[given.random.integers(len(rest), size=batch)][given.rows]
        flip = given.random.random(batch)[given.rows] < 0.5
        frames = pictures_to_tensor(pictures[rows], given.device)
        frames = torch.where(
            torch.from_numpy(flip).to(given.device)[:, None, None, None], frames.flip(3), frames
        )
        return model(frames)

    facts = train(_Reconstruction(vae, settings), loss, settings.loop, settings.out, progress, about=before)
    vae.cpu().eval()
    # Models carry it in half precision: whatever is measured and encoded from here on is what they will do.
    vae.half().float()
    with torch.no_grad():
        sample = pictures_to_tensor(pictures[rest[:: max(1, len(rest) // 512)]], torch.device("cpu"))
        vae.set_statistics(torch.cat([vae.moments(part)[0] for part in sample.split(32)]))
        vae.half().float()
    facts |= {
        "data": list(settings.data),
        "scenes": len(scenes),
        **kinds(scenes),
        "pictures": len(rest),
        "parameters": sum(p.numel() for p in vae.parameters()),
        **quality(vae, pictures[kept]),
        **(before or {}),
    }
    facts["vae"] = asdict(vae.config)
    known = {
        **facts,
        "data": [Path(d).name for d in settings.data],
        "training_scenes": sorted({*scenes, *seen}),
    }
    facts["weights_hash"] = save_vae(settings.out / "vae.safetensors", vae, known)
    return facts


def _beginning(settings: AutoencoderTraining) -> tuple[VideoVAE, list[str], dict[str, str] | None]:
    """The autoencoder, the scenes it has seen already, and what it was before."""
    if settings.start is None:
        return VideoVAE(settings.vae), [], None
    vae, card = load_vae(settings.start)
    return vae.train(), card.get("training_scenes", []), {"start": file_hash(settings.start)}


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
    """`psnr` in dB and `l1` (0..1) of reconstructed pictures uint8 [B,H,W,3], and the `equivariance_error`."""
    frames = pictures_to_tensor(pictures, torch.device("cpu"))
    maps = random_warps(len(frames), torch.Generator().manual_seed(0))
    latents, encoded = (
        torch.cat([vae.encode(part) for part in whole.split(32)]) for whole in (frames, warped(frames, maps))
    )
    seen = torch.cat([vae.decode(part).clamp(-1, 1) for part in latents.split(32)])
    mse = F.mse_loss(seen, frames, reduction="none").mean((1, 2, 3)) / 4
    return {
        "psnr": round(float((-10 * mse.clamp(min=1e-10).log10()).mean()), 3),
        "l1": round(float((seen - frames).abs().mean() / 2), 5),
        "equivariance_error": round(float(equivariance_error(warped(latents, maps), encoded)), 4),
    }
