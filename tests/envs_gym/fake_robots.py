"""Stand-ins for the modules of LIBERO and RLBench: the documented interfaces over a hand that moves in empty space."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from collections import namedtuple

import numpy as np
from scipy.spatial.transform import Rotation

Task = namedtuple("Task", "name language problem problem_folder bddl_file init_states_file")


def picture(place, size=32):
    """uint8 [size,size,3] with a bright square where the hand is (first row at the top)."""
    rgb = np.zeros((size, size, 3), np.uint8)
    row, column = (int(np.clip(v, 0, size - 4)) for v in (size / 2 - 20 * place[2], size / 2 + 20 * place[1]))
    rgb[row : row + 4, column : column + 4] = 255
    return rgb


class OffScreenRenderEnv:
    """The hand follows a goal that a controller remembers: putting back the state alone does not put it back."""

    def __init__(self, bddl_file_name, camera_heights=128, camera_widths=128, **given):
        assert bddl_file_name.endswith(".bddl") and not given
        self.size = camera_heights
        self.closed, self.ready = False, False
        self.place = self.goal = np.zeros(3)

    def seed(self, seed):
        pass

    def reset(self):
        self.place, self.goal, self.ready = np.zeros(3), np.zeros(3), True
        return self._seen()

    def set_init_state(self, state):
        assert self.ready and state.shape == (4,) and state.dtype == np.float64
        self.place = state[1:].copy()
        return self._seen()

    def step(self, action):
        assert np.shape(action) == (7,) and np.abs(action).max() <= 1
        self.goal = self.place + 0.05 * np.asarray(action)[:3] + 0.1 * (self.goal - self.place)
        self.place = self.place + 0.8 * (self.goal - self.place)
        return self._seen(), float(self.check_success()), self.check_success(), {}

    def check_success(self):
        return bool(self.place[2] > 0.3)

    def close(self):
        self.closed = True

    def _seen(self):
        return {"agentview_image": picture(self.place, self.size)[::-1], "robot0_eef_pos": self.place.copy()}


class Suite:
    n_tasks = 3

    def __init__(self):
        sys.stdout.write("[info] using task orders [0, 1, 2]\n")

    def get_task(self, i):
        return Task(f"lift_{i}", f"lift the hand {i}", "Libero", "made_up", f"lift_{i}.bddl", "")

    def get_task_bddl_file_path(self, i):
        return f"/made/up/lift_{i}.bddl"

    def get_task_init_states(self, i):
        return np.random.default_rng(i).uniform(-0.1, 0.1, (50, 4))


def libero() -> dict[str, types.ModuleType]:
    """What stands in `sys.modules` where LIBERO is installed."""
    top, inner = _module("libero"), _module("libero.libero")
    benchmark, envs = _module("libero.libero.benchmark"), _module("libero.libero.envs")
    benchmark.get_benchmark_dict = lambda: {"libero_spatial": Suite}
    envs.OffScreenRenderEnv = OffScreenRenderEnv
    inner.benchmark, inner.envs, top.libero = benchmark, envs, inner
    return {m.__name__: m for m in (top, inner, benchmark, envs)}


class InvalidActionError(Exception):
    pass


class Camera:
    def __init__(self):
        self.rgb = True


class ObservationConfig:
    def __init__(self):
        self.front_camera = Camera()

    def set_all(self, value):
        self.front_camera.rgb = value


class MoveArmThenGripper:
    def __init__(self, arm_action_mode, gripper_action_mode):
        self.modes = arm_action_mode, gripper_action_mode


class EndEffectorPoseViaPlanning:
    def __init__(self, absolute_mode=True, frame="world", collision_checking=False):
        assert absolute_mode and frame == "world"


class Discrete:
    pass


class ReachTarget:
    pass


class TaskEnvironment:
    def __init__(self, kind):
        assert kind is ReachTarget
        self.variation, self.place, self.started = None, None, False

    def variation_count(self):
        return 2

    def set_variation(self, number):
        self.variation = number

    def reset(self):
        self.started = True
        self.target = np.array([0.3, *np.random.uniform(-0.3, 0.3, 1), 1.0])
        self.place = np.array([0.3, 0.0, 1.2])
        return [f"reach the target {self.variation}", "touch it"], self._seen()

    def step(self, action):
        assert self.started and action.shape == (8,) and action[7] in (0.0, 1.0)
        if not np.isclose(np.linalg.norm(action[3:7]), 1.0) or action[2] < 0.8:
            raise InvalidActionError("no path")
        self.place = action[:3]
        near = bool(np.linalg.norm(self.place - self.target) < 0.2)
        return self._seen(), float(near), near

    def _seen(self):
        return types.SimpleNamespace(front_rgb=picture(self.place - np.array([0.3, 0, 1.0])), wrist_rgb=None)


class Environment:
    def __init__(self, action_mode, obs_config=None, headless=False):
        assert headless and obs_config.front_camera.rgb and isinstance(action_mode, MoveArmThenGripper)
        self.launched = False

    def launch(self):
        self.launched = True

    def get_task(self, kind):
        assert self.launched
        return TaskEnvironment(kind)

    def shutdown(self):
        self.launched = False


def rlbench() -> dict[str, types.ModuleType]:
    """What stands in `sys.modules` where RLBench is installed."""
    parts = {
        "rlbench": {}, "rlbench.action_modes": {}, "rlbench.backend": {}, "rlbench.tasks": {},
        "rlbench.action_modes.action_mode": {"MoveArmThenGripper": MoveArmThenGripper},
        "rlbench.action_modes.arm_action_modes": {"EndEffectorPoseViaPlanning": EndEffectorPoseViaPlanning},
        "rlbench.action_modes.gripper_action_modes": {"Discrete": Discrete},
        "rlbench.backend.exceptions": {"InvalidActionError": InvalidActionError},
        "rlbench.observation_config": {"ObservationConfig": ObservationConfig},
        "rlbench.environment": {"Environment": Environment},
        "rlbench.tasks.reach_target": {"ReachTarget": ReachTarget},
    }  # fmt: skip
    made = {}
    for name, content in parts.items():
        made[name] = _module(name)
        vars(made[name]).update(content)
    return made


def _module(name: str) -> types.ModuleType:
    made = types.ModuleType(name)
    made.__spec__ = importlib.machinery.ModuleSpec(name, None)
    made.__path__ = []
    return made


def turned(wxyz: np.ndarray) -> np.ndarray:
    """Where the hand's axes point, for a quaternion (x, y, z, w)."""
    return Rotation.from_quat(wxyz).as_matrix()
