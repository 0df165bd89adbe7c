"""What tasks in houses share: their lists, their world (a house or a scan), and the path a candidate intends."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from worldloop.actions import camera_matrix, intended_path, yaw_of
from worldloop.core import Budgets, Environment, Episode, InputError, Observation, Plan, Resource
from worldloop.envs.habitat.scans import HabitatConfig
from worldloop.envs.habitat.world import HabitatWorld
from worldloop.envs.house.world import HouseWorld
from worldloop.tasks.episodes import load_episodes, parse_episodes, read_json
from worldloop.tasks.scans import open_scans
from worldloop.tasks.world_in_world import import_world_in_world, is_world_in_world

PANORAMA_HEIGHT = 128
"""Rows of the panorama when a model reads it: 0.7 pixels of it for one of the front view's."""


class HouseTask:
    """Base of the tasks that take place in procedural houses, and in scans."""

    name: str
    budgets: Budgets
    version = "1"
    scans: Path | None = None
    """Where the scans are, once a list of episodes in scans was read."""
    scenes: str = ""
    """The folder of the scans, as the task was told."""
    scan_places: tuple[str, ...] = ("start",)
    """What an episode in a scan must say: its `start`, its `goal`."""
    scan_hfov_deg = 90.0
    scan_instances = False
    """Whether boxes are needed in scans, which come from the pixels of things."""
    provides: tuple[str, ...] = (
        *("pose", "collided", "depth", "segmentation"),
        *("panorama", "panorama_depth", "panorama_segmentation"),
    )
    resources: tuple[Resource, ...] = ()

    def episodes(self, split: str) -> list[Episode]:
        """The fixed list of a split, or of a file: worldloop's own, or one of World-In-World.

        InputError for any other, and for World-In-World's scans where they cannot be walked in.
        """
        if not split.endswith(".json"):
            return load_episodes(self.name, split)
        data = read_json(split)
        if not is_world_in_world(data):
            return parse_episodes(data, self.name, split)
        episodes = import_world_in_world(data, split, self.name, self.budgets.budget)
        self.open_scans(episodes)
        return episodes

    def open_scans(self, episodes: list[Episode]) -> None:
        """Make ready for episodes in scans; InputError where Habitat, a scan or the folder is missing."""
        self.scans = open_scans(episodes, self.scenes, self.scan_places)
        shown = {"segmentation"} if self.scan_instances else set()
        # Panoramas show no instances there.
        self.provides = tuple(p for p in self.provides if "segmentation" not in p or p in shown)

    def scan_config(self, needs: Collection[str] = ()) -> HabitatConfig:
        """What is rendered in scans: what is needed, and instances where boxes are."""
        around = any(n.startswith("panorama") for n in needs)
        return HabitatConfig(
            hfov_deg=self.scan_hfov_deg,
            depth=any("depth" in n for n in needs),
            segmentation=self.scan_instances,
            panorama_height=PANORAMA_HEIGHT if around else None,
        )

    def environment(self, needs: Collection[str] = ()) -> HouseWorld | HabitatWorld:
        """A world that renders what is needed and nothing else: a house, or a scan where the list is of scans."""
        if self.scans is not None:
            return HabitatWorld(self.scans, self.scan_config(needs))
        around = any(n.startswith("panorama") for n in needs)
        return HouseWorld(
            panorama_height=PANORAMA_HEIGHT if around else None,
            depth=any("depth" in n for n in needs),
            segmentation=any("segmentation" in n for n in needs),
            scene_cache=12,
        )

    def done(self, environment: Environment, episode: Episode) -> bool:
        """Never: the agent or the budget ends the episode."""
        return False


def house_of(environment: Environment) -> HouseWorld:
    """The environment as a house world; InputError for any other."""
    if not isinstance(environment, HouseWorld):
        raise InputError(f"this task needs a house world, not {type(environment).__name__}")
    return environment


def intended_poses(now: Observation, plan: Plan) -> list[np.ndarray]:
    """The L camera poses [4,4] a plan asks for from the present one, obstacles ignored."""
    assert now.pose is not None
    x, y, height = now.pose[:3, 3]
    path = intended_path(plan, float(x), float(y), yaw_of(now.pose))
    return [camera_matrix(px, py, float(height), yaw) for px, py, yaw in path[1:]]
