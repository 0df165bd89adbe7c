"""A stand-in for the module `habitat_sim`: one bare room, drawn by casting rays, behind the documented interface.

What is called differently from the real module fails: specifications refuse unknown fields, states refuse rotations that
are not of unit length, and pictures are drawn into memory that is used again.
"""

from __future__ import annotations

import enum
import importlib.machinery
import math
import types
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

LOW, HIGH = np.array([-3.0, 0.0, -4.0]), np.array([3.0, 2.6, 2.0])
"""The room, in Habitat's frame (y up)."""
COLOURS = np.array(
    [[200, 30, 30], [30, 200, 30], [90, 60, 30], [240, 240, 240], [30, 30, 200], [200, 200, 30]], np.uint8
)
"""Of the walls at low x, high x, the floor, the ceiling, and the walls at low z and high z."""


PICTURES = {
    5: ("picture", (-1.5, 1.0, -4.0), (-0.5, 2.0, -4.0)),
    12: ("chair", (-3.0, 0.3, -2.0), (-3.0, 1.3, -0.8)),
    20: ("lighting", (-0.5, 2.6, -3.5), (0.5, 2.6, -2.5)),
    31: ("wall", (-3.0, 0.0, -4.0), (-3.0, 2.6, -2.5)),
    33: (None, (-0.3, 0.5, -4.0), (0.5, 0.9, -4.0)),
}
"""Instance number -> category and opposite corners of what is painted on the walls, in Habitat's frame."""
ANNOTATED = ("room", "other")
"""Scenes with annotations; those of `other` are as old versions have them, without `semantic_id`."""


class SensorType(enum.Enum):
    COLOR = 1
    DEPTH = 2
    SEMANTIC = 6


class SensorSubType(enum.Enum):
    PINHOLE = 1
    EQUIRECTANGULAR = 2


class CameraSensorSpec:
    __slots__ = (
        "channels", "hfov", "orientation", "position", "resolution", "sensor_subtype", "sensor_type", "uuid",
    )  # fmt: skip

    def __init__(self):
        self.uuid, self.sensor_type, self.sensor_subtype = "", SensorType.COLOR, SensorSubType.PINHOLE
        self.resolution, self.channels, self.hfov = [84, 84], 4, 90.0
        self.position, self.orientation = [0.0, 1.5, 0.0], [0.0, 0.0, 0.0]


class SimulatorConfiguration:
    __slots__ = (
        "allow_sliding", "enable_physics", "gpu_device_id", "random_seed", "scene_dataset_config_file", "scene_id",
    )  # fmt: skip

    def __init__(self):
        self.scene_id, self.enable_physics, self.allow_sliding = "", False, True
        self.scene_dataset_config_file = "default"


@dataclass
class ActuationSpec:
    amount: float
    constraint: float | None = None


@dataclass
class ActionSpec:
    name: str
    actuation: ActuationSpec | None = None


@dataclass(slots=True)
class AgentConfiguration:
    height: float = 1.5
    radius: float = 0.1
    sensor_specifications: list = field(default_factory=list)
    action_space: dict = field(default_factory=dict)
    body_type: str = "cylinder"


@dataclass
class Quaternion:
    w: float
    x: float
    y: float
    z: float


@dataclass(slots=True)
class AgentState:
    position: np.ndarray = field(default_factory=lambda: np.zeros(3))
    rotation: object = field(default_factory=lambda: Quaternion(1, 0, 0, 0))
    sensor_states: dict = field(default_factory=dict)


class Agent:
    def __init__(self, config):
        self.agent_config = config
        self.position, self.turn = np.zeros(3), Rotation.identity()

    def set_state(self, state, reset_sensors=True, infer_sensor_states=True, is_initial=False):
        coefficients = np.asarray(state.rotation, float)  # a list is x, y, z, w
        assert coefficients.shape == (4,) and math.isclose(np.linalg.norm(coefficients), 1, rel_tol=1e-4)
        assert np.isfinite(state.position).all() and np.shape(state.position) == (3,)
        self.position, self.turn = np.array(state.position, float), Rotation.from_quat(coefficients)

    def get_state(self):
        x, y, z, w = self.turn.as_quat()
        return AgentState(self.position.copy(), Quaternion(w, x, y, z))

    def act(self, action, pathfinder):
        spec = self.agent_config.action_space[action]
        if spec.name == "move_forward":
            wanted = self.position + self.turn.apply([0, 0, -spec.actuation.amount])
            came = pathfinder.try_step(self.position, wanted)
            short = np.sum((came - self.position) ** 2) + 1e-5 < np.sum((wanted - self.position) ** 2)
            self.position = came
            return bool(short)
        sign = {"turn_left": 1, "turn_right": -1}[spec.name]
        self.turn = self.turn * Rotation.from_euler("y", sign * spec.actuation.amount, degrees=True)
        return False


class ShortestPath:
    __slots__ = ("geodesic_distance", "points", "requested_end", "requested_start")


