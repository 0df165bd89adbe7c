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

import numba as nb
import numpy as np
from scipy.special import gammaln

from worldloop.core import InputError
from worldloop.metrics.clip import Array, Clip
from worldloop.metrics.shared.grey import grey_of
from worldloop.metrics.shared.opencv import opencv
from worldloop.metrics.shared.parts import by_step

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
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Pixels down and to the right: to the right, below, and on both diagonals."""


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
    return _features(np.array(by_step(_moments, pictures)))


def naturalness(clip: Clip, name: str) -> Array:
    """Distance of each picture of `frames`, `truth` or `start` from the usual, float64 [T]; about 0.5 is usual."""
    found: Array = clip.keeper(name).once(
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


def _moments(picture: Array) -> Array:
    """float64 [scales,5,7]: `_sums` of the normalised brightness and of its products with four neighbours."""
    cv2, found = opencv(), list[list[tuple[float, ...]]]()
    for scale in range(SCALES):
        if scale:
            height, width = picture.shape
            picture = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        usual = _normalised(picture)
        found.append(
            [_sums(usual, False, 0, 0), *(_sums(usual, True, down, right) for down, right in NEIGHBOURS)]
        )
    return np.array(found)


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


@nb.njit(nogil=True, cache=True, fastmath={"reassoc"})
def _sums(
    usual: Array, product: bool, down: int, right: int
) -> tuple[int, int, int, float, float, float, float]:
    """Numbers of values, of negative and of positive ones; their sum, that of magnitudes, of squares, of negative ones' squares.

    Of float32 [H,W] itself, or of its products with the neighbour so many pixels down and to the right (-1: to the left).
    """
    height, width = usual.shape
    count, below, above = 0, 0, 0
    total, magnitude, squares, low = 0.0, 0.0, 0.0, 0.0
    for v in range(height - down):
        here, there = usual[v], usual[v + down]
        for u in range(max(0, -right), width - max(0, right)):
            value = np.float64(here[u] * there[u + right] if product else here[u])
            square = value * value
            count += 1
            below += int(value < 0)
            above += int(value > 0)
            total += value
            magnitude += abs(value)
            squares += square
            low += square if value < 0 else 0.0
    return count, below, above, total, magnitude, squares, low


def _features(sums: Array) -> Array:
    """float64 [T,36] of the `_moments` of T pictures, float64 [T,scales,5,7]."""
    shape, left, right = _asymmetric(sums)
    own = np.stack([shape[..., 0], np.log((left**2 + right**2)[..., 0] / 2 + FLOOR)], axis=-1)
    mean = sums[..., 3] / sums[..., 0]
    pairs = np.stack([shape, mean, np.log(left**2 + FLOOR), np.log(right**2 + FLOOR)], axis=-1)[:, :, 1:]
    return np.concatenate([own, pairs.reshape(*own.shape[:2], -1)], axis=2).reshape(len(sums), FEATURES)


def _asymmetric(sums: Array) -> tuple[Array, Array, Array]:
    """Log shape, and deviations to the left and right, of asymmetric generalised Gaussians, from `_sums` float64 [...,7]."""
    count, below, above, _, magnitude, squares, low = np.moveaxis(sums, -1, 0)
    left = np.sqrt(low / np.maximum(below, 1))
    right = np.sqrt(np.maximum(squares - low, 0) / np.maximum(above, 1))
    # Of nothing but zeros, the smallest shape.
    ratio = np.divide((magnitude / count) ** 2, squares / count, out=np.zeros_like(left), where=squares > 0)
    skew = np.divide(left, right, out=np.ones_like(left), where=right > 0)
    wanted = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    return np.log(np.interp(wanted, _ratios(), SHAPES)), left, right


@functools.cache
def _ratios() -> Array:
    """(mean magnitude)^2 / mean square of a generalised Gaussian of each of `SHAPES`; rising."""
    ratios: Array = np.exp(2 * gammaln(2 / SHAPES) - gammaln(1 / SHAPES) - gammaln(3 / SHAPES))
    return ratios
