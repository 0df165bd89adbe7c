"""The border between the truth and the model: what may pass in, and what may come out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from worldloop.core import ModelCard, Observation, Query, Rollout
from worldloop.core.errors import ModelError
from worldloop.core.types import OPTIONAL_FIELDS

GUARDED = {
    "depth": "true_depth",
    "panorama_depth": "true_depth",
    "pose": "true_pose",
    "segmentation": "simulator",
    "panorama_segmentation": "simulator",
    "wrist_depth": "true_depth",
    "wrist_segmentation": "simulator",
    "target_box": "true_boxes",
    "object_boxes": "true_boxes",
    "object_tracks": "true_tracks",
}
"""Field or extra of an observation -> the privilege it takes to read it."""


def only(
    observation: Observation, names: Sequence[str], privileges: Sequence[str], granted: Sequence[str] = ()
) -> Observation:
    """The observation reduced to `rgb`, `text` and the named fields, as far as the privileges cover them.

    `granted` names what needs no privilege here because the task shows it to everybody.
    """
    present = {*OPTIONAL_FIELDS, *observation.extra} - {"text"}
    allowed = {n for n in names if GUARDED.get(n) in (None, *privileges) or n in granted}
    return observation.without(*(present - allowed))


def check_rollout(query: Query, rollout: Rollout, model: str) -> Rollout:
    """The rollout itself; ModelError when it breaks the contract (count, shape, dtype, NaN)."""
    wanted, now = len(query.plan), query.history[-1]
    if not isinstance(rollout, Rollout):
        raise ModelError(f"model {model!r} returned {type(rollout).__name__}, not a Rollout")
    if len(rollout.frames) != wanted:
        raise ModelError(
            f"model {model!r} predicted {len(rollout.frames)} frames for a plan of {wanted} actions"
        )
    for i, frame in enumerate(rollout.frames):
        if frame.rgb.dtype != np.uint8 or frame.rgb.shape != now.rgb.shape:
            got = f"{frame.rgb.dtype}{list(frame.rgb.shape)}"
            raise ModelError(f"model {model!r}: frame {i} is {got}, expected uint8{list(now.rgb.shape)}")
        if frame.panorama is not None and (frame.panorama.dtype != np.uint8 or frame.panorama.ndim != 3):
            raise ModelError(f"model {model!r}: panorama {i} is not uint8 [h,2h,3]")
        if frame.pose is not None and (np.shape(frame.pose) != (4, 4) or not np.isfinite(frame.pose).all()):
            raise ModelError(f"model {model!r}: pose {i} is not a finite [4,4] matrix")
        if frame.depth is not None and not np.isfinite(frame.depth).all():
            raise ModelError(f"model {model!r}: depth {i} has NaN or infinite values")
    for name in ("reward", "done"):
        head = getattr(rollout, name)
        if head is not None and (np.shape(head) != (wanted,) or not np.isfinite(head).all()):
            raise ModelError(f"model {model!r}: {name} should be {wanted} finite numbers")
    return rollout


def placed(rollout: Rollout, camera: np.ndarray | None, card: ModelCard) -> Rollout:
    """The rollout with poses in the world: a model that may not read poses gives them from its camera.

    `camera` float64 [4,4] is the true pose of the present view.
    """
    if camera is None or {"true_pose", "simulator"} & set(card.privileges):
        return rollout
    if all(f.pose is None for f in rollout.frames):
        return rollout
    frames = tuple(f if f.pose is None else replace(f, pose=camera @ f.pose) for f in rollout.frames)
    return replace(rollout, frames=frames)


def observation_digest(observation: Observation) -> bytes:
    """16 bytes that identify an observation by content."""
    digest = hashlib.blake2b(digest_size=16)
    fields = {n: getattr(observation, n) for n in ("rgb", "panorama", "depth", "segmentation", "pose")}
    for name, array in sorted({**fields, **observation.extra}.items()):
        if array is not None:
            array = np.ascontiguousarray(array)
            digest.update(f"{name}{array.dtype}{array.shape}".encode())
            digest.update(array.data if array.size else b"")
    digest.update(f"{observation.text}{observation.hfov_deg}".encode())
    return digest.digest()
