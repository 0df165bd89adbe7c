"""Scene ids: `house/{split}/{style}/{index:04d}`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from worldloop.core.errors import InputError, SplitError

SPLITS = ("train", "val", "test")
STYLES = ("A", "B", "C")
MAX_SCENES = 10_000
"""Scenes of each split and style: indices have four digits."""
_PATTERN = re.compile(r"house/([a-z]+)/([A-Z])/([0-9]{4})", re.ASCII)


@dataclass(frozen=True, slots=True)
class SceneId:
    """The parts of a scene id."""

    split: str
    """`train`, `val` or `test`: each split has floor plans and arrangements of its own."""
    style: str
    """`A`, `B` or `C`: each style has furniture and materials of its own."""
    index: int
    """0 to 9999."""

    def __str__(self) -> str:
        return f"house/{self.split}/{self.style}/{self.index:04d}"


def parse_scene_id(scene_id: str) -> SceneId:
    """The parts of `house/{split}/{style}/{index:04d}`; InputError for anything else."""
    match = _PATTERN.fullmatch(scene_id) if isinstance(scene_id, str) else None
    if match is None or match[1] not in SPLITS or match[2] not in STYLES:
        raise InputError(
            f"no house {scene_id!r}; ids are house/SPLIT/STYLE/NUMBER with SPLIT one of {', '.join(SPLITS)}, "
            f"STYLE one of {', '.join(STYLES)} and NUMBER of four digits, such as house/test/A/0003"
        )
    return SceneId(match[1], match[2], int(match[3]))


def scene_ids(split: str, style: str | None = None, count: int = 100) -> list[str]:
    """The first `count` scene ids of a split, the styles taking turns unless one is named.

    Raises InputError for an unknown split or style, or when there are not that many scenes.
    """
    if split not in SPLITS:
        raise InputError(f"no split {split!r}; there are {', '.join(SPLITS)}")
    if style is not None and style not in STYLES:
        raise InputError(f"no style {style!r}; there are {', '.join(STYLES)}")
    styles = STYLES if style is None else (style,)
    if not 0 <= count <= MAX_SCENES * len(styles):
        raise InputError(f"count must be between 0 and {MAX_SCENES * len(styles)}, got {count}")
    return [str(SceneId(split, styles[i % len(styles)], i // len(styles))) for i in range(count)]


def check_disjoint(train_ids: Iterable[str], eval_ids: Iterable[str]) -> None:
    """SplitError when a scene is in both lists, or when training uses a scene of the splits `val` or `test`.

    Ids of other scenes (files) are only compared with one another.
    """
    train = set(train_ids)
    shared = sorted(train & set(eval_ids))
    if shared:
        raise SplitError(f"{len(shared)} scenes are in both training and evaluation, such as {shared[0]}")
    kept = tuple(f"{world}/{split}/" for world in ("house", "tabletop") for split in ("val", "test"))
    held_out = sorted(s for s in train if s.startswith(kept))
    if held_out:
        raise SplitError(f"{held_out[0]} is held out for evaluation; train on scenes of the split train")
