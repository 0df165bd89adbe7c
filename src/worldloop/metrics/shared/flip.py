"""LDR-FLIP, the difference that one notices when two pictures alternate.

Andersson, Nilsson, Akenine-Möller, Oskarsson, Åström, Fairchild, "FLIP: A Difference Evaluator for Alternating
Images" (PACM CGIT 2020), with its constants, at the 67 pixels per degree of its default viewing conditions.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numba as nb
import numpy as np

from worldloop.metrics.clip import Array
from worldloop.metrics.shared.grey import linear_light
from worldloop.metrics.shared.opencv import opencv
from worldloop.metrics.shared.parts import by_step

DENSITY = 0.7 * 3840 / 0.7 * np.pi / 180
"""Pixels per degree: a screen of 3840 pixels and 0.7 m, seen from 0.7 m."""
TO_XYZ = np.array(
    [
        [10135552 / 24577794, 8788810 / 24577794, 4435075 / 24577794],
        [2613072 / 12288897, 8788810 / 12288897, 887015 / 12288897],
        [1425312 / 73733382, 8788810 / 73733382, 70074185 / 73733382],
    ]
) / np.array([[0.950428545], [1.0], [1.088900371]])
"""Linear sRGB to XYZ, as shares of white (D65)."""
TO_OPPONENT = np.array([[0.0, 1, 0], [1, -1, 0], [0, 1, -1]]) @ TO_XYZ
"""To the three channels in which the eye blurs differently: black-white, red-green, blue-yellow."""
TO_LIGHT = np.linalg.inv(TO_OPPONENT)
SENSITIVITY = (((1.0, 0.0047),), ((1.0, 0.0053),), ((34.1, 0.04), (13.5, 0.025)))
"""Of the eye in each channel: Gaussians of weight a and width b."""
COLOUR_POWER, COLOUR_KNEE, COLOUR_SHARE = 0.7, 0.4, 0.95
"""q_c, p_c and p_t: how colour differences are compressed to 0..1."""
DETAIL_WIDTH, DETAIL_POWER = 0.082, 0.5
"""Degrees, w; and q_f."""
CUBE = (6 / 29) ** 3
"""Where CIELAB's root becomes a straight line."""


def flip(
    truth: Sequence[Array] | Array, frames: Sequence[Array] | Array, seen: Sequence[Seen] | None = None
) -> Array:
    """Mean LDR-FLIP in 0..1 of T paired pictures uint8 [H,W,3]: float64 [T]; 0 is equal. `seen` is `see(truth)` if known."""
    if not len(truth):
        return np.zeros(0)
    return np.array(by_step(_pair, truth, frames, see(truth) if seen is None else seen))


def see(pictures: Sequence[Array] | Array) -> list[Seen]:
    """What the eye has of pictures uint8 [H,W,3]; 20 bytes for each pixel."""
    return by_step(_see, pictures)


def _pair(truth: Array, frame: Array, a: Seen) -> float:
    cv2 = opencv()
    if np.array_equal(truth, frame):
        return 0.0
    b = _see(frame)
    away = cv2.pow(_apart(a.colour, b.colour), COLOUR_POWER)
    colour, detail = _both(
        away, (a.edges, b.edges), (a.points, b.points), COLOUR_KNEE * _farthest(), _farthest()
    )
    # x ** y as exp(y log x), which numpy does many at once; 0 stays 0 but for a difference of detail alone.
    shown = np.exp(detail * np.log(colour))
    return float(np.clip(shown, 0, 1).mean(dtype=np.float64))


@nb.njit(nogil=True, cache=True)
def _apart(a: Array, b: Array) -> Array:
    """HyAB distance of colours float32 [H,W,3]: in lightness, plus the length of the difference in hue."""
    away = np.empty(a.shape[:2], np.float32)
    for v in range(a.shape[0]):
        for u in range(a.shape[1]):
            green, blue = a[v, u, 1] - b[v, u, 1], a[v, u, 2] - b[v, u, 2]
            away[v, u] = abs(a[v, u, 0] - b[v, u, 0]) + np.sqrt(green * green + blue * blue)
    return away


@nb.njit(nogil=True, cache=True)
def _both(
    away: Array, edges: tuple[Array, Array], points: tuple[Array, Array], knee: float, most: float
) -> tuple[Array, Array]:
    """float32 [H,W]: difference of colour in 1e-12..1, and the power to which that of detail raises it."""
    colour, detail = np.empty_like(away), np.empty_like(away)
    one, least, root = np.float32(1), np.float32(1e-12), np.sqrt(np.float32(2))
    share, low = np.float32(COLOUR_SHARE), np.float32(COLOUR_SHARE / knee)
    high, middle = np.float32((1 - COLOUR_SHARE) / (most - knee)), np.float32(knee)
    for v in range(away.shape[0]):
        for u in range(away.shape[1]):
            x = away[v, u]
            x = x * low if x < middle else share + (x - middle) * high
            colour[v, u] = min(max(x, least), one)
            edge = abs(edges[0][v, u] - edges[1][v, u])
            point = abs(points[0][v, u] - points[1][v, u])
            detail[v, u] = one - np.sqrt(min(max(edge, point) / root, one))
    return colour, detail


