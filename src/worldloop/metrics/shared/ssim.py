"""Structural similarity of grey pictures, many at once.

SSIM: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity"
(IEEE TIP 2004): a Gaussian window of 11 x 11 and deviation 1.5, K1 = .01, K2 = .03, averaged where the window fits.
MS-SSIM: Wang, Simoncelli, Bovik, "Multiscale structural similarity" (Asilomar 2003), with its five weights.
"""

from __future__ import annotations

import numpy as np

from worldloop.core import InputError
from worldloop.metrics.clip import Array
from worldloop.metrics.shared.opencv import opencv

RADIUS = 5
"""Of the window, pixels."""
DEVIATION = 1.5
LIGHT, CONTRAST = (0.01 * 255) ** 2, (0.03 * 255) ** 2
"""The constants C1 and C2."""
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales of MS-SSIM, finest first."""
CHUNK = 2
"""Pictures at a time; larger arrays than these come fresh from the system each time, which takes thrice as long."""


def ssim(a: Array, b: Array) -> tuple[Array, Array]:
    """SSIM in -1..1 of paired grey pictures float32 [T,H,W] in 0..255, and its contrast and structure alone: float64 [T] each.

    InputError below 11 x 11 pixels.
    """
    _check(a)
    parts = [_compare(a[i : i + CHUNK], b[i : i + CHUNK]) for i in range(0, len(a), CHUNK)]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def ms_ssim(a: Array, b: Array, structure: Array) -> Array:
    """MS-SSIM in 0..1 of paired grey pictures float32 [T,H,W] in 0..255: float64 [T]. InputError below 11 x 11 pixels.

    `structure` is what `ssim` says of them beside their SSIM: the finest scale.

    Five scales where both sides have 96 pixels or more, else as many as fit, with their weights scaled to sum to 1. At
    the coarsest scale, which may be smaller than the window, pictures are continued by reflection; terms below 0 count
    as 0. With five scales that is torchmetrics' `multiscale_structural_similarity_index_measure` with `normalize="relu"`,
    and `kernel_size=7` at 128 x 128, where it refuses 11; its Gaussian window has 11 x 11 pixels all the same.
    """
    _check(a)
    weights = np.array(WEIGHTS[: scales(min(a.shape[1:]))])
    weights /= weights.sum()
    parts = []
    for i in range(0, len(a), CHUNK):
        x, y, found = a[i : i + CHUNK], b[i : i + CHUNK], list[Array]()
        for scale in range(len(weights) - 1):
            found.append(_compare(x, y)[1] if scale else structure[i : i + CHUNK])
            x, y = _half(x), _half(y)
        x, y = (np.pad(v, ((0, 0), (RADIUS, RADIUS), (RADIUS, RADIUS)), "reflect") for v in (x, y))
        found.append(_compare(x, y)[0])
        parts.append(np.prod(np.maximum(found, 0) ** weights[:, None], axis=0))
    return np.concatenate(parts)


def scales(side: int) -> int:
    """How many scales fit a picture whose shorter side has so many pixels: the window fits all but the coarsest."""
    count = 1
    while count < len(WEIGHTS) and side >> (count - 1) > 2 * RADIUS and side >> count > RADIUS:
        count += 1
    return count


def _compare(a: Array, b: Array) -> tuple[Array, Array]:
    """Mean SSIM, and mean of its contrast and structure alone, where the window fits: float64 [T] each."""
    # Sum and difference carry all that is needed: four filtered pictures instead of five.
    # The sum is taken about the middle, where single precision is finest; a spread does not mind.
    both, gap = a + b - 255, a - b
    mean_both, mean_gap = _window(both), _window(gap)
    spread_both, spread_gap = _window(both**2) - mean_both**2, _window(gap**2) - mean_gap**2
    square_both, square_gap = (mean_both + 255) ** 2, mean_gap**2
    # 2 cov = (var(a+b) - var(a-b)) / 2, var a + var b = (var(a+b) + var(a-b)) / 2, and so for the squares of means.
    structure = (spread_both - spread_gap + 2 * CONTRAST) / (spread_both + spread_gap + 2 * CONTRAST)
    full = structure * (square_both - square_gap + 2 * LIGHT) / (square_both + square_gap + 2 * LIGHT)
    return full.mean((1, 2), dtype=np.float64), structure.mean((1, 2), dtype=np.float64)


def _window(pictures: Array) -> Array:
    """Weighted means around each pixel whose window fits: float32 [T,H,W] to [T,H-10,W-10]."""
    cv2, (count, height, width) = opencv(), pictures.shape
    offset = np.arange(-RADIUS, RADIUS + 1)
    taps = np.exp(-0.5 * (offset / DEVIATION) ** 2)
    taps /= taps.sum()
    # All pictures in one column: what they share with their neighbours is cut off with the margin.
    column = cv2.sepFilter2D(pictures.reshape(count * height, width), -1, taps, taps)
    whole: Array = column.reshape(pictures.shape)
    return whole[:, RADIUS : height - RADIUS, RADIUS : width - RADIUS]


def _half(pictures: Array) -> Array:
    """Means of 2 x 2 pixels; an odd last row or column is left out."""
    cv2, (count, height, width) = opencv(), pictures.shape
    height, width = height // 2, width // 2
    # One column of all pictures, as in `_window`; with an even height no square reaches from one into the next.
    column = np.ascontiguousarray(pictures[:, : 2 * height, : 2 * width]).reshape(-1, 2 * width)
    half: Array = cv2.resize(column, (width, count * height), interpolation=cv2.INTER_AREA)
    return half.reshape(count, height, width)


def _check(a: Array) -> None:
    if min(a.shape[1:]) <= 2 * RADIUS:
        raise InputError(
            f"SSIM has a window of {2 * RADIUS + 1} pixels; pictures of {a.shape[2]} x {a.shape[1]} are too small"
        )
