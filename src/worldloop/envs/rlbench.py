"""RLBench as a Gymnasium environment: one task and variation, commanded by absolute poses of the hand.

RLBench's planner takes 8 numbers: x, y, z, a quaternion (x, y, z, w) and the gripper (1 open). A plan here is made of
`gripper` commands, whose roll, pitch and yaw are turns from the hand straight down; they are carried over exactly.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import gymnasium as gym
import numpy as np
from scipy.spatial.transform import Rotation

from worldloop.actions.gripper import gripper_vocabulary
from worldloop.core import Action, InputError

INSTALL = "CoppeliaSim 4.1, PyRep and RLBench from source (github.com/stepjam/RLBench)"
DOWN = Rotation.from_euler("x", 180, degrees=True)
"""The hand straight down."""
LOWER, UPPER = (-0.1, -0.45, 0.76), (0.6, 0.45, 1.5)
"""Where the hand is sent, metres: above RLBench's table, whose top is at 0.75."""


class RLBenchEnv(gym.Env[dict[str, np.ndarray], np.ndarray]):
    """One variation of one task of RLBench. A reset's seed decides where things lie.

    Reward: RLBench's, 1 for success. Info: `success`, `reachable` (False for a pose the planner found no way to: the
    command is spent, nothing moves) and, at a reset, `goal`. Pictures come from the front camera.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 (gymnasium's interface)
    vocabulary = gripper_vocabulary(LOWER, UPPER)

    def __init__(
        self, task: str = "reach_target", variation: int = 0, render_mode: str | None = "rgb_array"
    ) -> None:
        """task: RLBench's name of it, such as `reach_target`. InputError without RLBench, and for an unknown task."""
        self.render_mode = render_mode
        if importlib.util.find_spec("rlbench") is None:
            raise InputError(f"RLBench is not installed: {INSTALL}")
        modes = importlib.import_module("rlbench.action_modes.action_mode")
        arm = importlib.import_module("rlbench.action_modes.arm_action_modes")
        hand = importlib.import_module("rlbench.action_modes.gripper_action_modes")
        self._invalid: type[Exception] = importlib.import_module(
            "rlbench.backend.exceptions"
        ).InvalidActionError
        config = importlib.import_module("rlbench.observation_config").ObservationConfig()
        config.set_all(False)
        config.front_camera.rgb = True
        mode = modes.MoveArmThenGripper(arm.EndEffectorPoseViaPlanning(), hand.Discrete())
        kind = _task_class(task)
        self._bench = importlib.import_module("rlbench.environment").Environment(
            mode, obs_config=config, headless=True
        )
        self._bench.launch()
        self._task = self._bench.get_task(kind)
        if not 0 <= variation < self._task.variation_count():
            self._bench.shutdown()
            raise InputError(
                f"{task} has variations 0 to {self._task.variation_count() - 1}, not {variation}"
            )
        self._task.set_variation(variation)
        self._rgb = np.zeros((128, 128, 3), np.uint8)
        self.observation_space = gym.spaces.Dict({})  # type: ignore[assignment]
        self.action_space = gym.spaces.Box(-np.inf, np.inf, (8,), np.float32)

    @staticmethod
    def encode(action: Action) -> np.ndarray:
        """RLBench's float64 [8] for a command of `vocabulary`."""
        values = np.array(RLBenchEnv.vocabulary.validate(action).values, float)
        turn = (Rotation.from_euler("xyz", values[3:6], degrees=True) * DOWN).as_quat()
        return np.concatenate([values[:3], turn, [float(values[6] > 0.5)]])

    @staticmethod
    def decode(values: np.ndarray) -> Action:
        """The command of `vocabulary` that RLBench's [8] is; InputError outside its bounds."""
        given = np.asarray(values, float)
        angles = (Rotation.from_quat(given[3:7]) * DOWN.inv()).as_euler("xyz", degrees=True)
        box = RLBenchEnv.vocabulary
        return box.validate(Action(box.name, (*given[:3].tolist(), *angles.tolist(), float(given[7]))))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Lay out the task. RLBench draws from numpy's global generator, which is seeded for it."""
        super().reset(seed=seed)
        np.random.seed(seed)
        words, seen = self._task.reset()
        self._rgb = np.array(seen.front_rgb, np.uint8)
        return {}, {"success": False, "goal": str(words[0])}

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Go to one pose."""
        try:
            seen, reward, over = self._task.step(np.asarray(action, float))
        except self._invalid:
            return {}, 0.0, False, False, {"success": False, "reachable": False}
        self._rgb = np.array(seen.front_rgb, np.uint8)
        return {}, float(reward), bool(over), False, {"success": reward > 0, "reachable": True}

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """The picture last seen, uint8 [H,W,3]."""
        return self._rgb if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Shut the simulator down."""
        self._bench.shutdown()


def _task_class(name: str) -> Any:
    """The class of a task, which stands in a module of its name; InputError when there is none."""
    if not name.isidentifier():
        raise InputError(f"RLBench calls its tasks reach_target and the like, not {name!r}")
    try:
        module = importlib.import_module(f"rlbench.tasks.{name}")
    except ModuleNotFoundError:
        raise InputError(f"RLBench has no task {name!r}") from None
    return getattr(module, "".join(w.capitalize() for w in name.split("_")))
