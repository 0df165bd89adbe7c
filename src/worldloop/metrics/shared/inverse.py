"""Inverse dynamics: two consecutive pictures of a walking camera, and which move lies between them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldloop.agents.perception import resize
from worldloop.agents.perception.weights import load_state
from worldloop.core import InputError
from worldloop.core.threads import each

SIZE = 48
"""Side at which pictures are seen, pixels."""
PARTS = 3
"""Parts of a move: forward, left, turn to the left; each is -1, 0 or 1."""


class InverseDynamics(nn.Module):
    """From pairs float32 [B,6,48,48] in [-1,1] to logits [B,3,3]: for each part of the move, of -1, 0 and 1."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(cin, cout, kernel, stride=2, padding=kernel // 2)
            for cin, cout, kernel in ((6, 24, 5), (24, 48, 3), (48, 64, 3), (64, 96, 3))
        )
        self.hidden = nn.Linear(96 * (SIZE // 16) ** 2, 96)
        self.heads = nn.Linear(96, 3 * PARTS)

    def forward(self, pairs: Tensor) -> Tensor:
        x = pairs
        for convolution in self.convolutions:
            x = F.relu(convolution(x))
        return self.heads(F.relu(self.hidden(x.flatten(1)))).unflatten(1, (PARTS, 3))


def small(image: np.ndarray) -> np.ndarray:
    """uint8 [H,W,3] to uint8 [3,48,48]."""
    return np.ascontiguousarray(resize(image, SIZE).transpose(2, 0, 1))


def shipped_inverse_path() -> Path:
    """Where the packaged weights are."""
    return Path(__file__).parents[1] / "data" / "inverse-dynamics.safetensors"


def load_inverse(path: str | Path | None = None) -> InverseDynamics:
    """The packaged network, or that of another file, for reading; InputError when the file does not fit."""
    network = InverseDynamics()
    load_state(network, path or shipped_inverse_path())
    return network.eval().requires_grad_(False)


@functools.cache
def _shared_inverse() -> InverseDynamics:
    return load_inverse()


def read_moves(
    before: Sequence[np.ndarray] | np.ndarray,
    after: Sequence[np.ndarray] | np.ndarray,
    network: InverseDynamics | None = None,
) -> np.ndarray:
    """int [B,3], the signs of the moves (forward, left, turn to the left) between pictures uint8 [B,H,W,3].

    Each row depends on its own pair alone. InputError for lists of different length.
    """
    if len(before) != len(after):
        raise InputError(f"{len(before)} pictures before a move and {len(after)} after; pass pairs")
    network = network or _shared_inverse()

    def one(pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        x = torch.from_numpy(np.concatenate([small(p) for p in pair])[None].astype(np.float32))
        return network(x / 127.5 - 1)[0].argmax(dim=1).numpy() - 1

    rows = each(one, list(zip(before, after)))
    return np.stack(rows) if rows else np.zeros((0, PARTS), int)