@dataclass(frozen=True, eq=False)
class Seen:
    """What the eye has of a picture."""

    colour: Array
    """float32 [H,W,3], CIELAB as blurred by the eye, a* and b* by lightness (Hunt)."""
    edges: Array
    points: Array
    """float32 [H,W], how strong they are."""


def _see(picture: Array) -> Seen:
    cv2 = opencv()
    light = cv2.LUT(picture, _table())
    opponent = cv2.split(cv2.transform(light, TO_OPPONENT))
    blurred = [_blur(channel, number) for number, channel in enumerate(opponent)]
    back = cv2.transform(cv2.merge(blurred), TO_LIGHT)
    colour = _lab(cv2.transform(np.clip(back, 0, 1), TO_XYZ))
    across, bend, smooth = _details()
    black_white, edge = opponent[0], cv2.BORDER_REPLICATE
    strength = [
        _length(
            cv2.sepFilter2D(black_white, -1, taps, smooth, borderType=edge),
            cv2.sepFilter2D(black_white, -1, smooth, taps, borderType=edge),
        )
        for taps in (across, bend)
    ]
    return Seen(colour, *strength)


@nb.njit(nogil=True, cache=True)
def _length(x: Array, y: Array) -> Array:
    """sqrt(x^2 + y^2), float32 [H,W]; the last bits of OpenCV's depend on where in memory the arrays are."""
    out = np.empty_like(x)
    for v in range(x.shape[0]):
        for u in range(x.shape[1]):
            out[v, u] = np.sqrt(x[v, u] * x[v, u] + y[v, u] * y[v, u])
    return out


def _blur(channel: Array, number: int) -> Array:
    cv2 = opencv()
    parts = [
        cv2.sepFilter2D(channel, -1, taps * weight, taps, borderType=cv2.BORDER_REPLICATE)
        for weight, taps in _sensitivity(number)
    ]
    total: Array = parts[0] if len(parts) == 1 else parts[0] + parts[1]
    return total


def _lab(white: Array) -> Array:
    """CIELAB of shares of white, float32 [H,W,3], with Hunt's adjustment."""
    return _from_root(white, opencv().pow(white, 1 / 3))


@nb.njit(nogil=True, cache=True)
def _from_root(white: Array, root: Array) -> Array:
    out = np.empty_like(white)
    slope, shift, cube = np.float32(1 / (3 * (6 / 29) ** 2)), np.float32(4 / 29), np.float32(CUBE)
    for v in range(white.shape[0]):
        for u in range(white.shape[1]):
            for c in range(3):
                if white[v, u, c] <= cube:
                    root[v, u, c] = white[v, u, c] * slope + shift
            x, y, z = root[v, u, 0], root[v, u, 1], root[v, u, 2]
            lightness = np.float32(116) * y - np.float32(16)
            out[v, u, 0] = lightness
            out[v, u, 1] = np.float32(5) * (x - y) * lightness
            out[v, u, 2] = np.float32(2) * (y - z) * lightness
    return out


@functools.cache
def _table() -> Array:
    return linear_light().astype(np.float32)


@functools.cache
def _sensitivity(number: int) -> tuple[tuple[float, Array], ...]:
    """Gaussians of one channel as (weight, taps); all weights sum to 1, and so do taps."""
    widest = max(b for channel in SENSITIVITY for _, b in channel)
    radius = int(np.ceil(3 * np.sqrt(widest / (2 * np.pi**2)) * DENSITY))
    away = np.arange(-radius, radius + 1) / DENSITY
    parts = [(a * np.sqrt(np.pi / b), np.exp(-((np.pi * away) ** 2) / b)) for a, b in SENSITIVITY[number]]
    total = sum(weight * taps.sum() ** 2 for weight, taps in parts)
    # Taps that no float can tell from 0 only cost time.
    return tuple(
        (float(weight * taps.sum() ** 2 / total), taps[taps > 1e-8] / taps.sum()) for weight, taps in parts
    )


@functools.cache
def _details() -> tuple[Array, Array, Array]:
    """Taps that find edges and points, and the smoothing across them."""
    deviation = 0.5 * DETAIL_WIDTH * DENSITY
    x = np.arange(-np.ceil(3 * deviation), np.ceil(3 * deviation) + 1)
    bell = np.exp(-(x**2) / (2 * deviation**2))
    edges, points = -x * bell, (x**2 / deviation**2 - 1) * bell
    found = [
        np.where(taps > 0, taps / taps[taps > 0].sum(), taps / -taps[taps < 0].sum())
        for taps in (edges, points)
    ]
    return found[0], found[1], bell / bell.sum()


@functools.cache
def _farthest() -> float:
    """The largest difference of colours, between green and blue, compressed."""
    corners = np.array([[[0, 1, 0], [0, 0, 1]]], np.float32) @ TO_XYZ.T.astype(np.float32)
    (green, blue) = _lab(corners)[0].astype(np.float64)
    return float((abs(green[0] - blue[0]) + np.hypot(*(green - blue)[1:])) ** COLOUR_POWER)
