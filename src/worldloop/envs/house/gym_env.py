"""The house as a Gymnasium environment, `worldloop/House-v0`."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np

from worldloop.core import Episode, InputError, Observation
from worldloop.envs import register
from worldloop.envs.house.scenes import load_scene
from worldloop.envs.house.world import HouseWorld

_PATCH = 0.5
"""Side in metres of the floor patches whose discovery is rewarded."""


class HouseEnv(gym.Env[dict[str, np.ndarray], np.int64]):
    """Explore a furnished house.

    Actions: 0 move_forward (0.2 m), 1 turn_left, 2 turn_right (22.5 degrees), 3 stop (terminates).
    Reward: square metres of floor entered for the first time, in patches of 0.5 m.
    Info: `position`, `yaw_deg` and `collided`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (gymnasium's interface)

    def __init__(
        self,
        scene: str = "house/train/A/0000",
        size: int = 128,
        hfov_deg: float = 90.0,
        panorama_height: int | None = None,
        render_mode: str | None = None,
        **world_settings: Any,
    ) -> None:
        """scene: a scene id or a path to a .glb, .gltf, .obj or MJCF .xml file.

        size: side of the picture. panorama_height: rows of the panorama, None for none. Further settings are
        those of `HouseWorld`. Raises InputError for an unknown scene or render mode.
        """
        if render_mode not in (None, "rgb_array"):
            raise InputError(f"render_mode is None or 'rgb_array', not {render_mode!r}")
        self.render_mode = render_mode
        self._scene = scene
        self.world = HouseWorld(size, hfov_deg, panorama_height, **world_settings)
        self._visited: set[tuple[int, int]] = set()
        self._last: Observation | None = None
        camera = self.world.camera
        spaces: dict[str, gym.Space[Any]] = {
            "rgb": gym.spaces.Box(0, 255, (size, size, 3), np.uint8),
            "pose": gym.spaces.Box(-np.inf, np.inf, (4, 4), np.float64),
        }
        if camera.depth:
            spaces["depth"] = gym.spaces.Box(0, np.inf, (size, size), np.float32)
        if camera.segmentation:
            spaces["segmentation"] = gym.spaces.Box(0, np.iinfo(np.int32).max, (size, size), np.int32)
        if panorama_height is not None:
            spaces["panorama"] = gym.spaces.Box(0, 255, (panorama_height, 2 * panorama_height, 3), np.uint8)
        self._fields = tuple(spaces)
        self.observation_space = gym.spaces.Dict(spaces)  # type: ignore[assignment]
        self.action_space = gym.spaces.Discrete(len(self.world.vocabulary.primitives))

    def get_action_meanings(self) -> list[str]:
        """Names of the actions, in their order."""
        return [p.name for p in self.world.vocabulary.primitives]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Start at a random free point, or at options `position` [x, y] and `yaw_deg`."""
        super().reset(seed=seed)
        options = options or {}
        unknown = set(options) - {"position", "yaw_deg"}
        if unknown:
            raise InputError(
                f"reset takes the options position and yaw_deg, not {', '.join(sorted(unknown))}"
            )
        nav = load_scene(self._scene, self.world.cache_dir).nav
        # Both draws are made in any case, so that giving one option does not change the other's value.
        drawn = nav.random_free_point(self.np_random), 22.5 * int(self.np_random.integers(16))
        start = {"position": options.get("position", drawn[0]), "yaw_deg": options.get("yaw_deg", drawn[1])}
        episode = Episode("gym", "explore", self._scene, 0, start, {}, 0)
        self._last = self.world.reset(episode)
        self._visited = {self._patch()}
        return self._pack(self._last), self._info()

    def step(self, action: np.int64) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """One primitive; see the class for actions and reward."""
        if not self.action_space.contains(action):
            raise InputError(f"actions are 0..{len(self.world.vocabulary.primitives) - 1}, got {action!r}")
        primitive = self.world.vocabulary.primitives[int(action)]
        self._last = self.world.step(primitive.name)
        patch = self._patch()
        reward = 0.0 if patch in self._visited else _PATCH**2
        self._visited.add(patch)
        return self._pack(self._last), reward, primitive.stops, False, self._info()

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """The picture last seen, uint8 [size,size,3], in render mode `rgb_array`."""
        if self.render_mode is None or self._last is None:
            return None
        return self._last.rgb

    def close(self) -> None:
        """Let go of the scene."""
        self.world.close()

    def _patch(self) -> tuple[int, int]:
        x, y = self.world.position
        return math.floor(x / _PATCH), math.floor(y / _PATCH)

    def _pack(self, observation: Observation) -> dict[str, np.ndarray]:
        return {name: getattr(observation, name) for name in self._fields}

    def _info(self) -> dict[str, Any]:
        place = self.world.place
        collided = self._last is not None and bool(self._last.extra["collided"])
        return {"position": (place.x, place.y), "yaw_deg": place.yaw_deg, "collided": collided}


# Gymnasium's convention: a module named before the colon of an id registers it when imported.
register()
