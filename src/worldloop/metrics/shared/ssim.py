"""Structural similarity of grey pictures, many at once.

SSIM: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity"
(IEEE TIP 2004): a Gaussian window of 11 x 11 and deviation 1.5, K1 = .01, K2 = .03, averaged where the window fits.
MS-SSIM: Wang, Simoncelli, Bovik, "Multiscale structural similarity" (Asilomar 2003), with its five weights.
"""

from __future__ import annotations

import functools

import numba as nb
import numpy as np

from worldloop.core import InputError
from worldloop.metrics.clip import Array
from worldloop.metrics.shared.opencv import opencv
from worldloop.metrics.shared.parts import in_parts

RADIUS = 5
"""Of the window, pixels."""
DEVIATION = 1.5
LIGHT, CONTRAST = (0.01 * 255) ** 2, (0.03 * 255) ** 2
"""The constants C1 and C2."""
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales of MS-SSIM, finest first."""


def ssim(a: Array, b: Array) -> tuple[Array, Array]:
    """SSIM in -1..1 of paired grey pictures float32 [T,H,W] in 0..255, and its contrast and structure alone: float64 [T] each.

    InputError below 11 x 11 pixels.
    """
    _check(a)
    parts = in_parts(lambda part: _compare(a[part], b[part]), len(a))
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

    def of_part(part: slice) -> Array:
        x, y, found = a[part], b[part], list[Array]()
        for scale in range(len(weights) - 1):
            found.append(_compare(x, y)[1] if scale else structure[part])
            x, y = _half(x), _half(y)
        x, y = (np.pad(v, ((0, 0), (RADIUS, RADIUS), (RADIUS, RADIUS)), "reflect") for v in (x, y))
        found.append(_compare(x, y)[0])
        product: Array = np.prod(np.maximum(found, 0) ** weights[:, None], axis=0)
        return product

    return np.concatenate(in_parts(of_part, len(a)))


def scales(side: int) -> int:
    """How many scales fit a picture whose shorter side has so many pixels: the window fits all but the coarsest."""
    count = 1
    while count < len(WEIGHTS) and side >> (count - 1) > 2 * RADIUS and side >> count > RADIUS:
        count += 1
    return count


def _compare(a: Array, b: Array) -> tuple[Array, Array]:
    """Mean SSIM, and mean of its contrast and structure alone, where the window fits: float64 [T] each."""
    cv2 = opencv()
    # All pictures in one column: what they share with their neighbours is cut off with the margin.
    column = _planes(a, b)
    means = cv2.sepFilter2D(column.reshape(-1, a.shape[2]), -1, _taps(), _taps())
    full, structure = _sums(means.reshape(column.shape))
    area = (a.shape[1] - 2 * RADIUS) * (a.shape[2] - 2 * RADIUS)
    return full / area, structure / area


@nb.njit(nogil=True, cache=True)
def _planes(a: Array, b: Array) -> Array:
    """float32 [4,T,H,W]: sum and difference of the pictures, which carry all that is needed, and the squares of both."""
    out = np.empty((4, *a.shape), np.float32)
    for t in range(a.shape[0]):
        for v in range(a.shape[1]):
            for u in range(a.shape[2]):
                # The sum is taken about the middle, where single precision is finest; a spread does not mind.
                both, gap = a[t, v, u] + b[t, v, u] - np.float32(255), a[t, v, u] - b[t, v, u]
                out[0, t, v, u], out[1, t, v, u] = both, gap
                out[2, t, v, u], out[3, t, v, u] = both * both, gap * gap
    return out


@nb.njit(nogil=True, cache=True)
def _sums(means: Array) -> tuple[Array, Array]:
    """SSIM, and its contrast and structure alone, summed over where the window fits, of blurred `_planes`: float64 [T] each."""
    light, contrast, middle = np.float32(2 * LIGHT), np.float32(2 * CONTRAST), np.float32(255)
    full, structure = np.zeros(means.shape[1]), np.zeros(means.shape[1])
    for t in range(means.shape[1]):
        for v in range(RADIUS, means.shape[2] - RADIUS):
            row, row_structure = 0.0, 0.0
            for u in range(RADIUS, means.shape[3] - RADIUS):
                both, gap = means[0, t, v, u], means[1, t, v, u]
                spread_both, spread_gap = means[2, t, v, u] - both * both, means[3, t, v, u] - gap * gap
                square_both, square_gap = (both + middle) * (both + middle), gap * gap
                # 2 cov = (var(a+b) - var(a-b)) / 2, var a + var b = (var(a+b) + var(a-b)) / 2; so for the squares of means.
                part = (spread_both - spread_gap + contrast) / (spread_both + spread_gap + contrast)
                row += np.float64(
                    part * (square_both - square_gap + light) / (square_both + square_gap + light)
                )
                row_structure += np.float64(part)
            full[t] += row
            structure[t] += row_structure
    return full, structure


@functools.cache
def _taps() -> Array:
    taps = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / DEVIATION) ** 2)
    normed: Array = taps / taps.sum()
    return normed


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
