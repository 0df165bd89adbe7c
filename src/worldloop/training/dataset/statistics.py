"""Minimum, maximum, mean, spread and count of every feature, by episode and over the dataset."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Stats = dict[str, list[Any]]
"""`min`, `max`, `mean`, `std` (of the population) and `count`, nested as LeRobot nests them."""


def picture_stats(frames: np.ndarray) -> Stats:
    """Stats per channel, [3,1,1], of uint8 [T,H,W,3] pictures scaled to 0..1; `count` is the T frames."""
    # Counts of the 256 values make every sum exact and independent of the order.
    levels = np.arange(256, dtype=np.int64)
    low, high, mean, std = [], [], [], []
    for channel in range(3):
        counts = np.bincount(frames[..., channel].ravel(), minlength=256)
        present, pixels = np.flatnonzero(counts), int(counts.sum())
        total, squares = int(counts @ levels), int(counts @ levels**2)
        low.append([[int(present[0]) / 255]])
        high.append([[int(present[-1]) / 255]])
        mean.append([[total / pixels / 255]])
        std.append([[math.sqrt(squares * pixels - total * total) / pixels / 255]])
    return {"min": low, "max": high, "mean": mean, "std": std, "count": [len(frames)]}


def column_stats(values: np.ndarray) -> Stats:
    """Stats per component of [T] or [T,n] numbers; truth values count as 0 and 1."""
    table = values.reshape(len(values), -1)
    exact = table.astype(np.int64 if table.dtype.kind in "biu" else np.float64)
    return {
        "min": exact.min(axis=0).tolist(),
        "max": exact.max(axis=0).tolist(),
        "mean": exact.mean(axis=0, dtype=np.float64).tolist(),
        "std": exact.std(axis=0, dtype=np.float64).tolist(),
        "count": [len(table)],
    }


def depth_stats(depths: np.ndarray) -> Stats:
    """Stats of all pixels together, [1], of uint16 [T,H,W]; `count` is the T frames."""
    return {**column_stats(depths.reshape(-1)), "count": [len(depths)]}


def combine(episodes: Sequence[Mapping[str, Stats]]) -> dict[str, Stats]:
    """The stats of all frames from those of the episodes, in the order given."""
    out: dict[str, Stats] = {}
    for name in episodes[0]:
        parts = [e[name] for e in episodes]
        weight = np.array([p["count"][0] for p in parts], np.float64)
        share = weight / weight.sum()
        mean = np.array([p["mean"] for p in parts], np.float64)
        std = np.array([p["std"] for p in parts], np.float64)
        share = share.reshape(-1, *[1] * (mean.ndim - 1))
        middle = (share * mean).sum(axis=0)
        spread = np.sqrt((share * (std**2 + (mean - middle) ** 2)).sum(axis=0))
        out[name] = {
            "min": np.min([p["min"] for p in parts], axis=0).tolist(),
            "max": np.max([p["max"] for p in parts], axis=0).tolist(),
            "mean": middle.tolist(),
            "std": spread.tolist(),
            "count": [int(weight.sum())],
        }
    return out
