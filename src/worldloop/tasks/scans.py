"""Episodes of others in scanned buildings: read from their own files, but walked in with Habitat only."""

from __future__ import annotations

from worldloop.core import Episode, InputError

OPENEQA_SCENES, HABITAT_SCENES = "openeqa/", "habitat/"
"""How the names of such scenes begin: an episode history of OpenEQA, or a scene file of MP3D or HM3D."""


def check_walkable(episode: Episode) -> None:
    """InputError for an episode in a scan that needs Habitat."""
    for start in (OPENEQA_SCENES, HABITAT_SCENES):
        if episode.scene.startswith(start):
            raise InputError(
                f"episode {episode.id}: {episode.scene.removeprefix(start)!r} is a scan; it is walked in with Habitat and "
                "the data of MP3D, HM3D or ScanNet, which worldloop does not include. Give an environment of your own "
                "that knows it, or run the lists in the package (--split val)"
            )
