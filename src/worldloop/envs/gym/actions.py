"""Action spaces as vocabularies: a Discrete space has named primitives, a bounded Box is a box."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Env, Space, spaces

from worldloop.core import Action, InputError, Primitive, Vocabulary

SUPPORTED = "a Discrete space, or a Box of real numbers with finite bounds"


@dataclass(frozen=True)
class ActionCodec:
    """Between the actions of a vocabulary and those of a Gymnasium environment."""

    vocabulary: Vocabulary
    space: Space[Any]
    own: Callable[[Action], Any] | None = None
    """How the environment itself translates, where its numbers are not those of the vocabulary."""

    def encode(self, action: Action) -> Any:
        """What the environment's `step` takes; InputError for an action of another vocabulary."""
        self.vocabulary.validate(action)
        if self.own is not None:
            return self.own(action)
        if isinstance(self.space, spaces.Discrete):
            return self.space.dtype.type(self.space.start + self.vocabulary.index(action))
        assert isinstance(self.space, spaces.Box)
        values = np.asarray(action.values, self.space.dtype).reshape(self.space.shape)
        return np.clip(values, self.space.low, self.space.high)  # rounding may have left the box by a hair

    def draw(self, rng: np.random.Generator) -> Action:
        """An action drawn evenly."""
        box = self.vocabulary
        if box.discrete:
            return Action(box.primitives[rng.integers(len(box.primitives))].name)
        return Action(box.name, tuple(rng.uniform(box.low, box.high).tolist()))


def codec_of(env: Env[Any, Any], name: str) -> ActionCodec:
    """The codec of an environment called `name`; InputError for an action space that has none.

    An environment may bring a `vocabulary` of its own and a method `encode(action)`.
    """
    space = env.action_space
    if isinstance(own := getattr(env.unwrapped, "vocabulary", None), Vocabulary):
        return ActionCodec(own, space, env.unwrapped.encode)  # type: ignore[attr-defined]
    if isinstance(space, spaces.Discrete):
        found = action_names(env, int(space.n))
        return ActionCodec(Vocabulary(f"gym:{name}", tuple(Primitive(n) for n in found)), space)
    if not isinstance(space, spaces.Box) or space.dtype is None or space.dtype.kind != "f":
        raise InputError(f"{name} takes actions from {space}; what can be proposed is {SUPPORTED}")
    low, high = space.low.ravel().astype(float), space.high.ravel().astype(float)
    if not len(low) or not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise InputError(f"{name} has actions without bounds ({space}); what can be proposed is {SUPPORTED}")
    fields = tuple(f"action_{i}" for i in range(len(low)))
    return ActionCodec(
        Vocabulary(f"gym:{name}", (), fields, tuple(low.tolist()), tuple(high.tolist())), space
    )


def action_names(env: Env[Any, Any], count: int) -> tuple[str, ...]:
    """Names of `count` actions: what the environment calls them, else `action_0`, `action_1`, ...

    It may have a method `get_action_meanings()`, or an enumeration `actions` (MiniGrid does).
    """
    inner = env.unwrapped
    given: list[str] = []
    if callable(meanings := getattr(inner, "get_action_meanings", None)):
        given = [str(m) for m in meanings()]
    elif isinstance(listed := getattr(inner, "actions", None), enum.EnumMeta):
        members: list[enum.Enum] = list(listed)
        if [m.value for m in members] == list(range(count)):
            given = [m.name for m in members]
    # A plan is written with blanks between its actions, a setting with commas.
    names = tuple(re.sub(r"\W+", "_", name.strip().lower()).strip("_") for name in given)
    usable = len(names) == count and len(set(names)) == count and all(names)
    return names if usable else tuple(f"action_{i}" for i in range(count))
