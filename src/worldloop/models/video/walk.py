"""Imagined walks that are gone on from: what a video model keeps between two steps of a session."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from worldloop.core import Vocabulary
from worldloop.models.video.context import Context
from worldloop.models.video.questions import Reached


@dataclass(frozen=True, eq=False)
class Walk:
    """A state of `VideoModel.begin` and `advance`. Nothing in it is ever changed; walks share what they have in common."""

    vocabulary: Vocabulary
    context: Context
    """Keys and values of what was seen and imagined, as far as the model's window reaches; batch 1."""
    at: Reached
    """Where the actions so far lead, by their meaning."""
    hfov_deg: float
    place: Tensor | None = None
    """[1,3], where they lead in the scene as the model sees it, blocked steps left out; None is the present."""

    @property
    def nbytes(self) -> int:
        """Memory that it holds, in bytes."""
        return self.context.nbytes

    @property
    def shape(self) -> tuple[int, ...]:
        """Walks of equal shape can be gone on from in one batch."""
        context = self.context
        return context.frames, context.tokens, context.next_time, int(self.place is None)
