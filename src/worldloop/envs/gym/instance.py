"""One Gymnasium environment that is reset, stepped and seen; what is told of every moment."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator

from worldloop.core import Action, InputError, MissingExtraError, WorldloopError
from worldloop.envs import register
from worldloop.envs.gym.actions import codec_of
from worldloop.envs.gym.pictures import goal_of, picture_of, reduced

USUAL_STEPS = 500
"""Longest episode of an environment that has no limit of its own."""
SUCCESS = ("success", "is_success")
"""Entries of `info` that tell whether the task is done."""


@dataclass(frozen=True)
class GymConfig:
    """Which environment, and how it is seen."""

    env: str
    """Gymnasium's id, such as `CartPole-v1`; `module:ID` imports the module that registers it first."""
    steps: int | None = None
    """Longest episode; None takes the environment's own limit, or 500 where it has none."""
    size: int = 128
    """Longer side of the pictures, pixels; larger ones are reduced to it. 0 leaves them as they are."""
    make: Mapping[str, Any] = field(default_factory=dict)
    """What else `gymnasium.make` is given."""

    def __post_init__(self) -> None:
        if not isinstance(self.env, str) or not self.env.strip():
            raise InputError("name the environment by its Gymnasium id: gym:env=CartPole-v1")
        if self.steps is not None and not 1 <= self.steps <= 10_000:
            raise InputError(f"{self.env}: steps lie between 1 and 10,000, got {self.steps}")
        if self.size and not 8 <= self.size <= 4096:
            raise InputError(f"{self.env}: size is 0, or 8 to 4,096 pixels, got {self.size}")


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """What a reset or a step brought."""

    rgb: np.ndarray
    """uint8 [H,W,3]."""
    reward: float
    terminated: bool
    over: bool
    """Terminated, truncated, or at the limit of steps."""
    success: bool | None
    """What `info` says of it; None when it says nothing."""
    words: str | None = None
    """The goal, where a reset tells it."""
    goal: np.ndarray | None = None

    def same(self, other: Moment) -> bool:
        """Whether two moments are equal in everything that can be told of them."""
        facts = [(m.reward, m.terminated, m.over, m.success, m.words) for m in (self, other)]
        return facts[0] == facts[1] and np.array_equal(self.rgb, other.rgb)


class Instance:
    """A Gymnasium environment. To be used on the stage only (see `stage`)."""

    def __init__(self, config: GymConfig) -> None:
        """Raises InputError for an environment that is unknown, cannot be made or has unusable actions."""
        self.config = config
        self.env, spec = _make(config)
        own = spec.max_episode_steps
        self.limit = config.steps or own or USUAL_STEPS
        self.shortened = own is not None and self.limit < own
        self.threshold = spec.reward_threshold
        try:
            self.codec = codec_of(self.env, config.env)
        except InputError:
            self.env.close()
            raise
        self._steps, self._last = 0, None

    def reset(self, seed: int) -> Moment:
        """Begin the episode of a seed."""
        observation, info = self.env.reset(seed=seed)
        self._steps = 0
        words, goal = goal_of(observation, info)
        goal = None if goal is None else reduced(goal, self.config.size)
        return Moment(self._seen(observation), 0.0, False, False, _told(info), words, goal)

    def step(self, action: Action, draw: bool = True) -> Moment:
        """Carry out one action; without drawing, the moment's picture is empty."""
        observation, reward, terminated, truncated, info = self.env.step(self.codec.encode(action))
        self._steps += 1
        rgb = self._seen(observation) if draw else np.zeros((0, 0, 3), np.uint8)
        over = bool(terminated or truncated or self._steps >= self.limit)
        return Moment(rgb, float(reward), bool(terminated), over, _told(info))

    def copied(self, shared: tuple[str, ...]) -> Instance:
        """A deep copy that shares the named attributes of the innermost environment."""
        inner = self.env.unwrapped
        other = copy.copy(self)
        # What is in the memo under its id counts as copied already.
        memo: dict[int, Any] = {id(getattr(inner, n)): getattr(inner, n) for n in shared if hasattr(inner, n)}
        layers = [self.env]
        while isinstance(layers[-1], gymnasium.Wrapper):
            layers.append(layers[-1].env)
        for layer in reversed(layers):
            # Not by deepcopy itself: many environments (EzPickle) would be made anew, at the start, and called a copy.
            twin = object.__new__(type(layer))
            memo[id(layer)] = twin
            vars(twin).update(copy.deepcopy(vars(layer), memo))
        other.env = twin
        return other

    def uncopyable(self) -> tuple[str, ...]:
        """Attributes of the innermost environment that no deep copy can be made of, such as a canvas."""
        found = []
        for name, value in vars(self.env.unwrapped).items():
            try:
                copy.deepcopy(value)
            except Exception:  # noqa: BLE001 - whatever a foreign class raises, it cannot be copied
                found.append(name)
        return tuple(found)

    def close(self) -> None:
        """Let go of the environment."""
        self.env.close()

    def _seen(self, observation: Any) -> np.ndarray:
        try:
            return reduced(picture_of(self.env, observation, self.config.env), self.config.size)
        except gymnasium.error.DependencyNotInstalled as error:
            raise _lacking(self.config.env, error) from None


def gl_hint() -> str:
    """What to try when an environment on MuJoCo fails for want of a display; empty where that cannot be it."""
    if "mujoco" not in sys.modules or "MUJOCO_GL" in os.environ or _display():
        return ""
    return " (without a display, MuJoCo draws with MUJOCO_GL=egl or MUJOCO_GL=osmesa before the command)"


def _display() -> bool:
    return any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY"))


def _told(info: Mapping[str, Any]) -> bool | None:
    return next((bool(info[n]) for n in SUCCESS if n in info), None)


def _make(config: GymConfig) -> tuple[gymnasium.Env[Any, Any], EnvSpec]:
    register()
    if not _display():
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # or pygame complains that there is no screen
    module, _, name = config.env.rpartition(":")
    if module:
        _import(module, config.env)
    try:
        spec = gymnasium.spec(name)
        creator = (
            load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
        )
        modes = getattr(creator, "metadata", {}).get("render_modes")
        # A function that makes environments does not say what they can draw: it is asked to.
        drawn = {"render_mode": "rgb_array"} if modes is None or "rgb_array" in modes else {}
        # The limit of steps is kept by us, so that a copy has it too.
        given = {**drawn, **config.make}
        return gymnasium.make(spec, max_episode_steps=-1, disable_env_checker=True, **given), spec
    except WorldloopError:
        raise
    except gymnasium.error.DependencyNotInstalled as error:
        raise _lacking(config.env, error) from None
    except gymnasium.error.Error as error:
        raise InputError(f"Gymnasium has no environment {config.env!r} to offer: {error}") from None
    except Exception as error:  # a foreign constructor may raise anything
        settings = ", ".join(config.make) or "no settings"
        raise InputError(
            f"{config.env} cannot be made with {settings}: {type(error).__name__}: {error}{gl_hint()}"
        ) from error


def _import(module: str, env: str) -> None:
    here = str(Path.cwd())
    if here not in sys.path:  # an environment of one's own, in the folder one stands in
        sys.path.append(here)
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"{env!r} names the module {module!r}, which cannot be imported: {error}") from error


def _lacking(env: str, error: Exception) -> Exception:
    if importlib.util.find_spec("pygame") is None:
        return MissingExtraError(f"drawing {env}", "gym")
    return InputError(f"{env} lacks a package: {error}")
