"""Settings that all research models share, as they are written on the command line."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from worldloop.core import InputError

FITS = ("whole", "crop")


@dataclass(frozen=True, kw_only=True)
class ResearchConfig:
    """What every adapter asks for; each adds its own."""

    name: ClassVar[str] = "research"
    """What the model is called on the command line."""
    checkpoint: str
    """File of the weights, as the repository's own training wrote it, or safetensors of the same names."""
    fit: str = "whole"
    """`whole` shows the model the whole picture, resized; `crop` the middle at the aspect it was trained at, with black
    around what it predicts."""
    batch: int | None = None
    """Candidates at once, at most; None takes 8 on a GPU and 1 on the CPU."""
    device: str = "auto"
    """`auto` is `cuda` where there is one."""
    trust: bool = False
    """Unpickle a checkpoint that holds more than weights. It then runs whatever code lies in the file."""

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise InputError(f"{self.name}: fit is {' or '.join(FITS)}, got {self.fit!r}")
        if not isinstance(self.trust, bool):
            raise InputError(f"{self.name}: trust is true or false, got {self.trust!r}")
        self.check_counts("batch")

    def check_counts(self, *settings: str) -> None:
        """InputError for settings that are neither None nor positive whole numbers."""
        for key in settings:
            number = getattr(self, key)
            if number is not None and (type(number) is not int or number < 1):
                raise InputError(f"{self.name}: {key} is a positive whole number, got {number!r}")

    def check_positive(self, *settings: str) -> None:
        """InputError for settings that are neither None nor positive numbers."""
        for key in settings:
            number = getattr(self, key)
            real = isinstance(number, (int, float)) and not isinstance(number, bool)
            if number is not None and not (real and math.isfinite(number) and number > 0):
                raise InputError(f"{self.name}: {key} is a positive number, got {number!r}")

    def torch_device(self) -> torch.device:
        """The device; InputError for one that is not there."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            device = torch.device(self.device)
        except (RuntimeError, TypeError) as error:
            raise InputError(f"no such device {self.device!r}; use cpu or cuda") from error
        if device.type == "cuda" and not torch.cuda.is_available():
            raise InputError("this torch finds no GPU; use device=cpu")
        return device


@dataclass(frozen=True, kw_only=True)
class CloneConfig(ResearchConfig):
    """Of a model whose code lies in the user's own clone."""

    clone: str
    """Folder of the cloned repository. Its code is run."""


def pixels(name: str, size: str | int) -> tuple[int, int]:
    """Rows and columns of a size such as 30x56 or 64; InputError for what is neither."""
    parts = str(size).lower().split("x")
    if len(parts) > 2 or not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise InputError(
            f"{name}: size is rows x columns such as 30x56, or one number for both, got {size!r}"
        )
    return int(parts[0]), int(parts[-1])


def read_json(path: str | Path) -> Any:
    """What a JSON file holds; InputError for what cannot be read."""
    try:
        return json.loads(Path(path).expanduser().read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from None


@dataclass(frozen=True, eq=False)
class Statistics:
    """Means and deviations of the data that a model was trained on."""

    action_mean: np.ndarray
    """float64 [A]"""
    action_std: np.ndarray
    proprio_mean: np.ndarray
    """float64 [P]; P may be 0."""
    proprio_std: np.ndarray

    @classmethod
    def read(cls, path: str | Path) -> Statistics:
        """From JSON such as `{"action_mean": [0, 0], "action_std": [1, 1]}`, with `proprio_mean` and `proprio_std`
        where the model reads them; InputError for anything else."""
        found = read_json(path)
        arrays = {}
        for key in ("action_mean", "action_std", "proprio_mean", "proprio_std"):
            given = (
                found.get(key, [] if key.startswith("proprio") else None) if isinstance(found, dict) else None
            )
            try:
                arrays[key] = np.asarray(given, float)
            except (TypeError, ValueError):
                arrays[key] = np.full(1, np.nan)
            if arrays[key].ndim != 1 or not np.isfinite(arrays[key]).all():
                raise InputError(
                    f"{path}: {key} should be a list of numbers; write the means and deviations that the training used"
                )
        for what in ("action", "proprio"):
            mean, deviation = arrays[f"{what}_mean"], arrays[f"{what}_std"]
            if (
                mean.shape != deviation.shape
                or (deviation <= 0).any()
                or (what == "action" and not len(mean))
            ):
                raise InputError(
                    f"{path}: {what}_mean and {what}_std should be equally long, all deviations positive"
                )
        return cls(**arrays)

    def actions(self, values: np.ndarray) -> np.ndarray:
        """Commands float [...,A] as the model reads them."""
        return (values - self.action_mean) / self.action_std

    def proprio(self, values: np.ndarray) -> np.ndarray:
        """Where the agent feels itself to be, float [...,P], as the model reads it."""
        return (values - self.proprio_mean) / self.proprio_std
