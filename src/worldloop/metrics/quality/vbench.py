"""Two dimensions of VBench, for those who have the networks they are computed with; no package registry ships them.

Both networks are read from a folder in the format of transformers, and are accepted only in the architecture that VBench uses, so that no
other network's number is called by its name. Needs `pip install transformers`.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.core import InputError
from worldloop.core.threads import each
from worldloop.metrics.clip import Array, Clip
from worldloop.metrics.metric import metric

SIDE = 224
"""Pixels of the shorter side of what the networks see."""
_SCORE: dict[str, Any] = {
    "group": "quality",
    "unit": "",
    "low": 0.0,
    "high": 1.0,
    "better": "higher",
    "worst": 0.0,
    "needs": (),
    # Not measured, for want of the weights.
    "reacts": ("noise", "popping"),
    "ignores": ("mirror", "restless"),
    "tolerance": 0.05,
}


@dataclass(frozen=True, eq=False)
class Network:
    """A vision transformer in a folder that an environment variable names."""

    variable: str
    repository: str
    """Where its authors put it, on a hub of models."""
    loader: str
    """Class of transformers that reads it."""
    settings: dict[str, Any]
    """How it is read."""
    shape: dict[str, Any]
    """What its configuration must say."""
    mean: tuple[float, float, float]
    spread: tuple[float, float, float]
    cubic: bool
    """Whether pictures are resized cubically and their middle is cut out; else linearly and whole."""

    @property
    def how(self) -> str:
        """How to get it, for a message."""
        return f"set {self.variable} to a folder with config.json and the weights of {self.repository}"

    def features(self, frames: Array) -> Array:
        """float64 [T,D] of frames uint8 [T,H,W,3], each of length 1. InputError without the network, or where it is another one."""
        import torch

        network = _load(self, os.environ.get(self.variable, ""))

        def one(frame: Array) -> Array:
            with torch.inference_mode():
                found = network(pixel_values=self.seen(frame), interpolate_pos_encoding=True)
            row = found.image_embeds[0] if "image_embeds" in found else found.last_hidden_state[0, 0]
            return np.asarray(row.double().numpy(), np.float64)

        rows = np.stack(each(one, list(frames)))
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    def seen(self, frame: Array) -> Any:
        """Tensor float32 [1,3,H',W'] of a frame uint8 [H,W,3]: resized in 8 bits without antialiasing, as VBench does."""
        import torch

        short = min(frame.shape[:2])
        size = [int(SIDE * n / short) for n in frame.shape[:2]]
        pixels = torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1))[None]).float()
        mode = "bicubic" if self.cubic else "bilinear"
        pixels = torch.nn.functional.interpolate(pixels, size, mode=mode, align_corners=False)
        pixels = pixels.clamp(0, 255).round() / 255
        if self.cubic:
            top, left = (round((n - SIDE) / 2) for n in size)
            pixels = pixels[:, :, top : top + SIDE, left : left + SIDE]
        return (pixels - torch.tensor(self.mean)[:, None, None]) / torch.tensor(self.spread)[:, None, None]

    def files(self) -> list[Path]:
        """Of the network, after a blank picture has passed through it; InputError as `features`."""
        self.features(np.zeros((1, SIDE, SIDE, 3), np.uint8))
        folder = Path(os.environ[self.variable])
        weights = sorted([*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")])
        return [folder / "config.json", *weights]


DINO = Network(
    "WORLDLOOP_VBENCH_DINO",
    "facebook/dino-vitb16",
    "ViTModel",
    {"add_pooling_layer": False},
    {"hidden_size": 768, "num_hidden_layers": 12, "patch_size": 16},
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
    cubic=False,
)
CLIP = Network(
    "WORLDLOOP_VBENCH_CLIP",
    "openai/clip-vit-base-patch32",
    "CLIPVisionModelWithProjection",
    {},
    {"hidden_size": 768, "num_hidden_layers": 12, "patch_size": 32, "projection_dim": 512},
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
    cubic=True,
)


@functools.cache
def _load(network: Network, folder: str) -> Any:
    if not folder:
        raise InputError(f"there are no weights for this metric; {network.how}")
    try:
        import transformers
    except ImportError:
        raise InputError(
            f"this metric needs transformers; pip install transformers, then {network.how}"
        ) from None
    try:
        found, told = getattr(transformers, network.loader).from_pretrained(
            folder, local_files_only=True, output_loading_info=True, **network.settings
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise InputError(f"{folder} holds no such network: {str(error)[:200]}; {network.how}") from None
    shape = {k: getattr(found.config, k, None) for k in network.shape}
    if shape != network.shape or told["missing_keys"]:
        raise InputError(f"the network in {folder} is another one ({shape}); {network.how}")
    return found.eval()


@metric(
    "vbench_subject_consistency",
    source="VBench's dimension (Huang et al., CVPR 2024) on DINO ViT-B/16",
    weights="dino-vitb16",
    optional=DINO.how,
    **_SCORE,
)
def vbench_subject_consistency(clip: Clip) -> float:
    """Likeness of each imagined frame to the first and to the one before, for those who have DINO's weights.

    Mean over the frames after the first of half the sum of both cosines of features, each at least 0. Says how little changes, right or
    wrong: a frozen video scores 1, and a camera that truly turns scores less. NaN for a single frame.
    """
    return _consistency(clip, DINO)


@metric(
    "vbench_background_consistency",
    source="VBench's dimension (Huang et al., CVPR 2024) on CLIP ViT-B/32",
    weights="clip-vit-base-patch32",
    optional=CLIP.how,
    **_SCORE,
)
def vbench_background_consistency(clip: Clip) -> float:
    """Likeness of each imagined frame to the first and to the one before, for those who have CLIP's weights.

    As `vbench_subject_consistency`, and as blind to what is asked: a frozen video scores 1.
    """
    return _consistency(clip, CLIP)


def _consistency(clip: Clip, network: Network) -> float:
    if len(clip.frames) < 2:
        return float("nan")
    rows = network.features(clip.frames)
    first, before = rows[1:] @ rows[0], (rows[1:] * rows[:-1]).sum(axis=1)
    return float(np.clip(np.stack([first, before]), 0, 1).mean())
