"""One number for a model, in the manner of WorldArena's EWMScore: mean of normalised metrics x 100, with what it hides.

Off unless asked for. The scales are frozen, so that no model's number depends on another's; the raw values stand beside it, and how
firm the ranking is when weights or scenes change. A metric that is missing makes the number undefined, not smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from worldloop.metrics.normalisers import Normalisers
from worldloop.runs.scores import Scores
from worldloop.stats import Stability, normalise, under_scenes, under_weights
from worldloop.view.leaderboard_table import printable
from worldloop.view.metric_table import label, values
from worldloop.view.metric_text import NONE, number

SPREAD = 0.2
"""By which share each weight is varied."""


@dataclass(frozen=True)
class CompositeRow:
    """One model."""

    model: str
    score: float | None
    """0 to 100; None where it is undefined."""
    undefined: str
    """Why; empty otherwise."""
    raw: dict[str, float | None]
    """Mean of each metric in its own unit."""
    normalised: dict[str, float | None]
    """The same from 0 to 1."""


@dataclass(frozen=True)
class Composite:
    """All models, best first, and how firm that order is among those with a score."""

    rows: list[CompositeRow]
    weights: Stability | None
    """Under other weights; None with fewer than two scores."""
    scenes: Stability | None
    """Under other scenes."""
    measured: dict[str, Any]
    """Where the scales come from."""
    left_out: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def notes(self) -> list[str]:
        """In words."""
        lines = [
            "Mean of the normalised metrics x 100, equal weights. Scales: "
            f"{self.measured.get('command', 'unknown')} on {self.measured.get('date', 'an unknown day')}."
        ]
        lines += [f"{r.model} has no score: {r.undefined}." for r in self.rows if r.score is None]
        for what, found in (
            (f"weights drawn within {SPREAD:.0%}", self.weights),
            ("scenes drawn anew", self.scenes),
        ):
            if found is not None:
                lines.append(
                    f"Order with {what}: stays in {found.same:.0%} of {found.draws} draws, mean Kendall tau {found.tau:.2f}."
                )
        if self.left_out:
            lines.append(
                "Without a scale: " + "; ".join(f"{n} ({why})" for n, why in self.left_out.items()) + "."
            )
        return lines

    def to_rich(self) -> Table:
        """The scores and the raw vector; what is under the table is in `notes`."""
        table = Table(title="Composite ewm", title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("metric")
        for row in self.rows:
            table.add_column(Text(printable(row.model)), justify="right")
        shown = [NONE if r.score is None else f"{r.score:.1f}" for r in self.rows]
        table.add_row(Text("score", style="bold"), *(Text(s, style="bold") for s in shown))
        for name in self.rows[0].raw:
            cells = []
            for row in self.rows:
                raw, scaled = row.raw[name], row.normalised[name]
                cells.append(NONE if raw is None or scaled is None else f"{number(raw)} ({scaled:.2f})")
            table.add_row(Text(printable(name)), *cells)
        return table


def composite(scores: Sequence[Scores], normalisers: Normalisers) -> Composite:
    """The composite of models that were measured on the same cases."""
    labels, k = label(scores), len(normalisers.metrics)
    low, high = (np.array([getattr(m, end) for m in normalisers.metrics]) for end in ("low", "high"))
    cases = [c["id"] for c in scores[0].header.cases]
    held = np.full((len(scores), k, len(cases)), np.nan)
    fixed, means, why = (
        np.full((len(scores), k), np.nan),
        np.full((len(scores), k), np.nan),
        [""] * len(scores),
    )
    for i, found in enumerate(scores):
        infos = {m.name: m for m in found.header.infos()}
        for j, scale in enumerate(normalisers.metrics):
            info = infos.get(scale.metric)
            if info is None or info.version != scale.version:
                what = (
                    "was not measured"
                    if info is None
                    else f"is of version {info.version}, the scale of {scale.version}"
                )
                why[i] = why[i] or f"{scale.metric} {what}"
                continue
            rows = found.of(scale.metric)
            unfit, value = sum(r.status == "unfit" for r in rows), values(rows, info.worst)
            if unfit or not value or not found.complete:
                reason = (
                    f"is unfit for {unfit} cases"
                    if unfit
                    else "has no value"
                    if not value
                    else "is unfinished"
                )
                why[i] = why[i] or f"{scale.metric} {reason}"
            if value:
                means[i, j] = np.mean(list(value.values()))
                if info.over == "set":
                    fixed[i, j] = means[i, j]
                held[i, j] = [value.get(c, np.nan) for c in cases]
    scaled = normalise(means, low, high)
    full = [i for i in range(len(scores)) if not why[i]]
    board = list[CompositeRow]()
    for i, name in enumerate(labels):
        raw = dict(zip((m.metric for m in normalisers.metrics), map(_or_none, means[i])))
        normal = dict(zip(raw, map(_or_none, scaled[i])))
        score = None if why[i] else float(100 * scaled[i].mean())
        board.append(CompositeRow(name, score, why[i], raw, normal))
    board.sort(key=lambda r: (r.score is None, -(r.score or 0.0), r.model))
    weights = scenes = None
    if len(full) > 1:
        weights = under_weights(scaled[full], SPREAD)
        clusters = [c["scene"] for c in scores[0].header.cases]
        if len(set(clusters)) > 1:
            scenes = under_scenes(held[full], clusters, low, high, fixed[full])
    return Composite(board, weights, scenes, normalisers.measured, normalisers.left_out)


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
