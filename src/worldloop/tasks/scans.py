"""Episodes of others in scanned buildings: read from their own files, but walked in with Habitat only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worldloop.core import Episode, InputError

OPENEQA_SCENES, HABITAT_SCENES = "openeqa/", "habitat/"
"""How the names of such scenes begin: an episode history of OpenEQA, or a scene file of MP3D or HM3D."""


def read_json(path: str | Path) -> Any:
    """The content of a JSON file; InputError when it cannot be read or is none."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from None


def unique(episodes: Sequence[Episode], path: str | Path) -> list[Episode]:
    """The episodes as a list; InputError when an id comes twice."""
    seen: set[str] = set()
    for episode in episodes:
        if episode.id in seen:
            raise InputError(f"{path} repeats the id {episode.id!r}")
        seen.add(episode.id)
    return list(episodes)


def check_walkable(episode: Episode) -> None:
    """InputError for an episode in a scan that needs Habitat."""
    for start in (OPENEQA_SCENES, HABITAT_SCENES):
        if episode.scene.startswith(start):
            raise InputError(
                f"episode {episode.id}: {episode.scene.removeprefix(start)!r} is a scan; it is walked in with Habitat and "
                "the data of MP3D, HM3D or ScanNet, which worldloop does not include. Give an environment of your own "
                "that knows it, or run the lists in the package (--split val)"
            )
