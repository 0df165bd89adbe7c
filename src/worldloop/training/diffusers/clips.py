"""Training clips of a dataset as latents in memory: each is encoded once, by the model's own autoencoder."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldloop.actions import TextTranslator, yaw_of
from worldloop.core import InputError, derive_seed
from worldloop.training.dataset import ActionClips
from worldloop.training.diffusers.families import Family, LatentClips
from worldloop.training.diffusers.prompts import ImageEncoder
from worldloop.training.video.footage import relative

log = logging.getLogger(__name__)
PIXELS = 1 << 22
"""Pixels of video that the autoencoder gets at once, unless a single clip has more."""


@dataclass(frozen=True, eq=False)
class ClipStore:
    """K clips: a present observation and the L frames that follow it."""

    latents: LatentClips
    """float16, on the CPU."""
    codes: np.ndarray
    """int64 [K,L]: 1.. the action that led to each frame."""
    poses: np.ndarray
    """float32 [K,L,3], against the present camera: x ahead m, y left m, yaw rad."""
    captions: tuple[str, ...]
    scenes: tuple[str, ...]
    """Of the whole dataset."""
    actions: dict[str, tuple[float, float, float]]
    """Name -> forward m, left m, turn deg; in the order of the codes."""

    def __len__(self) -> int:
        return len(self.captions)

    def digest(self) -> str:
        """16 hex digits that identify the clips by their motions."""
        return hashlib.sha256(self.codes.tobytes() + self.poses.tobytes()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Selection:
    """Datasets that go together, and clips of theirs."""

    datasets: tuple[ActionClips, ...]
    chosen: np.ndarray
    """int64 [K,3]: dataset, episode and first frame."""
    frames: int
    """Predicted frames of a clip, L."""


def select(folders: Sequence[str | Path], frames: int, count: int | None, seed: int) -> Selection:
    """Draw clips: smaller numbers of them are part of larger ones.

    SplitError for held-out scenes; InputError for datasets that do not go together or have too few clips.
    """
    if not folders:
        raise InputError("no training data: give at least one --data folder (see `worldloop collect`)")
    opened = tuple(ActionClips(f) for f in folders)
    if len({(c.vocabulary, c.spec.size) for c in opened}) > 1:
        raise InputError("these datasets have different actions or sizes; train on one kind at a time")
    if not opened[0].vocabulary.discrete:
        raise InputError("video transformers learn from walks through houses here, not from demonstrations")
    starts = np.concatenate(
        [np.insert(c.starts(frames + 1), 0, number, axis=1) for number, c in enumerate(opened)]
    )
    if not len(starts) or (count is not None and count > len(starts)):
        raise InputError(
            f"the data has {len(starts)} clips of {frames + 1} frames, not {count or 'a single one'}; "
            "collect more, or ask for fewer examples"
        )
    order = np.random.default_rng(derive_seed(seed, "examples")).permutation(len(starts))
    return Selection(opened, starts[order[:count]], frames)


@torch.no_grad()
def encode_clips(
    selection: Selection,
    family: Family,
    vae: Any,
    size: tuple[int, int],
    device: torch.device,
    image_encoder: ImageEncoder | None = None,
) -> ClipStore:
    """Encode the selected clips at a size (rows, columns)."""
    vae.to(device)
    vocabulary = selection.datasets[0].vocabulary
    moving = [p for p in vocabulary.primitives if not p.stops]
    number = {vocabulary.index(p.name): i + 1 for i, p in enumerate(moving)}
    together = max(1, PIXELS // ((selection.frames + 1) * size[0] * size[1]))
    parts: list[dict[str, Tensor | None]] = []
    codes, poses = [], []
    for start in range(0, len(selection.chosen), together):
        some = [
            selection.datasets[d].clip(e, f, selection.frames + 1)
            for d, e, f in selection.chosen[start : start + together].tolist()
        ]
        pixels = fitted(np.stack([c.frames for c in some]), size, device)
        present, condition = family.condition(vae, pixels[:, :, :1], pixels)
        made = LatentClips(
            family.encoded(vae, pixels),
            present,
            condition,
            None if image_encoder is None else image_encoder(pixels[:, :, 0]),
        )
        parts.append({f.name: _stored(getattr(made, f.name)) for f in fields(made)})
        codes += [[number[int(k)] for k in c.codes] for c in some]
        poses += [_floor(c.poses) for c in some]
        log.info("encoded %d of %d clips", start + len(some), len(selection.chosen))
    vae.cpu()
    seen = np.stack(poses)
    speak = TextTranslator(vocabulary)
    plans = [vocabulary.plan([moving[k - 1].name for k in row]) for row in codes]
    return ClipStore(
        LatentClips(**{name: _joined([p[name] for p in parts]) for name in parts[0]}),  # type: ignore[arg-type]
        np.array(codes, np.int64),
        relative(seen[:, 1:], seen[:, 0]).astype(np.float32),
        tuple(str(speak.encode(plan).value) for plan in plans),
        tuple(sorted({s for c in selection.datasets for s in c.scenes})),
        {p.name: (p.forward, p.left, p.yaw_deg) for p in moving},
    )


def fitted(frames: np.ndarray, size: tuple[int, int], device: torch.device) -> Tensor:
    """float32 [B,3,T,h,w] in [-1,1] of pictures uint8 [B,T,H,W,3]: scaled to cover the size, the middle kept."""
    video = torch.from_numpy(frames).to(device).permute(0, 1, 4, 2, 3).float() / 127.5 - 1
    batch, count, _, height, width = video.shape
    scale = max(size[0] / height, size[1] / width)
    if scale != 1:
        large = (max(size[0], round(height * scale)), max(size[1], round(width * scale)))
        flat = torch.nn.functional.interpolate(
            video.flatten(0, 1), large, mode="bicubic", antialias=True, align_corners=False
        )
        video = flat.clamp(-1, 1).unflatten(0, (batch, count))
    top, left = ((n - s) // 2 for n, s in zip(video.shape[3:], size))
    return video[..., top : top + size[0], left : left + size[1]].transpose(1, 2).contiguous()


def _stored(latents: Tensor | None) -> Tensor | None:
    return None if latents is None else latents.half().cpu()


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    return torch.cat([p for p in parts if p is not None]) if parts[0] is not None else None


def _floor(poses: np.ndarray) -> np.ndarray:
    """x m, y m, yaw deg [T,3] of camera-to-world matrices [T,4,4]."""
    return np.stack([poses[:, 0, 3], poses[:, 1, 3], [yaw_of(p) for p in poses]], axis=1)
