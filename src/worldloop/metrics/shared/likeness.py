"""How like two pictures are, also where only a part of them counts."""

from __future__ import annotations

import numpy as np

from worldloop.metrics.shared.opencv import opencv

MOST_PSNR = 60.0
"""dB, given to pictures that differ by less, equal ones included."""


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None) -> float:
    """dB, at most `MOST_PSNR`, of uint8 [H,W,3] pictures over all pixels or those of bool [H,W]; NaN for no pixel."""
    cv2 = opencv()
    count = a.size if where is None else 3 * int(np.count_nonzero(where))
    if not count:
        return float("nan")
    mask = None if where is None else where.view(np.uint8)
    error, least = cv2.norm(a, b, cv2.NORM_L2SQR, mask) / count, 255**2 / 10 ** (MOST_PSNR / 10)
    return float(10 * np.log10(255**2 / max(error, least)))


def ssim_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float32 [H,W], structural similarity of the grey levels of uint8 [H,W,3] pictures around each pixel, in -1..1.

    Wang et al. 2004: Gaussian windows of 11 x 11 pixels and deviation 1.5; edges are mirrored.
    """
    cv2 = opencv()
    x, y = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float32) for p in (a, b))

    def mean(picture: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(picture, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT)

    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return ((2 * mx * my + c1) * (2 * vxy + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2))
