"""ST-LPIPS, a learned perceptual distance that tolerates shifts of a few pixels (AlexNet variant).

Ghildyal and Liu, "Shift-tolerant Perceptual Similarity Metric" (ECCV 2022). It is not LPIPS: its numbers
compare with other ST-LPIPS numbers only. The weights ship in the PyPI package `stlpips_pytorch` (BSD-2).

Against AlexNet, the first convolution has stride 1 and every reduction is a blur: a 3x3 binomial filter at
stride 2 after two pixels of reflection.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldloop.agents.perception.images import as_images
from worldloop.agents.perception.weights import read_state, stlpips_file
from worldloop.core import InputError
from worldloop.core.threads import each

MIN_SIZE = 32
"""Smallest height and width in pixels."""

# name in the weight file, channels in, channels out, kernel, padding
CONVOLUTIONS = (
    ("net.slice1.0", 3, 64, 11, 2),
    ("net.slice2.5", 64, 192, 5, 2),
    ("net.slice3.9", 192, 384, 3, 1),
    ("net.slice4.11", 384, 256, 3, 1),
    ("net.slice5.13", 256, 256, 3, 1),
)
# LPIPS' own constants: mean and deviation of ImageNet for images in [-1, 1].
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)


def blur_down(x: Tensor) -> Tensor:
    """Binomial 3x3 blur at stride 2 after reflecting two pixels: [B,C,H,W] -> [B,C,(H+1)//2+1,(W+1)//2+1]."""
    taps = torch.tensor([1.0, 2.0, 1.0]) / 4
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=x.shape[1])


class StLpips(nn.Module):
    """The network, from images float32 [1,3,H,W] in [-1,1] to one embedding vector.

    The distance of two images is the squared Euclidean distance of their embeddings: the weights of the
    linear heads, which are not negative, and the mean over positions are folded into the vector.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(cin, cout, kernel, padding=padding) for _, cin, cout, kernel, padding in CONVOLUTIONS
        )
        self.heads = nn.ParameterList(torch.ones(1, cout, 1, 1) for _, _, cout, _, _ in CONVOLUTIONS)

    def stages(self, x: Tensor) -> list[Tensor]:
        """The five feature maps that are compared, with 64, 192, 384, 256 and 256 channels."""
        y = (x - x.new_tensor(SHIFT).view(1, 3, 1, 1)) / x.new_tensor(SCALE).view(1, 3, 1, 1)
        conv1, conv2, conv3, conv4, conv5 = self.convolutions
        h1 = F.relu(blur_down(conv1(y)))
        h2 = F.relu(conv2(blur_down(F.max_pool2d(h1, 3, 1))))
        h3 = F.relu(conv3(blur_down(F.max_pool2d(h2, 3, 1))))
        h4 = F.relu(conv4(h3))
        return [h1, h2, h3, h4, F.relu(conv5(h4))]

    def forward(self, x: Tensor) -> Tensor:
        parts = []
        for h, head in zip(self.stages(x), self.heads):
            unit = h / (h.square().sum(1, keepdim=True).sqrt() + 1e-10)
            parts.append((unit * (head / (h.shape[2] * h.shape[3])).sqrt()).flatten())
        return torch.cat(parts)


def load_stlpips(path: str | Path | None = None) -> StLpips:
    """The AlexNet variant with its published weights, in evaluation mode.

    `path` defaults to the file inside the installed package `stlpips_pytorch`. InputError when the file is
    missing or is not that network.
    """
    if path is None:
        path = stlpips_file()
    state = read_state(path)
    network = StLpips()
    try:
        for i, (name, *_) in enumerate(CONVOLUTIONS):
            convolution = network.convolutions[i]
            convolution.load_state_dict({"weight": state[f"{name}.weight"], "bias": state[f"{name}.bias"]})
            network.heads[i].data.copy_(state[f"lin{i}.model.1.weight"])
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{path} does not hold ST-LPIPS (AlexNet): {error}") from error
    if any(bool((head < 0).any()) for head in network.heads):
        raise InputError(f"{path} has negative linear weights; a distance needs them >= 0")
    network.eval().requires_grad_(False)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


@functools.cache
def shared_stlpips() -> StLpips:
    """One read-only copy of `load_stlpips()` per process."""
    return load_stlpips()


def embed(images: np.ndarray | Sequence[np.ndarray]) -> list[np.ndarray]:
    """One embedding per image, float32 [D]; D depends on the image size (about 660 000 at 128 x 128).

    `images`: uint8 [B,H,W,3] or a sequence of [H,W,3], each side >= 32. An embedding depends on its own
    image alone, bit for bit.
    """
    network = shared_stlpips()

    def one(image: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
        return network(x / 127.5 - 1).numpy()

    return each(one, as_images(images, MIN_SIZE))


def distance_from_embeddings(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> np.ndarray:
    """ST-LPIPS float32 [B] of paired embeddings; 0 for equal images, seldom above 1, symmetric.

    InputError when a pair stems from images of different sizes.
    """
    if len(a) != len(b):
        raise InputError(f"{len(a)} embeddings against {len(b)}; pass pairs")
    out = np.empty(len(a), np.float32)
    for i, (x, y) in enumerate(zip(a, b)):
        if x.shape != y.shape:
            raise InputError("ST-LPIPS compares images of one size; resize them first")
        gap = x - y
        # numpy's pairwise sum, not a BLAS dot product, whose order depends on the thread count.
        out[i] = np.square(gap, out=gap).sum()
    return out


def distance(a: np.ndarray | Sequence[np.ndarray], b: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """ST-LPIPS float32 [B] of paired uint8 images [B,H,W,3] at their native size; lower is more alike."""
    return distance_from_embeddings(embed(a), embed(b))
