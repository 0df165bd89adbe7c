"""Controls of a clip and the heads that read them. Every head starts at zero: attaching it changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from worldloop.core import InputError
from worldloop.models.video.camera import CameraHead
from worldloop.models.video.passage import Passage
from worldloop.models.video.vectors import VectorHead

NO_CODE = 0
"""Action code of a frame whose action is unknown."""


@dataclass(frozen=True)
class ConditioningConfig:
    """Which heads a backbone has."""

    text_buckets: int = 0
    """Size of the hashed vocabulary; 0 for no text head."""
    codes: int = 0
    """Number of action codes without `NO_CODE`; they are 1..codes. 0 for no code head."""
    camera: bool = False
    detail: int = 1
    """Panoramas are enlarged so many times before they are encoded: a view shows them about twice as large."""
    motions: tuple[tuple[float, float, float], ...] = ()
    """How each code is meant to move the camera: ahead m, left m, turn rad. Where they are given, codes go to the
    camera head as well, as the path that they add up to."""
    passage: bool = False
    """Steps that are likely to be blocked do not count in that path; needs motions and a panorama."""
    vectors: int = 0
    """Numbers of a dense command; 0 for no vector head."""
    projection: tuple[tuple[float, ...], ...] = ()
    """Where a command leads in the picture of a camera that stands still: 3 x 4 numbers that take the first three of a
    normalised command, and 1, to its homogeneous column and row, which run over 0..1 within the picture. Empty where
    commands are no places."""

    def __post_init__(self) -> None:
        for name in ("motions", "projection"):
            object.__setattr__(self, name, tuple(tuple(map(float, m)) for m in getattr(self, name)))
        if self.text_buckets == 1 or self.text_buckets < 0 or self.codes < 0 or self.detail < 1:
            raise InputError("conditioning: text_buckets is 0 or >= 2, codes is >= 0, detail is >= 1")
        if self.motions and not (
            self.camera and len(self.motions) == self.codes and all(len(m) == 3 for m in self.motions)
        ):
            raise InputError(
                "conditioning: motions need a camera head, and three numbers for each of the codes"
            )
        if self.passage and not self.motions:
            raise InputError(
                "conditioning: passage tells which motions are free; give the motions of the codes"
            )
        if self.vectors < 0 or (self.projection and self.vectors < 3):
            raise InputError("conditioning: commands that lead to places have at least three numbers")
        if self.projection and [len(row) for row in self.projection] != [4, 4, 4]:
            raise InputError("conditioning: the projection has 3 rows of 4 numbers")


@dataclass(frozen=True, eq=False)
class Condition:
    """Any subset of controls of B clips of T frames."""

    text: Tensor | None = None
    """int64 [B,K], one caption for the clip, see `captions.caption_batch`; 0 is filling."""
    codes: Tensor | None = None
    """int64 [B,T], the action that leads to each frame: 1..codes, or `NO_CODE`."""
    poses: Tensor | None = None
    """float [B,T,3], each frame's pose against the present camera: x ahead (m), y left (m), yaw (rad)."""
    start: Tensor | None = None
    """float [B,3]: the pose that the codes set out from; None is the present camera."""
    vectors: Tensor | None = None
    """float [B,T,K], the command that leads to each frame, each number from -1 (its lowest) to 1; for frames of the
    past, where the hand is."""
    before: Tensor | None = None
    """float [B,K]: the command, or the place of the hand, that the first of the vectors comes after; None where
    nobody knows."""
    keep: Tensor | None = None
    """bool [B]; false replaces all controls of the clip by the learned "dropped" one. None keeps all."""

    def dropped(self, drop: Tensor | None = None) -> Condition:
        """With the clips in `drop` bool [B] (None: all) dropped, for classifier-free guidance."""
        batch, device = self._batch()
        keep = torch.ones(batch, dtype=torch.bool, device=device) if self.keep is None else self.keep
        keep = torch.zeros_like(keep) if drop is None else keep & ~drop
        return replace(self, keep=keep)

    def to(self, device: torch.device | str) -> Condition:
        """On another device."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Condition(**{n: v if v is None else v.to(device) for n, v in values.items()})

    def _batch(self) -> tuple[int, torch.device]:
        for value in (self.text, self.codes, self.poses, self.vectors, self.keep):
            if value is not None:
                return value.shape[0], value.device
        raise InputError("an empty condition has no clips to drop")


def stack(conditions: list[Condition]) -> Condition:
    """Conditions of one kind as one batch; captions are filled up to the longest."""
    out: dict[str, Tensor | None] = {}
    for field in fields(Condition):
        values = [getattr(c, field.name) for c in conditions]
        present = [v for v in values if v is not None]
        if present and len(present) != len(values):
            raise InputError(f"some conditions have {field.name} and some have not")
        if field.name == "text" and present:
            longest = max(v.shape[1] for v in present)
            present = [nn.functional.pad(v, (0, longest - v.shape[1])) for v in present]
        out[field.name] = torch.cat(present) if present else None
    return Condition(**out)


def moved(place: Tensor, step: Tensor) -> Tensor:
    """Places [B,3] after steps [B,3] (ahead m, left m, turn rad); the turn comes first."""
    yaw = place[:, 2] + step[:, 2]
    c, s = yaw.cos(), yaw.sin()
    x, y = c * step[:, 0] - s * step[:, 1], s * step[:, 0] + c * step[:, 1]
    return torch.stack((place[:, 0] + x, place[:, 1] + y, yaw), dim=-1)


class TextHead(nn.Module):
    """A hashed bag-of-phrases embedding, not a language model.

    Each frame of the clip asks the caption's hashes with a learned query of its own, so that one caption can
    tell different frames different things. It knows only words it was trained on.
    """

    LAST = 15
    """Frames from this one on share a query."""

    def __init__(self, buckets: int, width: int, inner: int = 64) -> None:
        super().__init__()
        self.embed = nn.Embedding(buckets, inner)
        self.key = nn.Linear(inner, inner)
        self.frame = nn.Embedding(self.LAST + 1, inner)
        self.out = nn.Linear(inner, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, ids: Tensor, frames: int) -> Tensor:
        """ids int64 [B,K] -> [B,T,W]"""
        words = self.embed(ids)  # [B,K,D]
        asked = self.frame(torch.arange(frames, device=ids.device).clamp(max=self.LAST))  # [T,D]
        scores = asked @ self.key(words).transpose(1, 2) * words.shape[2] ** -0.5  # [B,T,K]
        scores = scores.masked_fill((ids == 0)[:, None], -torch.inf)
        # One more place with score 0 and nothing in it: an empty caption says nothing instead of NaN.
        weights = torch.cat((scores, torch.zeros_like(scores[:, :, :1])), dim=2).softmax(2)[:, :, :-1]
        return self.out(weights @ words)


class Conditioner(nn.Module):
    """All heads of a backbone."""

    motions: Tensor

    def __init__(
        self,
        config: ConditioningConfig,
        width: int,
        camera: CameraHead | None = None,
        passage: Passage | None = None,
        vector: VectorHead | None = None,
    ) -> None:
        """`camera`, `passage` and `vector` are those that the configuration asks for."""
        super().__init__()
        self.config = config
        self.text = TextHead(config.text_buckets, width) if config.text_buckets else None
        self.codes = nn.Embedding(config.codes + 1, width) if config.codes else None
        self.camera = camera
        self.passage = passage
        self.vector = vector
        self.null = nn.Parameter(torch.zeros(width))
        if self.codes is not None:
            nn.init.zeros_(self.codes.weight)
        motions = torch.tensor([(0.0, 0.0, 0.0), *config.motions])
        self.register_buffer("motions", motions, persistent=False)

    def path(self, condition: Condition) -> Tensor | None:
        """Poses [B,T,3] of the frames against the present camera: given, or what the codes add up to; or None."""
        if condition.poses is not None or condition.codes is None or not self.config.motions:
            return condition.poses
        steps, poses = self.motions[condition.codes], []
        place = steps.new_zeros(len(steps), 3) if condition.start is None else condition.start.to(steps)
        for step in steps.unbind(1):
            place = moved(place, step)
            poses.append(place)
        return torch.stack(poses, dim=1)

    def forward(
        self, condition: Condition, batch: int, frames: int, poses: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the controls add to each frame's modulation [B,T,W] and, where any does, to its tokens [B,T,n,W].

        `poses` are those of `path`.
        """
        tokens: Tensor | None = None
        total = self.null.new_zeros(batch, frames, len(self.null))
        if self.text is not None and condition.text is not None:
            total = total + self.text(condition.text, frames)
        if self.codes is not None and condition.codes is not None:
            total = total + self.codes(condition.codes)
        if self.camera is not None and poses is not None:
            total = total + self.camera(poses.to(total))
        if self.vector is not None and condition.vectors is not None:
            told, tokens = self.vector(condition.vectors.to(total), condition.before)
            total = total + told
        if condition.keep is not None:
            total = torch.where(condition.keep[:, None, None], total, self.null)
            if tokens is not None:
                tokens = tokens * condition.keep[:, None, None, None]
        return total, tokens

    def check(self, condition: Condition, batch: int, frames: int) -> None:
        """InputError for controls that no head can read, or of the wrong shape."""
        expected = {
            "text": (batch, None),
            "codes": (batch, frames),
            "poses": (batch, frames, 3),
            "start": (batch, 3),
            "vectors": (batch, frames, self.config.vectors),
            "before": (batch, self.config.vectors),
            "keep": (batch,),
        }
        readers = {
            "text": self.text,
            "codes": self.codes,
            "poses": self.camera,
            "start": self.codes,
            "vectors": self.vector,
            "before": self.vector,
            "keep": self,
        }
        for name, shape in expected.items():
            value = getattr(condition, name)
            if value is None:
                continue
            if readers[name] is None:
                raise InputError(f"this backbone has no head that reads {name}; attach one first")
            if value.ndim != len(shape) or any(s not in (None, g) for s, g in zip(shape, value.shape)):
                raise InputError(f"condition: {name} is {list(value.shape)}, expected {list(shape)}")
        top = self.config.codes
        codes = condition.codes
        # On a GPU the look-up itself reports a bad code; asking here would stop the queue at every step.
        if codes is not None and codes.device.type == "cpu" and not ((codes >= 0) & (codes <= top)).all():
            raise InputError(f"action codes lie between 0 (none) and {top}")
