"""Constants of nature as imagined frames show them: bodies are found by colour, and a law is fitted to their tracks.

All errors lie in 0..1 and treat twice as much and half as much alike: 0 is right, 1 is that nothing of the law is to be seen (as
in a frozen video). A step that does not show a body that is truly in sight counts as 1: where a body is lost for a share of the
steps, that share is added, and the error of what is left counts for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from worldloop.metrics.clip import Clip
from worldloop.metrics.metric import metric
from worldloop.metrics.shared.bodies import body_tracks, lifted_track, missed

_ERROR: dict[str, Any] = dict(group="physics", unit="", low=0, high=1, better="lower", worst=1)


def gap(found: float, true: float) -> float:
    """|found - true| over the larger of both, at most 1; 1 for NaN."""
    if math.isnan(found):
        return 1.0
    return min(abs(found - true) / max(abs(found), abs(true), 1e-12), 1.0)


def unlike(found: Sequence[float] | np.ndarray, true: Sequence[float] | np.ndarray) -> float:
    """sum |found - true| / sum (|found| + |true|): 0 for equal, 1 for nothing in common; 1 for any NaN (Bray and Curtis 1957)."""
    a, b = np.asarray(found, float), np.asarray(true, float)
    if np.isnan(a).any():
        return 1.0
    return float(np.abs(a - b).sum() / max(float((np.abs(a) + np.abs(b)).sum()), 1e-12))


def with_missed(error: float, share: float) -> float:
    """The error of what is shown, and 1 for the share that is not."""
    return share + (1.0 - share) * error


def quadratic(times: np.ndarray, values: np.ndarray, least: int = 4) -> float:
    """Second derivative of the parabola through values [N]; NaN with fewer than `least` of them that are finite."""
    known = np.isfinite(values)
    if known.sum() < least:
        return math.nan
    return 2.0 * float(np.polyfit(times[known], values[known], 2)[0])


def _times(clip: Clip) -> np.ndarray:
    return np.arange(len(clip.frames) + 1) / clip.fps


@metric(
    "gravity_error", needs=("start", "law:gravity"), **_ERROR,
    source="parabola fitted to the height of a falling or thrown ball",
    reacts=("low-gravity", "slow-motion", "give-up"), ignores=("shrink",), tolerance=0.1, version=2,
)  # fmt: skip
def gravity_error(clip: Clip) -> float:
    """How wrong is the gravity under which the ball flies

    |g' - g| / max(g', g), g' from a parabola through the heights of the ball's middle for as long as it is truly in the air. Cannot
    see where the ball flies: `state_error` does.
    """
    until = clip.law["constants"]["until"]
    height = lifted_track(clip, 0)[:until, 1]
    error = gap(max(-quadratic(_times(clip)[:until], height), 0.0), clip.law["constants"]["gravity"])
    return with_missed(error, missed(clip, 0, slice(until - 1)))


@metric(
    "incline_error", needs=("start", "law:incline"), **_ERROR,
    source="parabola fitted to the way of a block down a slope",
    reacts=("low-gravity", "slow-motion", "give-up"), ignores=("shrink",), tolerance=0.1, version=2,
)  # fmt: skip
def incline_error(clip: Clip) -> float:
    """How wrong is the acceleration with which a block slides down a slope

    As `gravity_error`, along the slope: g (sin - friction cos). Cannot tell gravity from friction.
    """
    constants = clip.law["constants"]
    way = lifted_track(clip, 0) @ np.array(constants["direction"])
    return with_missed(
        gap(max(quadratic(_times(clip), way), 0.0), constants["acceleration"]), missed(clip, 0)
    )


@metric(
    "friction_error", needs=("start", "law:friction"), **_ERROR,
    source="uniform deceleration to rest fitted to the way of a sliding block",
    reacts=("friction-x2", "slow-motion", "give-up"), ignores=("shrink",), tolerance=0.1, version=2,
)  # fmt: skip
def friction_error(clip: Clip) -> float:
    """How wrong is the friction that brings a sliding block to rest

    |a' - a| / max(a', a) of the deceleration, from the best of all ways that slow down evenly and then rest. Cannot see the
    speed at the start.
    """
    way = lifted_track(clip, 0)[:, 0]
    error = gap(_deceleration(_times(clip), way), clip.law["constants"]["deceleration"])
    return with_missed(error, missed(clip, 0))


def _deceleration(times: np.ndarray, way: np.ndarray) -> float:
    """Of the best s + d (1 - (1 - t / e)^2) up to the end e and s + d after it; NaN with fewer than 5 points."""
    known = np.isfinite(way)
    if known.sum() < 5:
        return math.nan
    t, values = times[known], way[known] - way[known].mean()
    low, high = 3 * times[1], 6 * times[-1]
    for _ in range(2):  # a second time around the best
        ends = np.geomspace(low, high, 100)[:, None]
        shape = 1 - (1 - np.minimum(t / ends, 1)) ** 2  # e t
        shape -= shape.mean(axis=1, keepdims=True)
        size = (shape * values).sum(axis=1) / np.maximum((shape**2).sum(axis=1), 1e-12)
        best = int(((values - size[:, None] * shape) ** 2).sum(axis=1).argmin())
        low, high = ends[max(best - 1, 0), 0], ends[min(best + 1, len(ends) - 1), 0]
    return float(2 * abs(size[best]) / ends[best, 0] ** 2)


@metric(
    "restitution_error", needs=("start", "law:restitution"), **_ERROR,
    source="root of the heights before and after a ball's first bounce",
    reacts=("bouncy", "give-up"), ignores=("shrink", "dusk"), tolerance=0.1, version=2,
)  # fmt: skip
def restitution_error(clip: Clip) -> float:
    """How wrong is the share of its speed with which a ball bounces back

    |e' - e| / max(e', e), e' = root of the height after the first bounce over the true height before it. Cannot see how fast it
    falls. A ball that never comes near the floor, or never rises again, does not bounce: 1.
    """
    constants = clip.law["constants"]
    height = lifted_track(clip, 0)[:, 1] - constants["ground"]
    height = height[np.isfinite(height)]
    low = np.flatnonzero((height[:-1] < 0.3 * constants["height"]) & (np.diff(height) > 0))
    if not len(low):
        return 1.0
    after = height[low[0] :]
    falls = np.flatnonzero(np.diff(after) < 0)
    top = after[: falls[0] + 1].max() if len(falls) else after.max()
    error = gap(math.sqrt(max(float(top), 0.0) / constants["height"]), constants["restitution"])
    return with_missed(error, missed(clip, 0))


@metric(
    "momentum_error", needs=("start", "law:momentum"), **_ERROR,
    source="mass times speed of two balls after they met, unlikeness of Bray and Curtis",
    reacts=("pass-through", "slow-motion", "give-up"), ignores=("shrink",), tolerance=0.1, version=2,
)  # fmt: skip
def momentum_error(clip: Clip) -> float:
    """How wrong are the momenta with which two balls leave after one has run into the other

    sum |p' - p| / sum (|p'| + |p|) over both, p = mass x speed; masses follow from the sizes and are given, speeds are slopes of the
    tracks after the true moment of contact. Cannot see the moment itself.
    """
    constants = clip.law["constants"]
    since, times = constants["after"] + 1, _times(clip)
    found, true = list[float](), list[float]()
    for number, (body, speed) in enumerate(zip(clip.law["bodies"], constants["speeds"])):
        x = lifted_track(clip, number)[since:, 0]
        known = np.isfinite(x)
        slope = np.polyfit(times[since:][known], x[known], 1)[0] if known.sum() >= 3 else math.nan
        found.append(body["mass"] * float(slope))
        true.append(body["mass"] * speed)
    shares = [missed(clip, number, slice(since - 1, None)) for number in range(len(found))]
    return with_missed(unlike(found, true), float(np.mean(shares)))


@metric(
    "period_error", needs=("start", "law:period"), **_ERROR,
    source="sinusoid fitted to the angle of a pendulum",
    reacts=("low-gravity", "slow-motion", "give-up"), ignores=("shrink",), tolerance=0.1, version=2,
)  # fmt: skip
def period_error(clip: Clip) -> float:
    """How wrong is the time in which a pendulum swings to and fro

    |T' - T| / max(T', T), T' of the best sinusoid about straight down. Cannot see how far it swings, unless it does not come to the
    other side or swings by less than a fifth of the true angle: 1.
    """
    constants, times = clip.law["constants"], _times(clip)
    x, z = (lifted_track(clip, 0) - constants["pivot"]).T
    angle = np.arctan2(x, -z)
    known = np.isfinite(angle)
    if known.sum() < 6 or angle[known].min() * angle[known].max() >= 0:
        return 1.0
    if np.ptp(angle[known]) < 0.2 * constants["swing"]:
        return 1.0
    t, angle = times[known], angle[known]
    periods = constants["period"] * np.geomspace(0.2, 6.0, 400)
    phase = 2 * np.pi * t / periods[:, None]  # p t
    waves = np.stack([np.cos(phase), np.sin(phase)], axis=1)  # p 2 t
    weights = np.linalg.solve(waves @ waves.transpose(0, 2, 1) + 1e-9 * np.eye(2), (waves @ angle)[..., None])
    rest = angle - (weights.transpose(0, 2, 1) @ waves)[:, 0]
    error = gap(float(periods[(rest**2).sum(axis=1).argmin()]), constants["period"])
    return with_missed(error, missed(clip, 0))


@metric(
    "size_error", needs=("start", "law:size"), **_ERROR,
    source="growth of a body's picture as it comes nearer or goes away, unlikeness of Bray and Curtis",
    reacts=("shrink", "slow-motion", "give-up"), ignores=("dusk",), tolerance=0.1, version=2,
)  # fmt: skip
def size_error(clip: Clip) -> float:
    """Does a body that comes nearer or goes away keep its size

    sum |l' - l| / sum (|l'| + |l|) over the frames, l = log of the square root of the body's area relative to the start: how much larger or
    smaller it looks. Cannot see where it is, and blur lets small bodies look smaller still. A body whose picture stays as it is does not keep
    its size: 1.
    """
    tracks, true = body_tracks(clip), clip.law["tracks"]["area"][:, 0]
    shown = ~np.isnan(tracks.pixels[:, 0, 0])
    if not shown[0] or not shown[1:].any():
        return 1.0
    area, true = tracks.area[shown, 0], true[shown]
    growth = 0.5 * np.log(area / area[0])
    error = unlike(growth[1:], 0.5 * np.log(np.maximum(true[1:], 1.0) / true[0]))
    return with_missed(error, missed(clip, 0))


@metric(
    "support_error", needs=("start", "law:support"), **_ERROR,
    source="how far each body has fallen at each moment, unlikeness of Bray and Curtis",
    reacts=("float", "low-gravity", "slow-motion", "give-up"), ignores=("dusk",), tolerance=0.1, version=2,
)  # fmt: skip
def support_error(clip: Clip) -> float:
    """Does what loses its support fall, and does what is supported stay

    sum |d' - d| / sum (|d'| + |d|) over bodies and frames, d = metres by which a body is below where it was at the start. A body that
    is lost counts, for as long, as if it had risen by as much as anything ever falls. Cannot see sideways motion.
    """
    tracks = [lifted_track(clip, number)[:, 1] for number in range(len(clip.law["bodies"]))]
    found = np.stack([z[0] - z[1:] for z in tracks], axis=1)
    z = clip.law["tracks"]["metres"][..., 2]
    true = z[0] - z[1:]
    return unlike(np.where(np.isnan(found), -np.abs(true).max(), found).ravel(), true.ravel())
