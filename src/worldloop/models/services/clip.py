"""A service that generates clips as a world model: plans become prompts, clips become one frame for each action."""

from __future__ import annotations

import hashlib
import io
import re
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from worldloop.actions import TextTranslator
from worldloop.core import InputError, ModelCard, ModelError, Observation, Query, Rollout, Vocabulary
from worldloop.core.numbers import finite
from worldloop.models import mp4
from worldloop.models.services.job import Wish
from worldloop.models.services.reach import Film

SIDE_STEP = 16
"""Sides of a clip are multiples of this where no size is given; most generators want that."""
KEPT = 256
"""Rollouts that are kept when another one of their batch failed."""
NOTES = (
    "Plans are told as text, and the clip's frames are spread evenly over the actions, the first one after the first "
    "action. The picture is stretched to the clip's size and frames are stretched back. Seeds are sent, but the service may "
    "not honour them: the same question may then bring another answer."
)


@dataclass(frozen=True)
class Clip:
    """What is asked of a service for a plan; a result depends on it."""

    size: str = ""
    """`WIDTHxHEIGHT` of the clip in pixels; empty takes the observation's, rounded to multiples of 16."""
    frames_per_action: int = 4
    """The clip has so many frames for each action, and the present one before them."""
    fps: int = 8
    seconds: float = 0.0
    """Length of the clip for services that are told seconds; 0 means frames / fps."""
    prompt: str = "{motion}"
    """The text; `{motion}` stands for the plan in words."""
    style: str = "sentences"
    """How a plan is put into words: `sentences` or `sequence`."""

    def __post_init__(self) -> None:
        for name, low, high in (("frames_per_action", 1, 100), ("fps", 1, 240), ("seconds", 0, 600)):
            value = getattr(self, name)
            if not finite(value) or not low <= value <= high or (name != "seconds" and value != int(value)):
                raise InputError(f"video service: {name} lies in {low} to {high}, got {value!r}")
        if self.size and not re.fullmatch(r"[1-9]\d{1,3}x[1-9]\d{1,3}", self.size):
            raise InputError(f"video service: size looks like 832x480, not {self.size!r}")
        if not isinstance(self.prompt, str) or "{motion}" not in self.prompt:
            raise InputError("video service: the prompt has {motion} where the plan's words go")
        TextTranslator(style=self.style)

    def wish(self, query: Query) -> Wish:
        """What to ask for a query. InputError for a plan that cannot be told in words."""
        motion = TextTranslator(query.plan.vocabulary, self.style).encode(query.plan).value
        rgb, frames = query.history[-1].rgb, self.frames_per_action * len(query.plan) + 1
        if self.size:
            width, height = map(int, self.size.split("x"))
        else:
            height, width = (max(SIDE_STEP, SIDE_STEP * round(n / SIDE_STEP)) for n in rgb.shape[:2])
        picture = Image.fromarray(np.ascontiguousarray(rgb))
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        picture.save(file, "PNG")
        return Wish(
            self.prompt.replace("{motion}", motion),
            file.getvalue(),
            query.seed % 2**31,
            frames,
            self.fps,
            self.seconds or frames / self.fps,
            width,
            height,
        )


def spread(count: int, length: int) -> list[int]:
    """Numbers of the frames that stand for `length` actions in a clip of `count`, whose first frame is the present."""
    return [round((i + 1) * (count - 1) / length) for i in range(length)]


class ClipModel(ABC):
    """Base of world models that ask a service for clips."""

    max_batch = 64

    def __init__(self, card: ModelCard, clip: Clip, lanes: int) -> None:
        mp4.load_av()
        self.card, self.clip, self.lanes = card, clip, lanes
        self._pool = ThreadPoolExecutor(lanes, thread_name_prefix="worldloop-clips")
        self._kept: OrderedDict[bytes, Rollout] = OrderedDict()

    @abstractmethod
    def generate(self, wish: Wish) -> Film:
        """The clip that the service makes."""

    def refuses(self, vocabulary: Vocabulary) -> str | None:
        """Why it cannot answer plans of this vocabulary, as a sentence; None if it can."""
        if vocabulary.discrete:
            return None
        return f"model {self.card.name!r} is told plans in words, and {vocabulary.name!r} has numbers"

    def simulate(self, queries: Sequence[Query]) -> list[Rollout]:
        """One rollout per query, in order. ModelError when the service refuses or fails, ServerError when it brings nothing.

        When one of several fails, the others are kept: asked again, they are not generated (and paid for) again.
        """
        for query in queries:
            if (reason := self.refuses(query.plan.vocabulary)) is not None:
                raise ModelError(reason)
        wishes = [self.clip.wish(q) for q in queries]
        asked = [self._pool.submit(self._rollout, q, w) for q, w in zip(queries, wishes)]
        done = [(future, future.exception()) for future in asked]
        first = next((error for _, error in done if error is not None), None)
        if first is None:
            return [future.result() for future in asked]
        for query, wish, (future, error) in zip(queries, wishes, done):
            if error is None:
                self._kept[_key(query, wish)] = future.result()
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        raise first

    def _rollout(self, query: Query, wish: Wish) -> Rollout:
        kept = self._kept.pop(_key(query, wish), None)
        if kept is not None:
            return replace(kept, seconds=0.0)
        started = time.perf_counter()
        data, count = self.generate(wish)
        now, length = query.history[-1], len(query.plan)
        if count < 2:
            raise ModelError(f"model {self.card.name!r}: the service gave a single picture, not a clip")
        try:
            pictures = mp4.pick(data, spread(count, length), now.rgb.shape[:2])  # type: ignore[arg-type]
        except mp4.VideoError as error:
            raise ModelError(f"model {self.card.name!r}: the clip cannot be used: {error}") from None
        frames = tuple(Observation(p, hfov_deg=now.hfov_deg) for p in pictures)
        return Rollout(frames, seconds=time.perf_counter() - started)


def _key(query: Query, wish: Wish) -> bytes:
    told: tuple[Any, ...] = (wish.prompt, wish.seed, wish.width, wish.height, query.history[-1].rgb.shape)
    return hashlib.blake2b(repr(told).encode() + wish.picture, digest_size=16).digest()
