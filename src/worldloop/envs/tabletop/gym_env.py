"""The table as a Gymnasium environment, `worldloop/Table-v0`."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from worldloop.core import Action, Episode, InputError, Observation
from worldloop.envs import register
from worldloop.envs.tabletop.goals import distance, failed, succeeded
from worldloop.envs.tabletop.layout import load_layout
from worldloop.envs.tabletop.world import TabletopWorld

LAYOUTS = 10_000
"""Layouts of a family that are drawn from."""


class TableEnv(gym.Env[dict[str, np.ndarray], np.ndarray]):
    """A Franka arm that is told in words what to do with the things on a table.

    Actions: float32 [7], each from -1 to 1, the ends of the chosen kind of command: x, y, z, roll, pitch, yaw, and the
    grip (1 open, -1 closed). Observations: `rgb` uint8 [size,size,3], `gripper` float64 [7] (metres, degrees, opening
    0..1), and what is asked for. Reward: 1 when the goal is reached, else 0. Terminates then, and when the goal is out
    of reach for good. Info: `scene`, `goal` (words), `success`, `failure` and `distance` (see the manipulation task).
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 (gymnasium's interface)

    def __init__(
        self,
        scene: str = "tabletop/train/push",
        commands: str = "delta",
        size: int = 128,
        depth: bool = False,
        segmentation: bool = False,
        wrist: bool = False,
        render_mode: str | None = None,
    ) -> None:
        """scene: a layout, such as `tabletop/train/push/0003`, or a family without a number, for another
        layout at every reset.

        commands: `delta` and `absolute` take 0.05 s each, a `waypoint` up to 3 s. wrist: adds `wrist_rgb`, and its depth
        and segmentation where those are asked for. Raises InputError for an unknown scene, command or render mode.
        """
        if render_mode not in (None, "rgb_array"):
            raise InputError(f"render_mode is None or 'rgb_array', not {render_mode!r}")
        self.render_mode = render_mode
        self._scene = scene
        load_layout(self._drawn(0))
        self.world = TabletopWorld(commands, size, depth, segmentation, wrist)
        self._last: Observation | None = None
        image = gym.spaces.Box(0, 255, (size, size, 3), np.uint8)
        spaces: dict[str, gym.Space[Any]] = {
            "rgb": image,
            "gripper": gym.spaces.Box(-np.inf, np.inf, (7,), np.float64),
        }
        if depth:
            spaces["depth"] = gym.spaces.Box(0, np.inf, (size, size), np.float32)
        if segmentation:
            spaces["segmentation"] = gym.spaces.Box(0, np.iinfo(np.int32).max, (size, size), np.int32)
        if wrist:
            spaces |= {f"wrist_{n}": s for n, s in spaces.items() if n != "gripper"}
        self.observation_space = gym.spaces.Dict(spaces)  # type: ignore[assignment]
        self.action_space = gym.spaces.Box(-1.0, 1.0, (7,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Lay the table; the arm is at rest. No options are taken."""
        super().reset(seed=seed)
        if options:
            raise InputError(f"reset takes no options, not {', '.join(sorted(options))}")
        scene = self._drawn(int(self.np_random.integers(LAYOUTS)))
        self._last = self.world.reset(Episode("gym", "manipulation", scene, 0, {}, {}, 0))
        return self._pack(self._last), self._info()

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """One command; see the class for actions and reward. InputError for numbers outside -1 to 1."""
        if not self.action_space.contains(np.asarray(action, np.float32)):
            raise InputError(f"actions are 7 numbers from -1 to 1, got {action!r}")
        box = self.world.vocabulary
        low, high = np.array(box.low), np.array(box.high)
        values = np.clip(low + (np.asarray(action, float) + 1) / 2 * (high - low), low, high)
        self._last = self.world.step(Action(box.name, tuple(values.tolist())))
        info = self._info()
        return self._pack(self._last), float(info["success"]), info["success"] or info["failure"], False, info

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """The picture last seen, uint8 [size,size,3], in render mode `rgb_array`."""
        if self.render_mode is None or self._last is None:
            return None
        return self._last.rgb

    def close(self) -> None:
        """Let go of the state."""
        self.world.close()

    def _drawn(self, number: int) -> str:
        return self._scene if self._scene.count("/") != 2 else f"{self._scene}/{number:04d}"

    def _pack(self, observation: Observation) -> dict[str, np.ndarray]:
        extra = observation.extra
        return {n: extra[n] if n in extra else getattr(observation, n) for n in self.observation_space}  # type: ignore[attr-defined]

    def _info(self) -> dict[str, Any]:
        physics, layout = self.world.physics, self.world.layout
        return {
            "scene": layout.key,
            "goal": layout.text,
            "success": bool(succeeded(physics)),
            "failure": bool(failed(physics)),
            "distance": float(distance(physics)),
        }


# Gymnasium's convention: a module named before the colon of an id registers it when imported.
register()
