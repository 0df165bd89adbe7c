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

SIZE = 64
"""Side at which pictures are seen, pixels."""
PARTS = 3
"""Parts of a move: forward, left, turn to the left; each is -1, 0 or 1."""


CELLS = SIZE // 4
"""Cells across, in which the pictures are compared."""
REACH = (2, 7)
"""Cells up or down and left or right by which things may move between the pictures: a turn of 22.5 degrees is up to 6."""
FEATURES = 32


class InverseDynamics(nn.Module):
    """From pairs float32 [B,6,64,64] in [-1,1] to logits [B,3,3]: for each part of the move, of -1, 0 and 1.

    Each cell of the first picture is compared with those around the same place of the second (a correlation volume, as
    in FlowNet, arXiv 1504.06852); what moved where, all over the picture, tells the move.
    """

    near: Tensor
    inside: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, FEATURES, 3, stride=2, padding=1),
        )
        near, inside = _neighbours()
        self.register_buffer("near", near, persistent=False)
        self.register_buffer("inside", inside, persistent=False)
        self.compare = nn.Sequential(
            nn.Conv2d(near.shape[1] + 2 * FEATURES, 48, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(48, 48, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(48 * (CELLS // 4) ** 2, 64),
            nn.ReLU(),
            nn.Linear(64, 3 * PARTS),
        )

    def forward(self, pairs: Tensor) -> Tensor:
        before, after = self.encoder(pairs[:, :3]), self.encoder(pairs[:, 3:])
        a, b = (F.normalize(x.flatten(2), dim=1) for x in (before, after))
        every = a.transpose(1, 2) @ b  # b n n
        some = every.gather(2, self.near.expand(len(pairs), -1, -1)) * self.inside
        volume = some.transpose(1, 2).unflatten(2, (CELLS, CELLS)) * 4
        return self.compare(torch.cat([volume, before, after], dim=1)).unflatten(1, (PARTS, 3))


def _neighbours() -> tuple[Tensor, Tensor]:
    """Of each cell, int64 [N,K] the cells within reach, and float32 [N,K] 1 where there is such a cell."""
    y, x = np.mgrid[:CELLS, :CELLS].reshape(2, -1, 1)
    down, right = np.mgrid[-REACH[0] : REACH[0] + 1, -REACH[1] : REACH[1] + 1].reshape(2, 1, -1)
    v, u = y + down, x + right
    inside = (v >= 0) & (v < CELLS) & (u >= 0) & (u < CELLS)
    return torch.from_numpy(np.where(inside, v * CELLS + u, 0)), torch.from_numpy(inside.astype(np.float32))


def small(image: np.ndarray) -> np.ndarray:
    """uint8 [H,W,3] to uint8 [3,64,64]."""
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
