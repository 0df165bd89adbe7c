"""What to collect, and which scene gets which episodes: walks through houses, or demonstrations at a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

from worldloop.actions.navigation import NAVIGATION
from worldloop.core import InputError, SplitError
from worldloop.envs.house.generate import GENERATOR_VERSION
from worldloop.envs.house.splits import MAX_SCENES, SPLITS, STYLES, scene_ids
from worldloop.envs.tabletop.cameras import THIRD
from worldloop.envs.tabletop.commands import VOCABULARIES
from worldloop.envs.tabletop.layout import Layout, Thing, scene_id
from worldloop.envs.tabletop.looks import COLOURS
from worldloop.training.collect_policies import POLICIES
from worldloop.training.dataset.layout import DatasetSpec, ShardPlace

EPISODES_PER_SCENE = 8
"""Episodes in each scene where the number of scenes is not given: as long to render as a scene is to prepare."""
DEMONSTRATIONS_PER_SHARD = 32
MAX_FRAMES = 100_000_000
MAX_LAYOUTS = 1_000_000
ENVS = ("house", "tabletop")
TABLE_POLICIES = ("expert", "noisy")
FAMILIES = ("push", "stack", "press", "pick-place")
"""Of demonstrations; they take turns."""


@dataclass(frozen=True)
class CollectConfig:
    """Settings of `collect`. The dataset depends on all of them but `out` and `jobs`."""

    out: Path
    """Folder of the dataset; an unfinished one with the same settings is continued."""
    frames: int
    """Frames in all, exactly; spread evenly over episodes and these over scenes. A frame of a demonstration is one
    waypoint, see `collect_table`."""
    env: str = "house"
    """`house` or `tabletop`."""
    split: str = "train"
    styles: tuple[str, ...] = ("A",)
    policy: str = "mixed"
    """`random`, `tour`, `orbit`, `uniform`, `heedless`, or `mixed` of the first four. At the table `expert`, `noisy`,
    or `mixed` of the two."""
    scenes: int | None = None
    """Scenes of each style, as far as there are episodes for them; None: `EPISODES_PER_SCENE` decides. At the table:
    layouts of each family; None: every demonstration has its own."""
    episode_frames: int | None = None
    """Longest episode; lengths differ by at most one. None: 32, at the table 12."""
    size: int = 128
    """Side of the pictures, pixels."""
    panorama_height: int | None = None
    depth: bool = False
    lossless: bool = True
    seed: int = 0
    jobs: int | None = None
    """Processes; None: one per processor."""
    wrist: bool = True
    """Whether the table is seen from the wrist as well."""
    evaluation: bool = False
    """Needed for the splits `val` and `test`; what is collected then cannot be opened for training."""

    def __post_init__(self) -> None:
        if self.env not in ENVS:
            raise InputError(f"data can be collected in {' and '.join(ENVS)}, not in {self.env!r}")
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
        known = tuple(POLICIES) if self.env == "house" else TABLE_POLICIES
        if self.policy != "mixed" and self.policy not in known:
            raise InputError(
                f"no policy {self.policy!r} in {self.env}; there are {', '.join(known)} and mixed"
            )
        if self.env == "tabletop" and (self.styles != ("A",) or self.panorama_height is not None):
            raise InputError("styles and panoramas are of houses; leave them out for the tabletop")
        if not 2 <= self.frames <= MAX_FRAMES:
            raise InputError(f"frames must be between 2 and {MAX_FRAMES}, got {self.frames}")
        if self.longest < 2:
            raise InputError(f"an episode has at least 2 frames, got {self.longest}")
        if self.frames % 2 and self.longest == 2:
            raise InputError("episodes of 2 frames cannot make an odd number of frames")
        if self.scenes is not None and not 1 <= self.scenes <= MAX_SCENES:
            raise InputError(f"scenes must be between 1 and {MAX_SCENES}, got {self.scenes}")
        if self.jobs is not None and self.jobs < 1:
            raise InputError(f"jobs must be at least 1, got {self.jobs}")

    @property
    def longest(self) -> int:
        """Frames of the longest episode."""
        return self.episode_frames or (32 if self.env == "house" else 12)

    @property
    def spec(self) -> DatasetSpec:
        """What every episode of the dataset holds; InputError for an impossible picture size."""
        plain = DatasetSpec(self.size, self.panorama_height, self.depth, self.lossless, vocabulary=NAVIGATION)
        if self.env == "house":
            return plain
        return replace(
            plain,
            hfov_deg=THIRD.hfov_deg,
            camera_height=float(THIRD.matrix[2, 3]),
            fps=1,
            vocabulary=VOCABULARIES["waypoint"],
            wrist=self.wrist,
            tasks=goal_texts(),
        )

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides the content of the dataset, JSON-serialisable."""
        only = {"wrist": self.wrist, "families": list(FAMILIES)} if self.env == "tabletop" else {}
        return {
            "env": self.env,
            "split": self.split,
            "styles": list(self.styles),
            "policy": self.policy,
            "frames": self.frames,
            "max_scenes": self.scenes,
            "episode_frames": self.longest,
            "size": self.size,
            "panorama_height": self.panorama_height,
            "depth": self.depth,
            "lossless": self.lossless,
            "seed": self.seed,
            "evaluation": self.evaluation,
            "generator_version": GENERATOR_VERSION,
            **only,
        }