class PathFinder:
    is_loaded = True

    def __init__(self, radius):
        self.low, self.high = LOW + radius, HIGH - radius
        self.low[1] = self.high[1] = 0.0

    def is_navigable(self, point, max_y_delta=0.5):
        point = np.asarray(point, float)
        inside = (point[[0, 2]] >= self.low[[0, 2]]).all() and (point[[0, 2]] <= self.high[[0, 2]]).all()
        return bool(inside and abs(point[1]) <= max_y_delta)

    def try_step(self, start, end):
        return np.clip(end, self.low, self.high)

    def find_path(self, path):
        ends = [np.asarray(p, float) for p in (path.requested_start, path.requested_end)]
        if not all(map(self.is_navigable, ends)):
            path.geodesic_distance = math.inf
            return False
        path.geodesic_distance = float(np.linalg.norm(ends[1] - ends[0]))
        return True


@dataclass
class Configuration:
    sim_cfg: SimulatorConfiguration
    agents: list


@dataclass
class SemanticCategory:
    text: str

    def name(self, mapping=""):
        return self.text


@dataclass
class OldSemanticObject:
    id: str
    category: SemanticCategory | None


@dataclass
class SemanticObject(OldSemanticObject):
    semantic_id: int


@dataclass
class SemanticScene:
    objects: list


def semantic_scene(name):
    if name not in ANNOTATED:
        return SemanticScene([])
    found = [None]  # as for numbers that MP3D does not use
    for number, (text, *_) in PICTURES.items():
        category = SemanticCategory(text) if text else None
        if name == "other":
            found.append(OldSemanticObject(f"0_1_{number}", category))
        else:
            found.append(SemanticObject(f"{text}_99", category, number))
    return SemanticScene(found)


class Simulator:
    opened: list = []  # noqa: RUF012 (for tests to look at)

    def __init__(self, config):
        assert Path(config.sim_cfg.scene_id).is_file()
        self.config, self.agents = config, [Agent(c) for c in config.agents]
        self.pathfinder = PathFinder(config.agents[0].radius)
        self._buffers = {}
        self._name = Path(config.sim_cfg.scene_id).stem
        self.semantic_scene = semantic_scene(self._name)
        self.closed = False
        Simulator.opened.append(self)

    def get_agent(self, number):
        return self.agents[number]

    def step(self, action, dt=1 / 60):
        collided = self.agents[0].act(action, self.pathfinder)
        return {**self.get_sensor_observations(), "collided": collided}

    def get_sensor_observations(self, agent_ids=0):
        assert not self.closed
        return {s.uuid: self._draw(s) for s in self.config.agents[0].sensor_specifications}

    def close(self, destroy=True):
        self.closed = True

    def _draw(self, spec):
        agent, (height, width) = self.agents[0], spec.resolution
        step = 2 * math.tan(math.radians(spec.hfov) / 2) / width
        x, y = (np.arange(width) + 0.5 - width / 2) * step, (height / 2 - np.arange(height) - 0.5) * step
        rays = np.stack([*np.meshgrid(x, y), -np.ones((height, width))], axis=-1).reshape(-1, 3)
        assert np.count_nonzero(spec.orientation) <= 1, (
            "the order of several turns is not part of this stand-in"
        )
        rays = (agent.turn * Rotation.from_euler("xyz", spec.orientation)).apply(rays)
        eye = agent.position + agent.turn.apply(spec.position)
        with np.errstate(divide="ignore"):
            reach = np.maximum((LOW - eye) / rays, (HIGH - eye) / rays)
        axis = np.argmin(reach, axis=1)
        depth = reach[np.arange(len(rays)), axis]
        if spec.sensor_type is not SensorType.COLOR:
            assert spec.channels == 1
        if spec.sensor_type is SensorType.SEMANTIC:
            spots, found = eye + rays * depth[:, None], np.zeros(len(rays), np.uint32)
            for number, (_, low, high) in PICTURES.items() if self._name in ANNOTATED else ():
                inside = (spots >= np.array(low) - 1e-6) & (spots <= np.array(high) + 1e-6)
                found[inside.all(axis=1)] = number
            picture = found.reshape(height, width)
        elif spec.sensor_type is SensorType.DEPTH:
            picture = depth.reshape(height, width).astype(np.float32)
        else:
            wall = 2 * axis + (rays[np.arange(len(rays)), axis] > 0)
            spots = eye + rays * depth[:, None]
            shade = 0.6 + 0.4 * np.sin(3 * spots).prod(axis=1, keepdims=True) ** 2
            colour = np.rint(COLOURS[wall] * np.minimum(shade, 1)).astype(np.uint8)
            picture = np.concatenate([colour, np.full((len(colour), 1), 255, np.uint8)], axis=1)
            picture = picture.reshape(height, width, 4)
        buffer = self._buffers.setdefault(spec.uuid, np.empty_like(picture))
        buffer[:] = picture
        return buffer


def module() -> types.ModuleType:
    """What `import habitat_sim` would give."""
    made = types.ModuleType("habitat_sim")
    made.__spec__ = importlib.machinery.ModuleSpec("habitat_sim", None)
    for name in ("SensorType", "SensorSubType", "CameraSensorSpec", "SimulatorConfiguration", "Configuration",
                 "Simulator", "ShortestPath"):  # fmt: skip
        setattr(made, name, globals()[name])
    made.agent = types.SimpleNamespace(
        AgentConfiguration=AgentConfiguration, ActionSpec=ActionSpec, ActuationSpec=ActuationSpec,
        AgentState=AgentState,
    )  # fmt: skip
    return made
