"""What to collect, and which scene gets which episodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldloop.actions.navigation import NAVIGATION
from worldloop.core import InputError, SplitError
from worldloop.envs.house.generate import GENERATOR_VERSION
from worldloop.envs.house.splits import MAX_SCENES, SPLITS, STYLES, scene_ids
from worldloop.training.collect_policies import POLICIES
from worldloop.training.dataset.layout import DatasetSpec, ShardPlace

EPISODES_PER_SCENE = 8
"""Episodes in each scene where the number of scenes is not given: as long to render as a scene is to prepare."""
MAX_FRAMES = 100_000_000


@dataclass(frozen=True)
class CollectConfig:
    """Settings of `collect`. The dataset depends on all of them but `out` and `jobs`."""

    out: Path
    """Folder of the dataset; an unfinished one with the same settings is continued."""
    frames: int
    """Frames in all, exactly; spread evenly over episodes and these over scenes."""
    env: str = "house"
    split: str = "train"
    styles: tuple[str, ...] = ("A",)
    policy: str = "mixed"
    """`random`, `tour`, `orbit`, `uniform`, `heedless`, or `mixed` of the first four."""
    scenes: int | None = None
    """Scenes of each style, as far as there are episodes for them; None: `EPISODES_PER_SCENE` decides."""
    episode_frames: int = 32
    """Longest episode; lengths differ by at most one."""
    size: int = 128
    """Side of the pictures, pixels."""
    panorama_height: int | None = None
    depth: bool = False
    lossless: bool = True
    seed: int = 0
    jobs: int | None = None
    """Processes; None: one per processor."""
    evaluation: bool = False
    """Needed for the splits `val` and `test`; what is collected then cannot be opened for training."""

    def __post_init__(self) -> None:
        if self.env != "house":
            raise InputError(f"data can be collected in the environment house, not in {self.env!r}")
        if self.split not in SPLITS:
            raise InputError(f"no split {self.split!r}; there are {', '.join(SPLITS)}")
        if self.split != "train" and not self.evaluation:
            raise SplitError(
                f"the split {self.split!r} is held out for evaluation; collect training data from train, or say "
                "that this is for evaluation"
            )
        if not self.styles or set(self.styles) - set(STYLES) or len(set(self.styles)) < len(self.styles):
            raise InputError(
                f"styles are some of {', '.join(STYLES)}, each once, not {', '.join(self.styles)!r}"
            )
        if self.policy != "mixed" and self.policy not in POLICIES:
            raise InputError(f"no policy {self.policy!r}; there are {', '.join(POLICIES)} and mixed")
        if not 2 <= self.frames <= MAX_FRAMES:
            raise InputError(f"frames must be between 2 and {MAX_FRAMES}, got {self.frames}")
        if self.episode_frames < 2:
            raise InputError(f"an episode has at least 2 frames, got {self.episode_frames}")
        if self.frames % 2 and self.episode_frames == 2:
            raise InputError("episodes of 2 frames cannot make an odd number of frames")
        if self.scenes is not None and not 1 <= self.scenes <= MAX_SCENES:
            raise InputError(f"scenes must be between 1 and {MAX_SCENES}, got {self.scenes}")
        if self.jobs is not None and self.jobs < 1:
            raise InputError(f"jobs must be at least 1, got {self.jobs}")

    @property
    def spec(self) -> DatasetSpec:
        """What every episode of the dataset holds; InputError for an impossible picture size."""
        return DatasetSpec(self.size, self.panorama_height, self.depth, self.lossless, vocabulary=NAVIGATION)

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides the content of the dataset, JSON-serialisable."""
        return {
            "env": self.env,
            "split": self.split,
            "styles": list(self.styles),
            "policy": self.policy,
            "frames": self.frames,
            "max_scenes": self.scenes,
            "episode_frames": self.episode_frames,
            "size": self.size,
            "panorama_height": self.panorama_height,
            "depth": self.depth,
            "lossless": self.lossless,
            "seed": self.seed,
            "evaluation": self.evaluation,
            "generator_version": GENERATOR_VERSION,
        }


@dataclass(frozen=True, slots=True)
class Shard:
    """One scene's share of a dataset."""

    place: ShardPlace
    scene: str
    lengths: tuple[int, ...]
    """Frames of each of its episodes."""


def plan_shards(config: CollectConfig) -> list[Shard]:
    """Which scene gets which episodes; decided before anything is rendered."""
    episodes = -(-config.frames // config.episode_frames)
    wanted = (
        -(-episodes // EPISODES_PER_SCENE) if config.scenes is None else config.scenes * len(config.styles)
    )
    count = min(episodes, max(wanted, min(len(config.styles), episodes)), MAX_SCENES * len(config.styles))
    each = -(-count // len(config.styles))
    lists = [scene_ids(config.split, style, each) for style in config.styles]
    scenes = [ids[i] for i in range(each) for ids in lists][:count]
    shards, episode, frame = [], 0, 0
    for i, scene in enumerate(scenes):
        mine = episodes // count + (i < episodes % count)
        lengths = tuple(
            config.frames // episodes + (episode + k < config.frames % episodes) for k in range(mine)
        )
        shards.append(Shard(ShardPlace(i, episode, frame), scene, lengths))
        episode, frame = episode + mine, frame + sum(lengths)
    return shards
