"""Demonstrations at a table as training data of the video model: commands, hands, and a camera that stands still."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from worldloop.core import InputError, Vocabulary
from worldloop.envs.tabletop.commands import VOCABULARIES
from worldloop.models.video import ConditioningConfig, VideoBackbone
from worldloop.models.video.questions import normalised
from worldloop.training.dataset import ActionClips

CLIP = 4
"""Frames of a clip: the plan of the manipulation task."""


@dataclass(frozen=True, eq=False)
class Commands:
    """What demonstrations hold beside pictures, for N frames."""

    vocabulary: Vocabulary
    given: np.ndarray
    """float32 [N,K]: the command that is carried out from each frame, each number from -1 to 1."""
    hands: np.ndarray
    """float32 [N,K]: where the hand is in each frame, in the same numbers."""
    unfinished: np.ndarray
    """bool [N]: whether something is left to do. Afterwards the hand stays, which is little to learn from."""
    texts: tuple[str, ...]
    tasks: np.ndarray
    """int64 [N], the goal of each frame's episode among the texts."""
    camera: np.ndarray
    """float64 [4,4], camera to world (x right, y down, z forward); the same for all frames."""
    hfov_deg: float


def read_commands(opened: Sequence[ActionClips]) -> Commands:
    """The commands of datasets with one vocabulary. InputError when the camera moves or their tasks differ."""
    first = opened[0]
    if len({(c.spec.hfov_deg, c.spec.tasks) for c in opened}) > 1:
        raise InputError(
            "these demonstrations have other cameras or other goals; train on one kind at a time"
        )
    poses = np.concatenate([c.poses for c in opened])
    if not np.allclose(poses, poses[0], rtol=0, atol=1e-5):
        raise InputError("vector control needs demonstrations whose camera stands still; this one moves")
    box = first.vocabulary
    moves, states = (np.concatenate([getattr(c, n) for c in opened]) for n in ("moves", "states"))
    return Commands(
        box,
        normalised(moves, box),
        normalised(states, box),
        np.concatenate([c.unfinished for c in opened]),
        first.spec.tasks,
        np.concatenate([c.tasks for c in opened]),
        poses[0].astype(np.float64),
        first.spec.hfov_deg,
    )


def hand_projection(box: Vocabulary, camera: np.ndarray, hfov_deg: float) -> tuple[tuple[float, ...], ...]:
    """`ConditioningConfig.projection` of commands in a square picture of a camera; empty for relative commands.

    camera float64 [4,4], camera to world, in the metres of the commands.
    """
    if box not in (VOCABULARIES["waypoint"], VOCABULARIES["absolute"]):
        return ()
    low, high = np.array(box.low[:3]), np.array(box.high[:3])
    metres = np.eye(4)
    metres[:3, :3], metres[:3, 3] = np.diag((high - low) / 2), (high + low) / 2
    focal = 0.5 / math.tan(math.radians(hfov_deg) / 2)  # in picture widths
    inside = np.array([[focal, 0, 0.5], [0, focal, 0.5], [0, 0, 1]])
    turn = camera[:3, :3].T
    seen = np.concatenate([turn, -turn @ camera[:3, 3:]], axis=1)
    return tuple(tuple(float(v) for v in row) for row in inside @ seen @ metres)


def vector_heads(commands: Commands) -> ConditioningConfig:
    """The control head for these commands."""
    box = commands.vocabulary
    place = hand_projection(box, commands.camera, commands.hfov_deg)
    return ConditioningConfig(vectors=len(box.fields), projection=place)


def fitted(backbone: VideoBackbone, commands: Commands | None) -> VideoBackbone:
    """A backbone for demonstrations with the same weights: no panorama, this camera's view, clips as long as a plan.

    Of its control heads only that for text is kept where it reads a panorama. The backbone itself for other data.
    """
    config = backbone.config
    if commands is None:
        return backbone
    heads = config.conditioning
    if config.panorama:
        heads = ConditioningConfig(text_buckets=heads.text_buckets)
    wanted = replace(config, panorama=False, hfov_deg=commands.hfov_deg, clip_frames=CLIP, conditioning=heads)
    if wanted == config:
        return backbone
    made, state = VideoBackbone(wanted), backbone.state_dict()
    made.load_state_dict({name: state[name] for name in made.state_dict()})
    return made
