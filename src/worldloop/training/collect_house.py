"""Walks through houses as episodes of a dataset. A frame is one step of the walk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from worldloop.actions.navigation import NAVIGATION
from worldloop.core import derive_seed
from worldloop.envs.house.render import camera_pose
from worldloop.envs.house.scenes import load_scene
from worldloop.envs.house.world import Camera, observe
from worldloop.training.collect_config import CollectConfig, Shard
from worldloop.training.collect_policies import draw_walk
from worldloop.training.dataset.layout import EpisodeData, millimetres


def house_episodes(config: CollectConfig, shard: Shard) -> Iterator[EpisodeData]:
    """The walks of a shard, which are all in one scene."""
    scene = shard.scenes[0]
    loaded = load_scene(scene)
    camera = Camera(
        config.size,
        panorama_height=config.panorama_height,
        depth=config.depth,
        segmentation=False,
        hfov_deg=config.spec.hfov_deg,
        height=config.spec.camera_height,
    )
    for number, frames in zip(shard.numbers, shard.lengths):
        seed = derive_seed("collect", config.seed, scene, number)
        walk = draw_walk(loaded, config.policy, frames, np.random.default_rng(seed))
        poses = [camera_pose(p.x, p.y, p.yaw_deg, camera.height) for p in walk.places]
        seen = [observe(loaded, camera, pose) for pose in poses]
        yield EpisodeData(
            frames=np.stack([o.rgb for o in seen]),
            poses=np.stack(poses),
            states=np.array([(p.x, p.y, p.yaw_deg) for p in walk.places]),
            collided=walk.collided,
            codes=np.array([NAVIGATION.index(a) for a in walk.actions], np.int64),
            scene=scene,
            seed=seed,
            split=config.split,
            style=scene.split("/")[2],
            policy=walk.policy,
            panoramas=_stacked([o.panorama for o in seen]),
            depths=None if (depths := _stacked([o.depth for o in seen])) is None else millimetres(depths),
        )


def _stacked(parts: list[np.ndarray | None]) -> np.ndarray | None:
    """The pictures of all frames, or None where none were rendered."""
    shown = [part for part in parts if part is not None]
    return np.stack(shown) if shown else None


def house_summary(shards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Shares of actions and of collisions among all actions taken."""
    rows = [row for shard in shards for row in shard["episodes"]]
    taken = sum(row["length"] - 1 for row in rows)
    codes = np.sum([shard["codes"] for shard in shards], axis=0)
    blocked = sum(row["stats"]["observation.collided"]["mean"][0] * row["length"] for row in rows)
    return {
        "actions": {
            p.name: round(int(count) / taken, 4)
            for p, count in zip(NAVIGATION.primitives, codes)
            if not p.stops
        },
        "collided": round(blocked / taken, 4),
    }
