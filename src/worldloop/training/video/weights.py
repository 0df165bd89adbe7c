"""Files of a trained autoencoder: safetensors with its settings and card, or the video model that it is part of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from worldloop.core import InputError
from worldloop.models.video import VAEConfig, VideoVAE, load_checkpoint
from worldloop.models.video.checkpoint import PACKAGED

FORMAT = "worldloop-vae-1"
VIDEO = "worldloop-video-"
"""How the formats of video models begin."""


def save_vae(path: Path, vae: VideoVAE, card: Mapping[str, Any]) -> str:
    """Write the autoencoder; returns 16 hex digits that identify the file."""
    facts = {
        "format": FORMAT,
        "config": json.dumps(asdict(vae.config)),
        "card": json.dumps(dict(card), default=str),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    # `save_file` would make it readable for its owner alone.
    temporary.write_bytes(save({k: v.contiguous() for k, v in vae.state_dict().items()}, facts))
    temporary.replace(path)
    return file_hash(path)


def file_hash(path: Path) -> str:
    """16 hex digits that identify a file, or packaged weights."""
    return hashlib.sha256(_file(path).read_bytes()).hexdigest()[:16]


def _file(path: Path) -> Path:
    packaged = PACKAGED / f"{path}.safetensors"
    return path if path.is_file() or len(path.parts) != 1 or not packaged.is_file() else packaged


def load_vae(path: str | Path) -> tuple[VideoVAE, dict[str, Any]]:
    """The autoencoder in evaluation mode, and its card. InputError for a missing, damaged or foreign file.

    `path` may be a video model, or the name of a packaged one: then it is its autoencoder, and the card has no more
    than `training_scenes`.
    """
    path = _file(Path(path))
    if not path.is_file():
        raise InputError(f"no autoencoder at {path}; train one with `worldloop train vae`")
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
            state: dict[str, torch.Tensor] = {k: file.get_tensor(k).float() for k in file.keys()}  # noqa: SIM118
        if str(facts.get("format")).startswith(VIDEO):
            checkpoint = load_checkpoint(path)
            return checkpoint.vae.eval(), {"training_scenes": list(checkpoint.spec.training_scenes)}
        if facts.get("format") != FORMAT:
            raise InputError(f"{path} is no autoencoder of worldloop")
        vae = VideoVAE(VAEConfig(**json.loads(facts["config"])))
        vae.load_state_dict(state)
        return vae.eval(), json.loads(facts["card"])
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        raise InputError(f"{path} cannot be read as an autoencoder: {error}") from None
