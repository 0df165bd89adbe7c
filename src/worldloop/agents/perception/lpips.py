"""LPIPS (SqueezeNet 1.1), for those who have its weights; no package registry ships them.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (CVPR 2018). Weights are
accepted only when they reproduce a published value, so that no look-alike is ever reported as LPIPS. That
value exists for the SqueezeNet variant, hence no other is offered.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldloop.agents.perception.images import as_images
from worldloop.agents.perception.stlpips import SCALE, SHIFT
from worldloop.agents.perception.weights import read_state
from worldloop.core import InputError
from worldloop.core.threads import each

BACKBONE_VARIABLE = "WORLDLOOP_LPIPS_BACKBONE"
HEADS_VARIABLE = "WORLDLOOP_LPIPS_HEADS"
PUBLISHED = (0.1024, 0.0938)
"""The torchmetrics documentation: squeeze, generator seed 42, two pairs of uniform noise 100 x 100."""

# index in torchvision's `features`: channels in, squeezed, and of each of the two expansions
FIRES = {
    3: (64, 16, 64),
    4: (128, 16, 64),
    6: (128, 32, 128),
    7: (256, 32, 128),
    9: (256, 48, 192),
    10: (384, 48, 192),
    11: (384, 64, 256),
    12: (512, 64, 256),
}
COMPARED = {1: 64, 4: 128, 7: 256, 9: 384, 10: 384, 11: 512, 12: 512}
"""Layers whose output is compared, with their channels."""


class Fire(nn.Module):
    """Squeeze 1x1, then expand by 1x1 and 3x3 side by side; the names are torchvision's."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.squeeze(x))
        return F.relu(torch.cat([self.expand1x1(y), self.expand3x3(y)], 1))


class Lpips(nn.Module):
    """LPIPS of two images float32 [1,3,H,W] in [-1,1]: float32 [1]."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(13):
            if index in FIRES:
                layers.append(Fire(*FIRES[index]))
            elif index == 0:
                layers.append(nn.Conv2d(3, 64, 3, stride=2))
            elif index == 1:
                layers.append(nn.ReLU())
            else:
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        self.features = nn.ModuleList(layers)
        self.heads = nn.ParameterList(torch.ones(1, channels, 1, 1) for channels in COMPARED.values())

    def stages(self, x: Tensor) -> list[Tensor]:
        """The seven feature maps that are compared, of unit length at every position."""
        y = (x - x.new_tensor(SHIFT).view(1, 3, 1, 1)) / x.new_tensor(SCALE).view(1, 3, 1, 1)
        out = []
        for index, layer in enumerate(self.features):
            y = layer(y)
            if index in COMPARED:
                out.append(y / (y.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return out

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        total = a.new_zeros(len(a))
        for x, y, head in zip(self.stages(a), self.stages(b), self.heads):
            total = total + (head * (x - y).square()).sum(1).mean((1, 2))
        return total

    def distance(
        self, a: np.ndarray | Sequence[np.ndarray], b: np.ndarray | Sequence[np.ndarray]
    ) -> np.ndarray:
        """LPIPS float32 [B] of paired uint8 images [B,H,W,3] of one size (>= 32); lower is more alike."""
        if len(a) != len(b):
            raise InputError(f"{len(a)} images against {len(b)}; pass pairs")
        pairs = list(zip(as_images(a, 32), as_images(b, 32)))

        def one(pair: tuple[np.ndarray, np.ndarray]) -> float:
            x, y = (torch.from_numpy(v.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1 for v in pair)
            if x.shape != y.shape:
                raise InputError("LPIPS compares images of one size; resize them first")
            return self(x, y).item()

        return np.array(each(one, pairs), np.float32)


def load_lpips(backbone: str | Path | None = None, heads: str | Path | None = None) -> Lpips:
    """LPIPS from torchvision's `squeezenet1_1` weights and the linear heads of the `lpips` package.

    Paths default to the environment variables WORLDLOOP_LPIPS_BACKBONE and WORLDLOOP_LPIPS_HEADS. InputError
    when they are not given, do not fit, or do not reproduce the published value (0.1024, 0.0938).
    """
    backbone = backbone or os.environ.get(BACKBONE_VARIABLE)
    heads = heads or os.environ.get(HEADS_VARIABLE)
    if not backbone or not heads:
        raise InputError(
            f"LPIPS needs weights that worldloop may not ship: set {BACKBONE_VARIABLE} to torchvision's "
            f"squeezenet1_1 file and {HEADS_VARIABLE} to the squeeze.pth of the lpips package, "
            "or use ST-LPIPS, which ships"
        )
    network = Lpips()
    linear = read_state(heads)
    state = {k: v for k, v in read_state(backbone).items() if k.startswith("features.")}
    try:
        state |= {f"heads.{i}": linear[f"lin{i}.model.1.weight"] for i in range(len(COMPARED))}
        network.load_state_dict(state, strict=True)
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{backbone} and {heads} do not hold LPIPS (SqueezeNet 1.1): {error}") from error
    network.eval().requires_grad_(False)
    verify(network)
    return network


def verify(network: Lpips) -> None:
    """InputError unless the network reproduces the published value to its four digits."""
    random = torch.Generator().manual_seed(42)
    a, b = (torch.rand(2, 3, 100, 100, generator=random) * 2 - 1 for _ in range(2))
    got = each(lambda i: network(a[i : i + 1], b[i : i + 1]).item(), range(2))
    if not np.allclose(got, PUBLISHED, rtol=0, atol=1.5e-4):
        raise InputError(
            f"these weights are not LPIPS: the published case gives {PUBLISHED}, they give "
            f"({got[0]:.4f}, {got[1]:.4f})"
        )
