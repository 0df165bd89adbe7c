"""OpenEQA's own question file, or A-EQA's of World-In-World, as a list of episodes. Its scans need Habitat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worldloop.core import Episode, InputError, derive_seed
from worldloop.tasks.episodes import read_json, unique
from worldloop.tasks.scans import HABITAT_SCENES, OPENEQA_SCENES
from worldloop.tasks.world_in_world import Item

_START = ("scene_id", "start_position", "start_rotation")
_OPTIONAL = (*_START, "hfov", "shortest")


def import_openeqa(path: str | Path, budget: int = 36) -> list[Episode]:
    """Episodes from a file in the form of `open-eqa-v0.json`: a list of objects.

    Fields are `question_id`, `question`, `answer`, `category`, `episode_history` and, where given, `extra_answers` and
    A-EQA's `scene_id`, `hfov`, `start_position` and `start_rotation`, which are kept in the goal as they stand. With a
    scene and a start an episode is in a scan; without, in a recording, which can only be read.
    Raises InputError naming the first item that is not of that form, or an id that comes twice.
    """
    items = read_json(path)
    if not isinstance(items, list) or not items:
        raise InputError(f"{path}: an OpenEQA file is a list of questions, and not an empty one")
    episodes = [_episode(item, f"{path}: question {i}", budget) for i, item in enumerate(items)]
    return unique(episodes, str(path))


def is_openeqa(path: str | Path) -> bool:
    """Whether a file is a plain list, as OpenEQA's is; worldloop's own lists are objects."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            return file.read(256).lstrip()[:1] == "["
    except (OSError, UnicodeDecodeError):
        return False


def _episode(item: Any, where: str, budget: int) -> Episode:
    if not isinstance(item, Mapping):
        raise InputError(f"{where} is not an object")
    for name in ("question_id", "question", "answer", "category", "episode_history"):
        if not isinstance(item.get(name), str) or not item[name].strip():
            raise InputError(f"{where}: {name!r} is missing or not a text")
    extra = item.get("extra_answers") or []
    if (
        not isinstance(extra, Sequence)
        or isinstance(extra, str)
        or not all(isinstance(e, str) for e in extra)
    ):
        raise InputError(f"{where}: extra_answers is a list of texts")
    goal = {name: item[name] for name in ("question", "answer", "category")}
    goal |= {"extra_answers": list(extra)}
    goal |= {name: item[name] for name in _OPTIONAL if item.get(name) is not None}
    scene, start = OPENEQA_SCENES + item["episode_history"], {"position": [0.0, 0.0], "yaw_deg": 0.0}
    if all(item.get(name) is not None for name in _START):
        given = Item(item, where)
        scene, start = HABITAT_SCENES + given.text("scene_id"), given.place("start")
    return Episode(
        id=item["question_id"],
        task="embodied-qa",
        scene=scene,
        seed=derive_seed(0, item["question_id"]) % 2**31,
        start=start,
        goal=goal,
        budget=budget,
    )
