"""FID and FVD, for those who have the networks of their authors; no package registry ships them.

Both are the Frechet distance of `natural.frechet` on the features of one particular network, and are called by these names on
that network alone. Both files are TorchScript, as published with StyleGAN2-ADA and StyleGAN-V, and run as they are.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.core import InputError
from worldloop.metrics.clip import Array, Clip
from worldloop.metrics.metric import metric
from worldloop.metrics.quality.natural import LEAST, frechet

LEAST_CLIPS = 16
"""Clips below which FVD says more of the sample than of the model."""
SHORTEST = 10
"""Frames that a clip needs for I3D, which halves time three times."""
SIDE = 224
"""Pixels of I3D's input."""


@dataclass(frozen=True)
class Detector:
    """A network in a TorchScript file that an environment variable names."""

    variable: str
    file: str
    width: int
    """Numbers it gives for each picture or clip."""

    @property
    def how(self) -> str:
        """How to get it, for a message."""
        return f"set {self.variable} to {self.file}"

    def features(self, pictures: Any, **switches: bool) -> Array:
        """float64 [N, width]. InputError without the file, or where it is another network."""
        import torch

        with torch.inference_mode():
            try:
                found = _load(os.environ.get(self.variable, ""), self.how)(
                    pictures, return_features=True, **switches
                )
            except RuntimeError as error:
                raise InputError(
                    f"the network in {self.variable} is another one: {str(error)[-300:]}; {self.how}"
                ) from None
        if found.shape != (len(pictures), self.width):
            raise InputError(
                f"the network in {self.variable} gives {tuple(found.shape)} for {len(pictures)} inputs, not {self.width} numbers "
                f"each; {self.how}"
            )
        return np.asarray(found.double().numpy(), np.float64)


INCEPTION = Detector(
    "WORLDLOOP_FID_INCEPTION", "inception-2015-12-05.pt, the TorchScript Inception of StyleGAN2-ADA", 2048
)
I3D = Detector("WORLDLOOP_FVD_I3D", "i3d_torchscript.pt, the TorchScript I3D of StyleGAN-V", 400)


@functools.cache
def _load(path: str, how: str) -> Callable[..., Any]:
    import torch

    if not path:
        raise InputError(f"there are no weights for this metric; {how}")
    try:
        network: Callable[..., Any] = torch.jit.load(path, map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"{path} is no TorchScript file: {str(error)[:200]}; {how}") from None
    return network


@metric(
    "fid",
    group="quality",
    unit="",
    low=0.0,
    high=1500.0,
    better="lower",
    worst=1500.0,
    source="FID, Heusel et al., NeurIPS 2017, on the 2015 Inception of its authors",
    needs=("truth",),
    over="set",
    weights="inception-2015-12-05.pt",
    optional=INCEPTION.how,
    # As `frechet_efficientnet` does; not measured, for want of the weights.
    reacts=("blur", "noise"),
    ignores=("restless",),
)
def fid(clips: Sequence[Clip]) -> float:
    """Frechet Inception distance between all imagined and all true frames, for those who have its weights.

    NaN below 128 frames; the usual 50,000 are far more than a suite has, so values compare on the same cases only. Cannot see
    order: shuffled frames are equal.
    """
    if sum(len(c.frames) for c in clips) < LEAST:
        return float("nan")
    return _distance(clips, "fid", _inception)


@metric(
    "fvd",
    group="quality",
    unit="",
    low=0.0,
    high=5000.0,
    better="lower",
    worst=5000.0,
    source="FVD, Unterthiner et al. 2018 (arXiv 1812.01717), on I3D (Kinetics-400)",
    needs=("truth",),
    over="set",
    weights="i3d_torchscript.pt",
    optional=I3D.how,
    # Not measured, for want of the weights.
    reacts=("blur", "noise", "freeze"),
    ignores=("restless",),
)
def fvd(clips: Sequence[Clip]) -> float:
    """Frechet video distance between imagined and true clips, for those who have its weights.

    Of the clips with 10 frames or more; NaN when there are fewer than 16. The usual 2,048 are far more than a suite has, so values
    compare on the same cases only.
    """
    long = [c for c in clips if len(c.frames) >= SHORTEST]
    return _distance(long, "fvd", _i3d) if len(long) >= LEAST_CLIPS else float("nan")


def checked_inception() -> Path:
    """The file of FID's network, after a blank picture has passed through it; InputError as `Detector.features`."""
    _inception(np.zeros((1, SIDE, SIDE, 3), np.uint8))
    return Path(os.environ[INCEPTION.variable])


def checked_i3d() -> Path:
    """The file of FVD's network, after a blank clip has passed through it; InputError as `Detector.features`."""
    _i3d(np.zeros((SHORTEST, SIDE, SIDE, 3), np.uint8))
    return Path(os.environ[I3D.variable])


def _distance(clips: Sequence[Clip], name: str, features: Callable[[Array], Array]) -> float:
    sides = ("frames", "truth")
    shown, true = (
        np.concatenate([c.once((name, side), partial(features, getattr(c, side))) for c in clips])
        for side in sides
    )
    return frechet(shown, true)


def _inception(frames: Array) -> Array:
    import torch

    return INCEPTION.features(torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2))))


def _i3d(frames: Array) -> Array:
    import torch

    video = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2))).float() / 127.5 - 1
    video = torch.nn.functional.interpolate(video, (SIDE, SIDE), mode="bilinear", align_corners=False)
    return I3D.features(video.permute(1, 0, 2, 3)[None], rescale=False, resize=False)
