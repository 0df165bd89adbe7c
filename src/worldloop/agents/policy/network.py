"""The policy's network: where the goal's colours are in the picture, and a flow from noise to a chunk of waypoints.

Actions are sampled as a whole chunk by a generative model given the observation, after Diffusion Policy (Chi et al.
2023, arXiv 2303.04137). Here that is flow matching (Lipman et al. 2023, arXiv 2210.02747) with straight paths: the
network predicts the clean chunk from a noisy one, and Euler steps lead there.

A picture becomes features on a grid of a quarter of its side. Each of five colours has a few maps on it; those of the
goal's two colours are made attention by a softmax over the grid, and tell where on the table (known camera, height of
a block's middle) and with which features (a spatial softmax after Finn et al. 2016, arXiv 1509.06113). That maps belong
to colours is built in, and so is where they begin to look: at pixels in their colour, as `table_sight` reads colours
(without that, most of a short training goes by before the network knows its colours). The rest is learnt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldloop.agents.policy.waypoints import COLOURS, GOAL, MIDDLE, PARTS, SPAN
from worldloop.agents.table_sight import HUES
from worldloop.core import InputError
from worldloop.envs.tabletop.cameras import THIRD
from worldloop.envs.tabletop.layout import FAMILIES, HALF

STRIDE = 4
"""Pixels between the cells of the grid, each way."""
BELIEF = 12.0
"""What a cell full of the right colour is worth to a map at first, as a logit."""
TIMES = 16
"""Frequencies that tell the network how noisy a chunk is."""


@dataclass(frozen=True)
class PolicyConfig:
    """Sizes of the network, and how it is sampled."""

    size: int = 128
    """Side of the pictures it was made for."""
    length: int = 4
    """Waypoints in a chunk."""
    width: int = 32
    """Channels of the features on the grid."""
    blocks: int = 2
    """Residual convolutions on the grid."""
    maps: int = 4
    """Attention maps of each colour."""
    values: int = 8
    """Features that each map fetches."""
    hidden: int = 256
    depth: int = 3
    """Residual layers of the flow."""
    steps: int = 10
    """Euler steps of a sample."""

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % STRIDE or self.width < 16 or self.width % 16:
            raise InputError(
                f"a policy needs pictures of 32 pixels or more, divisible by {STRIDE}, and a width divisible by 16"
            )
        if min(self.length, self.blocks, self.maps, self.values, self.hidden, self.depth, self.steps) < 1:
            raise InputError("a policy needs at least one of everything")


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(F.silu(self.norm(x)))


class _Layer(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.inner, self.outer = nn.Linear(2 * hidden, hidden), nn.Linear(hidden, hidden)

    def forward(self, x: Tensor, about: Tensor) -> Tensor:
        return x + self.outer(F.silu(self.inner(torch.cat([self.norm(x), about], dim=1))))


class DiffusionPolicy(nn.Module):
    """Chunks of waypoints from a picture, the hand and a goal."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.stem = nn.Sequential(
            nn.Conv2d(3, width // 2, 3, 2, 1), nn.SiLU(), nn.Conv2d(width // 2, width, 3, 2, 1)
        )
        self.blocks = nn.Sequential(*[_Residual(width) for _ in range(config.blocks)])
        self.norm = nn.GroupNorm(8, width)
        self.look = nn.Conv2d(width, config.maps * len(COLOURS), 1)
        self.trust = nn.Parameter(torch.full((config.maps,), BELIEF))
        self.tell = nn.Conv2d(width, config.maps * config.values, 1)
        facts = 2 * config.maps * (config.values + 5) + PARTS + GOAL
        self.facts = nn.Linear(facts, config.hidden)
        chunk = config.length * PARTS
        self.direct = nn.Linear(facts, chunk)
        self.begin = nn.Linear(chunk + 2 * TIMES, config.hidden)
        self.layers = nn.ModuleList([_Layer(config.hidden) for _ in range(config.depth)])
        self.end = nn.Linear(config.hidden, chunk)
        nn.init.zeros_(self.end.weight)
        nn.init.zeros_(self.end.bias)

    def condition(
        self, pictures: Tensor, hands: Tensor, goals: Tensor, shifts: Tensor | None = None
    ) -> Tensor:
        """float32 [B,C]: all that is known of B situations.

        pictures: [B,3,H,W] in -1..1. hands: [B,6] and goals: [B,15], see `waypoints`. shifts: [B,2], columns and rows
        by which a picture was moved to the left and up, for training.
        """
        x = F.silu(self.norm(self.blocks(self.stem(pictures.contiguous(memory_format=torch.channels_last)))))
        count, _, rows, columns = x.shape
        maps, values = self.config.maps, self.config.values
        grid = self._places(rows, columns, shifts).expand(count, -1, -1)  # b (h w) 2
        painted = F.avg_pool2d(colour_masks(pictures), STRIDE).flatten(2)[:, None]  # b 1 c (h w)
        seen = self.look(x).float().reshape(count, maps, len(COLOURS), -1)
        seen = seen + self.trust[None, :, None, None] * painted
        told = self.tell(x).float().reshape(count, maps, values, -1)
        facts = [hands, goals]
        for i in range(2):
            first = len(FAMILIES) + i * len(COLOURS)
            wanted = goals[:, None, first : first + len(COLOURS), None]
            logits = (seen * wanted).sum(2)  # b m (h w)
            share = logits.softmax(-1)
            place = share @ grid  # b m 2
            there = (told * share[:, :, None]).sum(-1)
            sure = logits.logsumexp(-1, keepdim=True) - math.log(rows * columns)
            away = 4 * (place - hands[:, None, :2])
            facts.append(torch.cat([place, away, there, sure], dim=-1).flatten(1))
        return torch.cat(facts, dim=1)

    def clean(self, about: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """float32 [B,L*6]: the chunk that is expected behind a noisy one at times [B] in 0 (noise) to 1 (clean)."""
        angle = times[:, None] * (math.pi / 2) * 2.0 ** (torch.arange(TIMES, device=times.device) / 4)
        x = self.begin(torch.cat([noisy, angle.sin(), angle.cos()], dim=1))
        known = F.silu(self.facts(about))
        for layer in self.layers:
            x = layer(x, known)
        return self.direct(about) + self.end(F.silu(x))

    def forward(
        self, pictures: Tensor, hands: Tensor, goals: Tensor, shifts: Tensor, noisy: Tensor, times: Tensor
    ) -> Tensor:
        """float32 [B,K,L*6]: `clean` for K noisy chunks [B,K,L*6] at times [B,K] of each situation."""
        each = noisy.shape[1]
        about = self.condition(pictures, hands, goals, shifts).repeat_interleave(each, 0)
        return self.clean(about, noisy.flatten(0, 1), times.flatten()).reshape(noisy.shape)

    @torch.inference_mode()
    def sample(self, picture: Tensor, hand: Tensor, goal: Tensor, noise: Tensor) -> Tensor:
        """float32 [B,L,6]: the chunks that noise [B,L*6] leads to; the other arguments as in `condition`."""
        about, x, steps = self.condition(picture, hand, goal), noise, self.config.steps
        for i in range(steps):
            now = torch.full((len(x),), i / steps)
            x = x + (self.clean(about, x, now) - x) / (steps - i)
        return x.reshape(len(x), self.config.length, PARTS)

    def _places(self, rows: int, columns: int, shifts: Tensor | None) -> Tensor:
        """float32 [B or 1,h*w,2]: where on the table the middles of the cells are, in the policy's numbers."""
        kind: dict[str, Any] = {"dtype": torch.float32, "device": self.look.weight.device}
        y, x = torch.meshgrid(torch.arange(rows, **kind), torch.arange(columns, **kind), indexing="ij")
        pixels = (torch.stack([x, y], dim=-1).reshape(1, -1, 2) + 0.5) * STRIDE
        if shifts is not None:
            pixels = pixels + shifts[:, None]
        shape = (rows * STRIDE, columns * STRIDE)
        offset = (pixels - pixels.new_tensor([shape[1] / 2, shape[0] / 2])) / THIRD.focal(shape[1])
        rays = torch.cat([offset, torch.ones_like(offset[..., :1])], dim=-1)
        rays = rays @ torch.tensor(THIRD.matrix[:3, :3].T, **kind)
        eye = torch.tensor(THIRD.matrix[:3, 3], **kind)
        points = eye[:2] + rays[..., :2] * ((HALF - eye[2]) / rays[..., 2:])
        return (points - torch.tensor(MIDDLE[:2], **kind)) / SPAN


def colour_masks(pictures: Tensor) -> Tensor:
    """float32 [B,5,H,W]: 1 where pictures [B,3,H,W] in -1..1 have a named colour, by the rule of `table_sight`."""
    values = (pictures.float() + 1) / 2
    red, green, blue = values.unbind(1)
    high, low = values.amax(1), values.amin(1)
    spread = (high - low).clamp(min=1e-6)
    third = torch.where(high == green, (blue - red) / spread + 2, (red - green) / spread + 4)
    hue = 60 * torch.where(high == red, (green - blue) / spread % 6, third)
    named = torch.tensor(list(HUES.values()), device=hue.device)[None, :, None, None]
    off = ((hue[:, None] - named + 180) % 360 - 180).abs()
    near = (off < 30) & (off == off.amin(1, keepdim=True))
    return (near & ((spread > 0.45 * high) & (high > 0.22))[:, None]).float()


def as_tensor(pictures: Tensor) -> Tensor:
    """float32 [B,3,H,W] in -1..1 of uint8 [B,H,W,3]."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1
