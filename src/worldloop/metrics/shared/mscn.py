"""Statistics of locally normalised brightness, and how usual they are in pictures of worldloop's own worlds.

The features are those of BRISQUE and NIQE (Mittal et al., IEEE TIP 2012; Mittal, Soundararajan, Bovik, IEEE SPL
2013). The reference is not theirs: it was fitted to rendered houses and tables, so that the distance is neither of
those scores.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import gammaln

from worldloop.core import InputError
from worldloop.metrics.clip import Array, Clip
from worldloop.metrics.shared.grey import grey_of
from worldloop.metrics.shared.opencv import opencv

RADIUS, DEVIATION = 3, 7 / 6
"""Of the window in which brightness is normalised."""
SCALES = 2
FEATURES = 18 * SCALES
"""Numbers that describe a picture."""
MIN_SIDE = 16
"""Pixels of the shorter side."""
SHAPES = np.arange(0.1, 10.0, 0.001)
"""Shapes of generalised Gaussians that are told apart."""
FLOOR = 1e-4
"""Added to spreads before logarithms; bare rendered walls have none."""


def mscn_features(pictures: Array) -> Array:
    """Describe grey pictures float32 [T,H,W]: float64 [T,36]. InputError below 16 x 16 pixels.

    At full and at half size: log shape and log spread of the normalised brightness; of its products with the
    neighbour to the right, below and on both diagonals, log shape, mean, and log spread to the left and to the right.
    """
    if min(pictures.shape[1:]) < MIN_SIDE:
        raise InputError(
            f"naturalness is read from pictures of {MIN_SIDE} x {MIN_SIDE} pixels and more, not "
            f"{pictures.shape[2]} x {pictures.shape[1]}"
        )
    return np.array([_describe(p) for p in pictures])


def naturalness(clip: Clip, name: str) -> Array:
    """Distance of each picture of `frames`, `truth` or `start` from the usual, float64 [T]; about 0.5 is usual."""
    found: Array = clip.once(
        ("mscn", name), lambda: shipped_reference().distance(mscn_features(grey_of(clip, name)))
    )
    return found


@dataclass(frozen=True, eq=False)
class Reference:
    """Gaussians of `mscn_features`, one for each of K kinds of world."""

    means: Array
    """float64 [K,36]."""
    covariances: Array
    """float64 [K,36,36]."""
    worlds: tuple[str, ...] = ()
    """[K], names."""

    def distance(self, features: Array) -> Array:
        """Root mean square of the whitened features float64 [T,36], to the nearest world: float64 [T]."""
        away = []
        for mean, covariance in zip(self.means, self.covariances):
            root = np.linalg.cholesky(covariance)
            white = np.linalg.solve(root, (features - mean).T)
            away.append(np.sqrt((white**2).mean(axis=0)))
        return np.min(away, axis=0)

    def save(self, path: Path, card: dict[str, object]) -> None:
        """As JSON, with a card that says from what it was made."""
        value = {
            "card": card,
            "worlds": list(self.worlds),
            "means": [[float(f"{v:.7g}") for v in row] for row in self.means],
            # The lower half, row by row; the upper half is the same.
            "covariances": [
                [float(f"{v:.7g}") for v in c[np.tril_indices(FEATURES)]] for c in self.covariances
            ],
        }
        path.write_text(json.dumps(value) + "\n")

    @classmethod
    def load(cls, path: Path) -> Reference:
        """InputError for a file that is none."""
        try:
            value = json.loads(path.read_text())
            means = np.array(value["means"], np.float64)
            covariances = np.zeros((len(means), FEATURES, FEATURES))
            for covariance, half in zip(covariances, value["covariances"], strict=True):
                covariance[np.tril_indices(FEATURES)] = half
                covariance += np.tril(covariance, -1).T
            return cls(means, covariances, tuple(value["worlds"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is no reference of naturalness: {error}") from error


def shipped_reference_path() -> Path:
    """Where the package keeps its reference."""
    return Path(__file__).parents[1] / "data" / "mscn.json"


@functools.cache
def shipped_reference() -> Reference:
    """The reference of worldloop's training houses and tables."""
    return Reference.load(shipped_reference_path())


def _describe(picture: Array) -> Array:
    cv2, numbers = opencv(), list[float]()
    for scale in range(SCALES):
        if scale:
            height, width = picture.shape
            picture = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        usual = _normalised(picture)
        shape, left, right = _asymmetric(usual)
        numbers += [shape, np.log((left**2 + right**2) / 2 + FLOOR)]
        for a, b in (
            (usual[:, :-1], usual[:, 1:]),
            (usual[:-1], usual[1:]),
            (usual[:-1, :-1], usual[1:, 1:]),
            (usual[:-1, 1:], usual[1:, :-1]),
        ):
            product = cv2.multiply(np.ascontiguousarray(a), np.ascontiguousarray(b))
            shape, left, right = _asymmetric(product)
            numbers += [shape, cv2.mean(product)[0], np.log(left**2 + FLOOR), np.log(right**2 + FLOOR)]
    return np.array(numbers)


def _normalised(picture: Array) -> Array:
    """(brightness - local mean) / (local deviation + 1)"""
    cv2 = opencv()
    size = (2 * RADIUS + 1,) * 2
    mean = cv2.GaussianBlur(picture, size, DEVIATION)
    gap = picture - mean
    # Of the deviations from the local means: what NIQE takes from squares loses its digits in single precision.
    spread = cv2.GaussianBlur(gap * gap, size, DEVIATION)
    out: Array = gap / (np.sqrt(spread) + 1)
    return out


def _asymmetric(values: Array) -> tuple[float, float, float]:
    """Log shape, and deviations to the left and right, of an asymmetric generalised Gaussian, by its moments."""
    cv2, count = opencv(), values.size
    negative, magnitude = np.minimum(values, 0), float(cv2.norm(values, cv2.NORM_L1)) / count
    whole, low = float(cv2.norm(values, cv2.NORM_L2SQR)), float(cv2.norm(negative, cv2.NORM_L2SQR))
    below, above = int(np.count_nonzero(values < 0)), int(np.count_nonzero(values > 0))
    left = float(np.sqrt(low / max(below, 1)))
    right = float(np.sqrt(max(whole - low, 0.0) / max(above, 1)))
    if not whole:
        return float(np.log(SHAPES[0])), 0.0, 0.0
    ratio = magnitude**2 / (whole / count)
    skew = left / right if right else 1.0
    wanted = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    return float(np.log(np.interp(wanted, _ratios(), SHAPES))), left, right


@functools.cache
def _ratios() -> Array:
    """(mean magnitude)^2 / mean square of a generalised Gaussian of each of `SHAPES`; rising."""
    ratios: Array = np.exp(2 * gammaln(2 / SHAPES) - gammaln(1 / SHAPES) - gammaln(3 / SHAPES))
    return ratios
