"""Habitat's simulators, one for each scene and kind of camera, opened when needed. For the stage only."""

from __future__ import annotations

import importlib.util
import math
import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldloop.actions import NAVIGATION
from worldloop.core import InputError
from worldloop.envs.habitat.geometry import FACES

INSTALL = (
    "conda install habitat-sim withbullet headless -c conda-forge -c aihabitat, or, for a Python that conda has no "
    "build for, from source (github.com/facebookresearch/habitat-sim)"
)
KEPT = 2
"""Scenes open at once; a scan takes a gigabyte or more."""


@dataclass(frozen=True)
class HabitatConfig:
    """What is seen at every step."""

    size: int = 128
    """Side of `rgb`, pixels."""
    hfov_deg: float = 90.0
    pitch_deg: float = 0.0
    """Tilt of the camera, positive upwards; panoramas are level."""
    height: float = 1.5
    """Metres of the camera above the floor, as tall as the agent."""
    radius: float = 0.1
    """Metres around the agent that keep free of walls."""
    depth: bool = False
    segmentation: bool = False
    """Whether the pixels of `rgb` tell which thing they show; all zero in a scan without annotations."""
    panorama_height: int | None = None
    """Rows of the panorama; None renders none."""


def available() -> bool:
    """Whether Habitat-Sim can be imported."""
    return importlib.util.find_spec("habitat_sim") is not None


class Scans:
    """The simulators of a process."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[Path, HabitatConfig], Any] = OrderedDict()

    def get(self, path: Path, config: HabitatConfig) -> Any:
        """The `habitat_sim.Simulator` of a scene; InputError when it cannot be opened."""
        key = (path, config)
        if key not in self._open:
            while len(self._open) >= KEPT:
                self._open.popitem(last=False)[1].close()
            self._open[key] = _opened(path, config)
        self._open.move_to_end(key)
        return self._open[key]

    def close(self) -> None:
        """Close all."""
        while self._open:
            self._open.popitem()[1].close()


SCANS = Scans()
_ENDINGS = {"COLOR": "", "DEPTH": "_depth", "SEMANTIC": "_segmentation"}
_ABOVE = 4
"""Folders above a scene in which its data set may be described."""


def instances(path: Path, config: HabitatConfig) -> dict[int, str]:
    """Instance number -> category (empty where there is none) of what is annotated in a scene. For the stage only."""
    found = {}
    for thing in SCANS.get(path, config).semantic_scene.objects:
        if thing is not None and (number := _instance(thing)) is not None:
            found[number] = thing.category.name() if thing.category is not None else ""
    return found


def last_number(text: str) -> int | None:
    """The whole number at the end of the text's last part ("0_1_5" ends in 5); None where there is none."""
    end = re.search(r"(\d+)\s*$", text)
    return int(end[1]) if end else None


def _instance(thing: Any) -> int | None:
    number = getattr(thing, "semantic_id", None)
    return last_number(str(thing.id)) if number is None else int(number)


def _dataset(path: Path) -> Path | None:
    """The description of a scene's data set, the nearest above it; without it Habitat finds no annotations of HM3D."""
    for folder in list(path.absolute().parents)[:_ABOVE]:
        if found := sorted(folder.glob("*.scene_dataset_config.json")):
            # Of two, the one without annotations is there for pictures alone.
            return next((f for f in found if "annotated" in f.name), found[0])
    return None


def _opened(path: Path, config: HabitatConfig) -> Any:
    if not available():
        raise InputError(f"{path.name} is walked in with Habitat-Sim, which is not installed: {INSTALL}")
    import habitat_sim

    if not path.is_file():
        raise InputError(f"there is no scene {path}")
    backend = habitat_sim.SimulatorConfiguration()
    backend.scene_id = str(path)
    backend.enable_physics = False
    if config.segmentation and (dataset := _dataset(path)) is not None:
        backend.scene_dataset_config_file = str(dataset)
    agent = habitat_sim.agent.AgentConfiguration()
    agent.height, agent.radius = config.height, config.radius
    agent.sensor_specifications = _sensors(habitat_sim, config)
    agent.action_space = {
        p.name: habitat_sim.agent.ActionSpec(
            p.name, habitat_sim.agent.ActuationSpec(amount=p.forward or abs(p.yaw_deg))
        )
        for p in NAVIGATION.primitives
        if not p.stops
    }
    sim = habitat_sim.Simulator(habitat_sim.Configuration(backend, [agent]))
    if not sim.pathfinder.is_loaded:
        sim.close()
        raise InputError(
            f"{path} has no navmesh and none could be made: nobody knows where one can walk there"
        )
    return sim


def _sensors(habitat_sim: Any, config: HabitatConfig) -> list[Any]:
    """A camera for `rgb`, and one for each face of a cube where a panorama is wanted; their depths besides, and which
    things `rgb` shows.

    Habitat has an equirectangular sensor, but which way it unrolls the sphere differs between versions.
    """
    views = {"rgb": (config.size, config.hfov_deg, (math.radians(config.pitch_deg), 0.0, 0.0))}
    if config.panorama_height is not None:
        views |= {f"panorama_{n}": (config.panorama_height, 90.0, turn) for n, turn in FACES.items()}
    kinds = ["COLOR", "DEPTH"] if config.depth else ["COLOR"]
    found = []
    for name, (size, hfov, turn) in views.items():
        for kind in [*kinds, "SEMANTIC"] if name == "rgb" and config.segmentation else kinds:
            spec = habitat_sim.CameraSensorSpec()
            spec.uuid = name + _ENDINGS[kind]
            spec.sensor_type = getattr(habitat_sim.SensorType, kind)
            spec.sensor_subtype = habitat_sim.SensorSubType.PINHOLE
            if kind != "COLOR":
                spec.channels = 1
            spec.resolution = [size, size]
            spec.hfov = hfov
            spec.position = [0.0, config.height, 0.0]
            spec.orientation = list(turn)
            found.append(spec)
    return found
