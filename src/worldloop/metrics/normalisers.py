"""What becomes 0 and 1 when metrics are put on one scale: measured once on baselines, and frozen since."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldloop.core import InputError

FILE = Path(__file__).parent / "data" / "normalisers.json"


@dataclass(frozen=True)
class Normaliser:
    """The scale of one metric in cases of one kind."""

    kind: str
    metric: str
    version: int
    """Of the metric; scores of another version are on no scale."""
    low: float
    """What becomes 0; the larger number where lower is better."""
    high: float
    """What becomes 1."""
    low_from: str
    high_from: str


@dataclass(frozen=True)
class Normalisers:
    """A frozen list of scales."""

    measured: dict[str, Any]
    """`command`, `date`, `cases` and `versions` of the measurement."""
    metrics: tuple[Normaliser, ...]
    left_out: dict[str, dict[str, str]]
    """By kind, metrics that have no scale there, with the reason."""


def read_normalisers(path: str | Path = FILE) -> Normalisers:
    """The scales in a file; InputError when it is missing or malformed."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no file of normalisers {path}; make one with scripts/make_normalisers.py")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        metrics = tuple(
            Normaliser(kind=kind, metric=name, **scale)
            for kind, scales in data["kinds"].items()
            for name, scale in scales.items()
        )
        left_out = {kind: dict(names) for kind, names in data.get("left_out", {}).items()}
        found = Normalisers(dict(data["measured"]), metrics, left_out)
        for m in metrics:
            if not (math.isfinite(m.low) and math.isfinite(m.high)) or m.low == m.high:
                raise ValueError(f"the scale of {m.metric!r} in {m.kind!r} has no length")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} holds no normalisers ({error}); make it with scripts/make_normalisers.py"
        ) from None
    if not metrics:
        raise InputError(f"{path} has no metric; make it with scripts/make_normalisers.py")
    return found
