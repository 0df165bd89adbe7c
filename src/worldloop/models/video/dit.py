"""The transformer block: attention with cached context, modulated per frame by noise level and controls."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldloop.models.video.rotary import rotate

Past = tuple[Tensor, Tensor]
"""Keys and values [b,heads,N,d] of the context; b is the batch or 1."""


@dataclass(frozen=True, eq=False)
class RayLink:
    """What the camera head adds to the attention of the blocks, see `camera.CameraHead`."""

    queries: tuple[Tensor, ...]
    """[B,heads,S,d] for each block, weighted."""
    keys: Tensor
    """[B,heads,N+S,d], context first."""


@dataclass(frozen=True, eq=False)
class Setting:
    """What all blocks of one pass share."""

    turn: tuple[Tensor, Tensor]
    """Cosines and sines [S,d/2] of the rotary positions."""
    mask: Tensor | None
    """bool [S,N+S], true where a token may look; None where it may look everywhere."""
    rays: RayLink | None = None


def joined(past: Tensor, own: Tensor) -> Tensor:
    """Context [b,heads,N,d] before own [B,heads,S,d]. One context serves a batch without being repeated first."""
    return torch.cat((past.expand(own.shape[0], -1, -1, -1), own), dim=2)


def attended(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Attention [B,heads,S,e] of queries [B,heads,S,d] to keys [B,heads,N,d] with values [B,heads,N,e]; mask as in `Setting`."""
    if q.device.type != "cpu" or torch.is_grad_enabled() or keys.shape[-1] == values.shape[-1]:
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, scale=scale)
    # On the CPU torch has no fused kernel for values of another width than keys, and its general way looks at all scores thrice.
    scores = (q @ keys.mT).mul_(scale)
    if mask is not None:
        scores.masked_fill_(~mask, -torch.inf)
    return scores.softmax(dim=-1) @ values


class Attention(nn.Module):
    """Self-attention with normalised queries and keys. `q`, `k`, `v` and `out` are plain linear layers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k = nn.Linear(width, width), nn.Linear(width, width)
        self.v, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.q_norm, self.k_norm = nn.RMSNorm(width // heads, 1e-6), nn.RMSNorm(width // heads, 1e-6)

    def split(self, x: Tensor) -> Tensor:
        """[B,S,W] -> [B,heads,S,d]"""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def forward(self, x: Tensor, setting: Setting, past: Past | None, index: int) -> tuple[Tensor, Past]:
        """x [B,S,W] -> (output [B,S,W], own keys and values [B,heads,S,d])."""
        q = rotate(_normed(self.q_norm, self.split(self.q(x))), setting.turn)
        k = rotate(_normed(self.k_norm, self.split(self.k(x))), setting.turn)
        v = self.split(self.v(x))
        keys, values = (k, v) if past is None else (joined(past[0], k), joined(past[1], v))
        scale, rays = q.shape[-1] ** -0.5, setting.rays
        if rays is not None:
            # One product over both parts is the sum of the two scores.
            q = torch.cat((q, rays.queries[index].to(q.dtype)), dim=-1)
            keys = torch.cat((keys, rays.keys.to(q.dtype)), dim=-1)
        y = attended(q, keys, values, setting.mask, scale)
        return self.out(y.transpose(1, 2).flatten(2)), (k, v)


def _normed(norm: nn.RMSNorm, x: Tensor) -> Tensor:
    # Under autocast x is bf16 and the weight is not, for which torch has no fast way.
    return F.rms_norm(x, norm.normalized_shape, norm.weight.to(x.dtype), norm.eps)


class Modulation(nn.Module):
    """Shift, scale and gate for attention and MLP, per frame; low rank, zero at the start ("adaLN-zero")."""

    def __init__(self, rank: int, width: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        self.up = nn.Linear(rank, parts * width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, low: Tensor) -> tuple[Tensor, ...]:
        """low [B,F,rank] -> `parts` tensors [B,F,1,W]"""
        return self.up(low).unsqueeze(2).chunk(self.parts, dim=-1)


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Layer norm without parameters, then scale and shift; x [B,F,n,W], shift and scale [B,F,1,W]."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


class Block(nn.Module):
    """Attention and MLP, each gated."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, rank: int) -> None:
        super().__init__()
        self.modulation = Modulation(rank, width, 6)
        self.attention = Attention(width, heads)
        hidden = int(width * mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(
        self, x: Tensor, low: Tensor, setting: Setting, past: Past | None, index: int
    ) -> tuple[Tensor, Past]:
        """x [B,F,n,W], low [B,F,rank] -> (x, own keys and values). `index` is the block's place in the stack."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(low)
        y, own = self.attention(modulated(x, shift1, scale1).flatten(1, 2), setting, past, index)
        x = x + gate1 * y.view_as(x)
        return x + gate2 * self.mlp(modulated(x, shift2, scale2)), own
