"""How far one could walk, guessed from a picture: a linear reading of ImageNet features, column by column.

No depth is measured. The floor's extent below a bearing is what the features tell most of it by.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from worldloop.agents.perception.efficientnet import spatial_features
from worldloop.core import InputError

STRIDE, CELLS, CHANNELS = 16, 8, 112
BEARINGS = (40.0, 22.5, 0.0, -22.5, -40.0)
"""Degrees, left positive, at which the way is judged; the picture ends at 45."""
FARTHEST = 4.0
"""Metres; what is farther is not told apart."""
VECTOR = CELLS * CHANNELS + CHANNELS + len(BEARINGS)


def shipped_free_space_path() -> Path:
    """The reading that ships with worldloop."""
    return Path(__file__).parents[1] / "data" / "free_space.safetensors"


def column_vectors(grids: np.ndarray) -> np.ndarray:
    """float32 [B,5,VECTOR] from feature maps [B,8,8,112]: the column below each bearing, the mean, which bearing."""
    out = np.zeros((len(grids), len(BEARINGS), VECTOR), np.float32)
    for k, degrees in enumerate(BEARINGS):
        at = float(np.clip((1 - np.tan(np.radians(degrees))) / 2 * CELLS - 0.5, 0, CELLS - 1))
        low = min(int(at), CELLS - 2)
        column = (low + 1 - at) * grids[:, :, low] + (at - low) * grids[:, :, low + 1]
        out[:, k, : CELLS * CHANNELS] = column.reshape(len(grids), -1)
        out[:, k, CELLS * CHANNELS : -len(BEARINGS)] = grids.mean(axis=(1, 2))
        out[:, k, CELLS * CHANNELS + CHANNELS + k] = 1.0
    return out


@dataclass(frozen=True, eq=False)
class FreeSpace:
    """The trained reading."""

    weights: np.ndarray
    """float32 [VECTOR]; bearings have their own constants."""
    scale: np.ndarray
    """float32 [VECTOR], by which features are divided first."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """Scenes, views and errors of the training."""

    def look(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Metres float64 [B,5] that one could walk along `BEARINGS` in pictures uint8 [H,W,3] of 90 degrees."""
        if not len(images):
            return np.zeros((0, len(BEARINGS)))
        return self.read(column_vectors(spatial_features(images, CELLS * STRIDE, STRIDE)))

    def read(self, vectors: np.ndarray) -> np.ndarray:
        """Metres float64 [...] from `column_vectors`; sums are taken in a fixed order for each row."""
        # A product with a matrix might round differently with the number of rows.
        sums = ((vectors / self.scale).astype(np.float64) * self.weights).sum(axis=-1)
        return np.clip(np.expm1(sums), 0.0, FARTHEST)

    def save(self, path: Path) -> None:
        """Write a safetensors file, and the card beside it as JSON."""
        save_file(
            {"weights": self.weights.astype(np.float32), "scale": self.scale.astype(np.float32)}, str(path)
        )
        path.with_suffix(".json").write_text(json.dumps(dict(self.card), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path | None = None) -> FreeSpace:
        """Read what `save` wrote; InputError for anything else."""
        path = path or shipped_free_space_path()
        try:
            arrays = load_file(str(path))
            card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            found = cls(arrays["weights"], arrays["scale"], card)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise InputError(f"{path} is no reading of free space ({error}); reinstall worldloop") from None
        if found.weights.shape != (VECTOR,) or found.scale.shape != (VECTOR,):
            raise InputError(f"{path} does not fit the features: expected {VECTOR} weights")
        return found
