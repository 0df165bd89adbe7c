"""Action-observation data on disk: LeRobotDataset v3 with facts of our own, written in shards, read in clips."""

from worldloop.training.dataset.layout import (
    FRONT,
    PANORAMA,
    WRIST,
    DatasetSpec,
    Demonstration,
    EpisodeData,
    ShardPlace,
    millimetres,
)
from worldloop.training.dataset.meta import DatasetMeta, open_meta, training_scenes
from worldloop.training.dataset.reader import ActionClips, Clip
from worldloop.training.dataset.writer import finish_dataset, write_shard

__all__ = [
    "FRONT",
    "PANORAMA",
    "WRIST",
    "ActionClips",
    "Clip",
    "DatasetMeta",
    "DatasetSpec",
    "Demonstration",
    "EpisodeData",
    "ShardPlace",
    "finish_dataset",
    "millimetres",
    "open_meta",
    "training_scenes",
    "write_shard",
]