@dataclass(frozen=True, slots=True)
class Shard:
    """A share of a dataset: the episodes of one house, or some demonstrations."""

    place: ShardPlace
    scenes: tuple[str, ...]
    """The scene of each of its episodes."""
    numbers: tuple[int, ...]
    """How many episodes each scene had before, in the whole dataset."""
    lengths: tuple[int, ...]
    """Frames of each of its episodes."""


def plan_shards(config: CollectConfig) -> list[Shard]:
    """Which scene gets which episodes; decided before anything is rendered."""
    episodes = -(-config.frames // config.longest)
    groups = _houses(config, episodes) if config.env == "house" else _tables(config, episodes)
    shards, episode, frame = [], 0, 0
    for i, (scenes, numbers) in enumerate(groups):
        lengths = tuple(
            config.frames // episodes + (episode + k < config.frames % episodes) for k in range(len(scenes))
        )
        shards.append(Shard(ShardPlace(i, episode, frame), scenes, numbers, lengths))
        episode, frame = episode + len(scenes), frame + sum(lengths)
    return shards


_Group = tuple[tuple[str, ...], tuple[int, ...]]


def _houses(config: CollectConfig, episodes: int) -> list[_Group]:
    """One shard for each scene."""
    wanted = (
        -(-episodes // EPISODES_PER_SCENE) if config.scenes is None else config.scenes * len(config.styles)
    )
    count = min(episodes, max(wanted, min(len(config.styles), episodes)), MAX_SCENES * len(config.styles))
    each = -(-count // len(config.styles))
    lists = [scene_ids(config.split, style, each) for style in config.styles]
    scenes = [ids[i] for i in range(each) for ids in lists][:count]
    mine = [episodes // count + (i < episodes % count) for i in range(count)]
    return [((scene,) * n, tuple(range(n))) for scene, n in zip(scenes, mine)]


def _tables(config: CollectConfig, episodes: int) -> list[_Group]:
    """Layouts of all families in turn, begun again when each has had its demonstration."""
    count = len(FAMILIES)
    layouts = episodes if config.scenes is None else min(episodes, config.scenes * count)
    layouts = min(layouts, MAX_LAYOUTS * count)
    order = [divmod(i, layouts) for i in range(episodes)]
    whole = [(scene_id(config.split, FAMILIES[k % count], k // count), number) for number, k in order]
    parts = [whole[i : i + DEMONSTRATIONS_PER_SHARD] for i in range(0, episodes, DEMONSTRATIONS_PER_SHARD)]
    return [(tuple(s for s, _ in part), tuple(n for _, n in part)) for part in parts]


def goal_texts() -> tuple[str, ...]:
    """Every goal that a table may have, in words; the order is fixed."""
    kinds = {
        "push": ("block", "circle"),
        "stack": ("block", "block"),
        "press": ("button", "button"),
        "pick-place": ("block", "stand"),
        "insert": ("peg", "socket"),
    }
    out = []
    for family, (first, second) in kinds.items():
        for a, b in permutations(COLOURS, 2):
            things = (Thing(first, a, (0.0, 0.0)), Thing(second, b, (0.0, 0.0)))
            out.append(Layout("", "", family, things, (things[0].name, things[1].name)).text)
    return tuple(out)
