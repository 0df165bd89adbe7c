"""From queries to tensors: checks what is asked and translates plans into the model's control."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldloop.actions import TextTranslator, intended_path
from worldloop.core import Action, Observation, Plan, Query, Vocabulary
from worldloop.core.errors import ModelError, UnaskableError
from worldloop.models.video.backbone import BackboneConfig
from worldloop.models.video.camera import relative
from worldloop.models.video.captions import caption_batch
from worldloop.models.video.checkpoint import VideoSpec
from worldloop.models.video.conditioning import NO_CODE, Condition
from worldloop.models.video.rollout import clip_spans
from worldloop.models.video.vae import FACTOR

HAND = "gripper"
"""The extra of an observation that says where the hand is, in the units of a command."""


@dataclass(frozen=True, eq=False)
class Reached:
    """Where a plan sets out from, as far as the controls of its actions depend on it."""

    pose: tuple[float, float, float] | None = None
    """Of the camera against the present one, in metres and degrees; None is the present itself."""
    command: Tensor | None = None
    """float32 [1,K]: the last command, or where the hand is; None where nobody knows."""


@dataclass(frozen=True, eq=False)
class History:
    """What a model looks back on."""

    key: bytes
    """Equal keys mean equal content."""
    frames: np.ndarray
    """uint8 [N,H,W,3]"""
    panorama: np.ndarray | None
    """uint8 [H,2W,3]"""
    condition: Condition | None
    """Of the N frames, batch 1."""

    @property
    def present(self) -> Reached:
        """Where plans set out from."""
        vectors = None if self.condition is None else self.condition.vectors
        return Reached(command=None if vectors is None else vectors[:, -1])


@dataclass(frozen=True, eq=False)
class Question:
    """A query, checked and translated."""

    history: History
    conditions: tuple[Condition | None, ...]
    """One for each clip of the plan, batch 1."""
    frames: int
    """L."""
    seed: int


class QueryReader:
    """Reads queries for one model; ModelError for whatever that model cannot answer."""

    def __init__(self, spec: VideoSpec, config: BackboneConfig) -> None:
        self.spec, self.config = spec, config
        self.side = config.latent_size * FACTOR

    def read(self, query: Query) -> Question:
        """One query as a question."""
        vocabulary = query.plan.vocabulary
        if (reason := self.refusal(vocabulary)) is not None:
            raise ModelError(reason)
        history = self.history(query.history, query.actions, vocabulary)
        conditions, _ = self.clips(query.plan, history.present)
        return Question(history, conditions, len(query.plan), query.seed)

    def clips(self, plan: Plan, at: Reached) -> tuple[tuple[Condition | None, ...], Reached]:
        """The controls of a plan's clips, batch 1, and where it leads. ModelError for actions that are not known."""
        spans = clip_spans(len(plan), self.config.clip_frames)
        if self.spec.vocabulary is not None:
            return self._commanded(plan, self.spec.vocabulary, spans, at)
        codes = self._codes(plan.actions, plan.vocabulary)
        path = intended_path(plan, *((0.0, 0.0, 0.0) if at.pose is None else at.pose))
        poses, conditions = _radians(path), []
        for start, stop in spans:
            part = Plan(plan.vocabulary, plan.actions[start:stop])
            before = poses[start] if start or at.pose is not None else None
            conditions.append(self._condition(codes[start:stop], poses[start + 1 : stop + 1], part, before))
        x, y, yaw_deg = map(float, path[-1])
        return tuple(conditions), Reached(pose=(x, y, yaw_deg))

    def refusal(self, vocabulary: Vocabulary) -> str | None:
        """Why plans of this vocabulary cannot be answered at all; None if they can."""
        name, box = self.spec.name, self.spec.vocabulary
        if box is not None and vocabulary != box:
            return f"model {name!r} was trained on commands of {spelled(box)}, not of {spelled(vocabulary)}"
        if box is None and not vocabulary.discrete:
            known = ", ".join(self.spec.actions)
            return f"model {name!r} takes named actions ({known}), not commands of {spelled(vocabulary)}"
        return None

    def _commanded(
        self, plan: Plan, box: Vocabulary, spans: Sequence[tuple[int, int]], at: Reached
    ) -> tuple[tuple[Condition | None, ...], Reached]:
        """The same for commands; without vector control a plan counts by its length alone."""
        vectors = normalised(np.array([box.validate(a).values for a in plan.actions]), box)
        clips: list[Condition | None] = []
        before = at.command
        buckets = self.config.conditioning.text_buckets
        # A passive model has learnt from clips with and without captions; this is one without.
        silent = Condition(text=caption_batch([""], buckets)) if buckets else None
        for start, stop in spans:
            part = torch.from_numpy(vectors[None, start:stop])
            clips.append(Condition(vectors=part, before=before) if self.spec.control == "vector" else silent)
            before = part[:, -1]
        return tuple(clips), Reached(command=before)

    def _condition(
        self, codes: Sequence[int], poses: np.ndarray, plan: Plan | None, before: np.ndarray | None = None
    ) -> Condition | None:
        if self.spec.control == "code":
            start = None if before is None else torch.tensor(before, dtype=torch.float32)[None]
            return Condition(codes=torch.tensor([codes]), start=start)
        if self.spec.control == "camera":
            return Condition(poses=torch.tensor(poses, dtype=torch.float32)[None])
        if self.spec.control == "text" and plan is not None:
            caption = TextTranslator(plan.vocabulary).encode(plan).value
            return Condition(text=caption_batch([caption], self.config.conditioning.text_buckets))
        return None

    def _codes(self, actions: Sequence[Action], vocabulary: Vocabulary) -> list[int]:
        known, codes = ", ".join(self.spec.actions), []
        for action in actions:
            if action.name not in self.spec.actions:
                raise UnaskableError(
                    f"model {self.spec.name!r} was not trained on {action.name!r}; known: {known}"
                )
            p, trained = vocabulary.primitive(action), self.spec.actions[action.name]
            if not np.allclose((p.forward, p.left, p.yaw_deg), trained, rtol=0, atol=1e-6):
                raise UnaskableError(
                    f"{action.name!r} moves ({p.forward:g} m, {p.left:g} m, {p.yaw_deg:g} deg) here, but model "
                    f"{self.spec.name!r} was trained with ({', '.join(f'{v:g}' for v in trained)})"
                )
            codes.append(self.spec.code(action.name))
        return codes

    def history(
        self, observations: Sequence[Observation], past: Sequence[Action], vocabulary: Vocabulary
    ) -> History:
        """What was seen and done; of `past`, the actions between the observations, as much as the model reads."""
        if not observations:
            raise ModelError(f"model {self.spec.name!r} needs at least the present observation")
        count = min(self.spec.history, self.config.window, len(observations))
        if self.spec.control in ("code", "camera"):
            # A frame whose way to the present is unknown would only mislead.
            count = min(count, len(past) + 1)
        seen = observations[-count:]
        actions = past[-(count - 1) :] if count > 1 and past else ()
        frames = np.stack([self._frame(o) for o in seen])
        panorama = self._panorama(seen[-1]) if self.config.panorama else None
        condition = None
        if self.spec.control in ("code", "camera"):
            codes = [NO_CODE, *self._codes(actions, vocabulary)]
            condition = self._condition(codes, _relative_past(actions, vocabulary), None)
        elif self.spec.control == "vector":
            hands = normalised(np.stack([self._hand(o) for o in seen]), vocabulary)
            condition = Condition(vectors=torch.from_numpy(hands[None]))
        digest = hashlib.blake2b(repr((frames.shape, [a.name for a in actions])).encode(), digest_size=16)
        for array in (frames, panorama):
            if array is not None:
                digest.update(array.tobytes())
        if condition is not None and condition.vectors is not None:
            digest.update(condition.vectors.numpy().tobytes())
        return History(digest.digest(), frames, panorama, condition)

    def _frame(self, observation: Observation) -> np.ndarray:
        rgb, wanted = np.asarray(observation.rgb), (self.side, self.side, 3)
        if rgb.shape != wanted or rgb.dtype != np.uint8:
            raise ModelError(
                f"model {self.spec.name!r} sees uint8{list(wanted)}, got {rgb.dtype}{list(rgb.shape)}"
            )
        if abs(observation.hfov_deg - self.config.hfov_deg) > 0.5:
            raise ModelError(
                f"model {self.spec.name!r} was trained on {self.config.hfov_deg:g} degrees of view, got "
                f"{observation.hfov_deg:g}"
            )
        return rgb

    def _hand(self, observation: Observation) -> np.ndarray:
        """float64 [K]"""
        hand, box = observation.extra.get(HAND), self.spec.vocabulary
        if hand is None:
            raise ModelError(
                f"model {self.spec.name!r} needs an environment that says where the hand is ({HAND!r})"
            )
        if box is None or np.shape(hand) != (len(box.fields),) or not np.isfinite(hand).all():
            raise ModelError(
                f"{HAND!r} should be one finite number for each of {', '.join(box.fields if box else ())}"
            )
        return np.asarray(hand, float)

    def _panorama(self, now: Observation) -> np.ndarray:
        if now.panorama is None:
            raise ModelError(f"model {self.spec.name!r} needs an environment with a panorama")
        around = np.asarray(now.panorama)
        wanted = (self.side, 2 * self.side, 3)
        times = around.shape[0] // self.side if around.ndim == 3 else 0
        if around.dtype != np.uint8 or not times or around.shape != (times * wanted[0], times * wanted[1], 3):
            raise ModelError(
                f"model {self.spec.name!r} needs a panorama uint8{list(wanted)} or a whole multiple of that "
                f"size, got {around.dtype}{list(around.shape)}"
            )
        if times == 1:
            return around
        cells = around.reshape(wanted[0], times, wanted[1], times, 3)
        return np.rint(cells.mean((1, 3))).astype(np.uint8)


