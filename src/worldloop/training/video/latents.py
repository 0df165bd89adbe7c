"""Latents of a dataset, kept in a folder: encoding takes minutes, and many trainings use the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from worldloop.models.video import VideoVAE
from worldloop.training.dataset.layout import FILES_PATH, INFO_PATH


def kept_latents(
    store: Path | None, vae: VideoVAE, dataset: Path, video: str, encode: Callable[[], Tensor]
) -> Tensor:
    """The latents [N,C,h,w] that `encode` makes, from the store where it has them.

    The file's name is a digest of the autoencoder's weights and of the dataset's, so a store never goes stale; a
    damaged file is written again.
    """
    if store is None:
        return encode()
    digest = hashlib.blake2b(video.encode(), digest_size=16)
    for name, value in vae.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    for part in (INFO_PATH, FILES_PATH):
        digest.update((dataset / part).read_bytes())
    path = store / f"latents-{digest.hexdigest()}.safetensors"
    try:
        with safe_open(path, "pt") as file:
            return file.get_tensor("latents")
    except (SafetensorError, OSError):
        latents = encode()
    store.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file({"latents": latents.cpu().to(torch.float16).contiguous()}, temporary)
    temporary.replace(path)
    return latents
