"""Episodes of others in scanned buildings: read from their own files, and walked in with Habitat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worldloop.core import Episode, InputError
from worldloop.envs.habitat.scans import INSTALL, available
from worldloop.envs.habitat.world import SCENES as HABITAT_SCENES
from worldloop.envs.habitat.world import place_of, scene_path

OPENEQA_SCENES = "openeqa/"
"""How the names of an episode history of OpenEQA begin."""


def check_walkable(episode: Episode) -> None:
    """InputError for an episode in a scan, in a task that cannot be done there."""
    for start in (OPENEQA_SCENES, HABITAT_SCENES):
        if episode.scene.startswith(start):
            raise InputError(
                f"episode {episode.id}: {episode.scene.removeprefix(start)!r} is a scan; it is walked in with Habitat and "
                "the data of MP3D, HM3D or ScanNet, which worldloop does for image-goal only: other tasks need the "
                "boxes around things, which it does not get from scans. Give an environment of your own that knows "
                "them, or run the lists in the package (--split val)"
            )


def open_scans(episodes: Sequence[Episode], folder: str) -> Path:
    """The folder of the scans of a list; InputError when Habitat or a scan is not there, saying what to do."""
    first = episodes[0]
    if not available():
        raise InputError(
            f"episode {first.id}: {first.scene.removeprefix(HABITAT_SCENES)!r} is a scan, and Habitat-Sim, with which it "
            f"is walked in, is not installed: {INSTALL}. Or run the lists in the package (--split val)"
        )
    if not folder:
        raise InputError(
            f"{first.task} in scans needs the folder they are in: --task {first.task}:scenes=FOLDER"
        )
    for episode in episodes:
        scene_path(Path(folder), episode)
        place_of(episode, "start"), place_of(episode, "goal")
    return Path(folder)
