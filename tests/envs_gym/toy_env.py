"""A Gymnasium environment that misbehaves as told: a ball on a line that is pushed left and right, drawn by numpy."""

from __future__ import annotations

import random
from typing import Any

import gymnasium as gym
import numpy as np

SIZE = 24


class Canvas:
    """Cannot be copied, as a pygame surface cannot."""

    def __init__(self) -> None:
        self.pixels = np.zeros((SIZE, SIZE, 3), np.uint8)

    def __deepcopy__(self, memo: dict) -> Canvas:
        raise TypeError("cannot pickle a canvas")


class Toy(gym.Env):
    """Position in -8..8; the episode ends at an edge, with reward 1 at the right one and -1 at the left one."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (gymnasium's interface)

    def __init__(
        self,
        box: bool = False,
        names: tuple[str, ...] = (),
        fault: str = "",
        told: str = "",
        paid: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        self.render_mode, self.fault, self.told, self.paid = render_mode, fault, told, paid
        self.action_space = gym.spaces.Box(-2.0, 2.0, (1,), np.float32) if box else gym.spaces.Discrete(2)
        if fault == "unbounded":
            self.action_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        if fault == "tuple":
            self.action_space = gym.spaces.MultiDiscrete([2, 2])
        self.observation_space = gym.spaces.Box(-8, 8, (1,), np.float32)
        self.names = names
        self.canvas = Canvas()
        self.resets = 0

    def get_action_meanings(self) -> list[str]:
        return list(self.names)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.resets += 1
        self.x = float(self.np_random.integers(-2, 3))
        if self.fault == "leaky":
            self.x += 0.25 * self.resets
        info: dict[str, Any] = {"goal": "Push the ball to the right."} if self.told else {}
        return np.array([self.x], np.float32), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        push = float(action[0]) if np.ndim(action) else (-1.0, 1.0)[int(action)]
        if self.fault == "random":
            push += random.random()
        if self.fault == "raises":
            raise RuntimeError("the motor is broken")
        self.x = float(np.clip(self.x + push, -8, 8))
        over = abs(self.x) >= 8
        info = {self.told: self.x >= 8} if self.told else {}
        return np.array([self.x], np.float32), float(np.sign(self.x)) * over + self.paid, over, False, info

    def render(self) -> np.ndarray:
        self.canvas.pixels[:] = 0
        column = round((self.x + 8) / 16 * (SIZE - 3))
        self.canvas.pixels[8:16, column : column + 3] = 255
        return self.canvas.pixels.copy()


class Seen(Toy):
    """Has no way to draw itself: its observation has the picture, and one of the goal."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def _pack(self) -> dict[str, Any]:
        here, self.x = self.x, 7.0
        goal = self.render()
        self.x = here
        return {"image": self.render()[:, :, 0], "goal_image": goal, "state": np.array([here])}

    def reset(self, **given: Any) -> tuple[dict, dict]:
        _, info = super().reset(**given)
        return self._pack(), {**info, "mission": "Look like the picture."}

    def step(self, action: Any) -> tuple[dict, float, bool, bool, dict]:
        _, *rest = super().step(action)
        return self._pack(), *rest


class Unseen(Toy):
    """Neither draws itself nor shows a picture."""

    metadata = {"render_modes": []}  # noqa: RUF012


for _name, _class, _more in (
    ("Toy", Toy, {"max_episode_steps": 40}),
    ("ToySolved", Toy, {"max_episode_steps": 40, "reward_threshold": 3.0}),
    ("ToySeen", Seen, {"max_episode_steps": 12}),
    ("ToyUnseen", Unseen, {}),
):
    if f"toys/{_name}-v0" not in gym.registry:
        gym.register(f"toys/{_name}-v0", entry_point=_class, **_more)
