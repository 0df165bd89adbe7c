"""What a clip may look back on: keys and values of the clean context, computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from worldloop.core import InputError
from worldloop.models.video.dit import joined

SCENE = ("present", "panorama", "view", "around")
"""What a context keeps of the present beside its keys and values."""


@dataclass(frozen=True, eq=False)
class Context:
    """Keys and values of a panorama and of clean frames, in that order, for every block.

    Each tensor is [b,heads,N,d]. With b = 1 one context serves any number of clips: it is expanded, never
    computed again. Values are read only; extending a context makes a new one.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    frames: int
    """How many frames it holds."""
    next_time: int
    """Rotary time of the frame that follows: 1 comes right after the present."""
    tokens_per_frame: int
    ray_keys: Tensor | None = None
    """Keys of the viewing rays, for a backbone with a camera head."""
    present: Tensor | None = None
    """[b,C,h,w], latents of the present view; however far a rollout goes, it stays."""
    panorama: Tensor | None = None
    """[b,C,h,2w], latents of the present panorama, or of an enlarged one."""
    view: Tensor | None = None
    """[b,3,H,W], the present view itself, in [-1,1]."""
    around: Tensor | None = None
    """[b,3,H,2W], the present panorama itself."""

    @property
    def tokens(self) -> int:
        """N, the panorama included."""
        return self.keys[0].shape[2]

    @property
    def batch(self) -> int:
        """b."""
        return self.keys[0].shape[0]

    @property
    def nbytes(self) -> int:
        """Memory that it holds, in bytes; parts that other contexts share are counted in each."""
        scene = (getattr(self, name) for name in SCENE)
        return sum(x.nbytes for x in (*self.keys, *self.values, self.ray_keys, *scene) if x is not None)

    def followed_by(self, other: Context) -> Context:
        """This context and then another one that was computed on top of it."""
        made = self._merged(other, joined)
        return replace(made, frames=self.frames + other.frames, next_time=other.next_time)

    def last(self, frames: int) -> Context:
        """Only the newest frames; a panorama stays. What was kept still knows of what was dropped."""
        if frames < 1:
            raise InputError(f"a context window holds at least one frame, got {frames}")
        if frames >= self.frames:
            return self
        around = self.tokens - self.frames * self.tokens_per_frame
        first = around + (self.frames - frames) * self.tokens_per_frame
        made = self._each(lambda x: torch.cat((x[:, :, :around], x[:, :, first:]), dim=2))
        return replace(made, frames=frames)

    def select(self, rows: Tensor) -> Context:
        """The contexts at the given rows int64 [B], for clips that look back on different histories."""
        return self._scene(lambda x: x.index_select(0, rows))._each(lambda x: x.index_select(0, rows))

    @staticmethod
    def stack(contexts: Sequence[Context]) -> Context:
        """Several contexts of equal length as one batch."""
        out = contexts[0]
        if any(
            (c.frames, c.tokens, c.next_time) != (out.frames, out.tokens, out.next_time) for c in contexts
        ):
            raise InputError("only contexts of equal length make a batch")
        for other in contexts[1:]:
            out = out._merged(other, lambda a, b: torch.cat((a, b)))
        scene: dict[str, Any] = {}
        for name in SCENE:
            parts = [getattr(c, name) for c in contexts]
            scene[name] = None if any(p is None for p in parts) else torch.cat(parts)
        return replace(out, **scene)

    def detach(self) -> Context:
        """Without gradients."""
        return self._scene(torch.Tensor.detach)._each(torch.Tensor.detach)

    def _scene(self, change: Callable[[Tensor], Tensor]) -> Context:
        scene: dict[str, Any] = {name: getattr(self, name) for name in SCENE}
        scene = {name: x if x is None else change(x) for name, x in scene.items()}
        return replace(self, **scene)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Context:
        rays = None if self.ray_keys is None else change(self.ray_keys)
        keys, values = tuple(map(change, self.keys)), tuple(map(change, self.values))
        return replace(self, keys=keys, values=values, ray_keys=rays)

    def _merged(self, other: Context, join: Callable[[Tensor, Tensor], Tensor]) -> Context:
        if (self.ray_keys is None) != (other.ray_keys is None):
            raise InputError("one context was computed with a camera head and the other without")
        rays = None
        if self.ray_keys is not None and other.ray_keys is not None:
            rays = join(self.ray_keys, other.ray_keys)
        keys, values = (
            tuple(map(join, *pair)) for pair in ((self.keys, other.keys), (self.values, other.values))
        )
        return replace(self, keys=keys, values=values, ray_keys=rays)
