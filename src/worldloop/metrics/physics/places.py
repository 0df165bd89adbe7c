"""Where bodies are in imagined frames, and whether they come back."""

from __future__ import annotations

import math

import numpy as np

from worldloop.metrics.clip import Clip
from worldloop.metrics.metric import metric
from worldloop.metrics.shared.bodies import body_tracks

REACH = 2.0
"""Radii of a body from its true place at which it no longer counts as being there."""
WHOLE = 0.9
"""Share of its true area with which a body counts as whole."""


@metric(
    "permanence", group="physics", unit="", low=0, high=1, better="higher", worst=0, needs=("start", "law:permanence"),
    source="share of a body that is hidden and back when it should be",
    reacts=("vanish-behind", "slow-motion", "give-up"), ignores=("dusk",), tolerance=0.1, version=2,
)  # fmt: skip
def permanence(clip: Clip) -> float:
    """Is a body that was hidden back where and when it should be

    (1 - visible share while it is truly hidden) x mean over the frames in which it is wholly back of (visible share of nine tenths of the true area)
    x (1 - distance / 2 radii). The first factor keeps a frozen video from passing as memory: there nothing is ever hidden. NaN
    where the body is not hidden or not back within the clip.
    """
    constants, tracks = clip.law["constants"], body_tracks(clip)
    hidden, back = constants["hidden"], constants["back"]
    if not hidden.any() or not back.any():
        return math.nan
    full = clip.law["bodies"][0]["area"]
    seen = np.minimum(tracks.area[:, 0] / full, 1.0)
    apart = np.linalg.norm(tracks.pixels[:, 0] - clip.law["tracks"]["pixels"][:, 0], axis=1)
    near = np.clip(1 - np.nan_to_num(apart, nan=np.inf) / (REACH * math.sqrt(full / math.pi)), 0.0, 1.0)
    whole = WHOLE * np.maximum(clip.law["tracks"]["area"][:, 0], 1.0)
    there = np.minimum(tracks.area[:, 0] / whole, 1.0) * near
    return float((1 - seen[hidden].mean()) * there[back].mean())


@metric(
    "state_error", group="physics", unit="pixels", low=0, high=181, better="lower", worst=181, needs=("start", "law"),
    source="distance of bodies found by colour to their true tracks",
    reacts=("slow-motion", "give-up"), ignores=("dusk",), tolerance=1.0, version=3,
)  # fmt: skip
def state_error(clip: Clip) -> float:
    """How far from their true places are the bodies

    Mean distance, over the steps and bodies that are truly in sight, between the middle of what is seen of a body and the true
    one; the picture's diagonal where a body is not found. Cannot see turns, nor a body in two places at once, and a frozen video
    is right about bodies that rest: the motion scores beside it are not deceived.
    """
    true = clip.law["tracks"]["pixels"][1:]
    apart = np.linalg.norm(body_tracks(clip).pixels[1:] - true, axis=2)
    apart = np.where(np.isnan(apart), math.hypot(*clip.frames.shape[1:3]), apart)
    seen = ~np.isnan(true[..., 0])
    return float(apart[seen].mean()) if seen.any() else math.nan


@metric(
    "object_displacement_error", group="physics", unit="m", low=0, high=2.0, better="lower", worst=2.0,
    needs=("start", "law:table"), source="where things on a table end, found by colour",
    reacts=("half-done", "give-up"), ignores=("dusk",), tolerance=0.01, version=3,
)  # fmt: skip
def object_displacement_error(clip: Clip) -> float:
    """How far from their true places do the things on the table end

    Mean over the things that are in sight in the last true frame of the distance in metres across the line of sight, at the thing's true
    depth; the width of the view there for a thing that is not found. Cannot see the distance along the line of sight, nor turns.
    """
    law, true = clip.law, clip.law["tracks"]
    seen = ~np.isnan(true["pixels"][-1, :, 0])
    if not seen.any():
        return math.nan
    pixels = np.linalg.norm(body_tracks(clip).pixels[-1] - true["pixels"][-1], axis=1)
    pixels = np.where(np.isnan(pixels), clip.frames.shape[2], pixels)
    metres = pixels * true["depth"][-1] / law["camera"].focal(clip.frames.shape[2])
    return float(metres[seen].mean())