def normalised(commands: np.ndarray, box: Vocabulary) -> np.ndarray:
    """float32 [...,K]: commands [...,K] with -1 for the lowest value of each number and 1 for the highest.

    The hand may be a little outside of where it may be sent; so are its numbers then.
    """
    low, high = np.array(box.low), np.array(box.high)
    return (2 * (np.asarray(commands, float) - low) / (high - low) - 1).astype(np.float32)


def spelled(vocabulary: Vocabulary) -> str:
    """A vocabulary's name, with its actions or the bounds of its numbers."""
    if vocabulary.discrete:
        return f"{vocabulary.name!r} ({', '.join(p.name for p in vocabulary.primitives)})"
    sides = zip(vocabulary.fields, vocabulary.low, vocabulary.high)
    return f"{vocabulary.name!r} ({', '.join(f'{n} {a:g}..{b:g}' for n, a, b in sides)})"


def pictures_to_tensor(pictures: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """uint8 [B,H,W,3] -> float32 [B,3,H,W] in [-1,1], on the device."""
    tensor = torch.from_numpy(np.ascontiguousarray(pictures)).to(device)
    return tensor.permute(0, 3, 1, 2).float().contiguous() / 127.5 - 1.0


def tensor_to_pictures(frames: Tensor) -> np.ndarray:
    """float [B,3,H,W], clipped to [-1,1] -> uint8 [B,H,W,3]."""
    scaled = ((frames.clamp(-1, 1) + 1) * 127.5).round().to("cpu", torch.uint8)
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).numpy())


def _radians(path: np.ndarray) -> np.ndarray:
    return path * (1.0, 1.0, math.pi / 180)


def _relative_past(actions: Sequence[Action], vocabulary: Vocabulary) -> np.ndarray:
    """Poses float64 [N,3] (m, m, rad) of the frames between actions, against the last of them."""
    if not actions:
        return np.zeros((1, 3))
    path = _radians(intended_path(Plan(vocabulary, tuple(actions))))
    return relative(torch.from_numpy(path)[None])[0].numpy()
