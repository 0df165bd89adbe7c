"""One number for a model, in the manner of WorldArena's EWMScore: mean of normalised metrics x 100, with what it hides.

Off unless asked for. The scales are frozen, one for each metric and kind of case, so that no model's number depends on another's. Each
kind counts alike, and each metric within its kind. The raw values stand beside it, and how firm the ranking is when weights or scenes
change. What is missing makes a number undefined, not smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from worldloop.core import InputError
from worldloop.metrics.normalisers import Normaliser, Normalisers
from worldloop.runs.scores import Scores
from worldloop.stats import Stability, normalise, under_scenes, under_weights
from worldloop.view.leaderboard_table import printable
from worldloop.view.metric_table import label, values
from worldloop.view.metric_text import NONE, number
from worldloop.view.wide import Wide

SPREAD = 0.2
"""By which share each weight is varied."""
SILENT = "has no value"
"""Where a metric applies to none of a few cases, whatever the model."""


@dataclass(frozen=True)
class CompositeRow:
    """One model."""

    model: str
    score: float | None
    """0 to 100, the mean over kinds; None where one of them has none."""
    kinds: dict[str, float | None]
    """0 to 100 for each kind of case, None where it is undefined."""
    undefined: dict[str, str]
    """Why, by kind."""
    raw: dict[str, dict[str, float | None]]
    """By kind, the mean of each metric in its own unit."""
    normalised: dict[str, dict[str, float | None]]
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
    without: list[str]
    """Kinds that were measured and have no scale; they do not count."""
    silent: list[str]
    """Metrics that say nothing of these few cases, of any model; they do not count either."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def notes(self) -> list[str]:
        """In words."""
        lines = [
            "Mean over kinds of the mean of normalised metrics, x 100: 0 is a frozen picture (noise where that is as good as the "
            f"truth), 1 the oracle. Scales: {self.measured.get('command', 'unknown')} on "
            f"{self.measured.get('date', 'an unknown day')}."
        ]
        for row in self.rows:
            if row.undefined:
                why = "; ".join(f"{kind}: {reason}" for kind, reason in row.undefined.items())
                rest = [k for k in row.kinds if k not in row.undefined]
                hint = f"; --kinds {','.join(rest)} gives one" if rest else ""
                lines.append(f"{row.model} has no score ({why}){hint}.")
        for what, found in (
            (f"weights drawn within {SPREAD:.0%}", self.weights),
            ("scenes drawn anew", self.scenes),
        ):
            if found is not None:
                lines.append(
                    f"Order with {what}: stays in {found.same:.0%} of {found.draws} draws, mean Kendall tau {found.tau:.2f}."
                )
        if self.without:
            lines.append(f"Kinds without a scale, which do not count: {', '.join(self.without)}.")
        if self.silent:
            lines.append(f"Without a value in these cases, and not counted: {', '.join(self.silent)}.")
        return lines

    def to_rich(self) -> Wide:
        """The scores and the raw vector; what is under the table is in `notes`."""
        return Wide(lambda which: self._table([self.rows[i] for i in which]), len(self.rows))

    def _table(self, rows: Sequence[CompositeRow]) -> Table:
        table = Table(title="Composite ewm", title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("metric")
        for row in rows:
            table.add_column(Text(printable(row.model)), justify="right")

        def scores(name: str, found: Sequence[float | None]) -> None:
            shown = [NONE if s is None else f"{s:.1f}" for s in found]
            table.add_row(Text(name, style="bold"), *(Text(s, style="bold") for s in shown))

        scores("score", [r.score for r in rows])
        for kind, metrics in rows[0].raw.items():
            scores(kind, [r.kinds[kind] for r in rows])
            for name in metrics:
                cells = []
                for row in rows:
                    raw, scaled = row.raw[kind][name], row.normalised[kind][name]
                    cells.append(NONE if raw is None or scaled is None else f"{number(raw)} ({scaled:.2f})")
                table.add_row(Text(f"  {printable(name)}"), *cells)
        return table


def composite(scores: Sequence[Scores], normalisers: Normalisers) -> Composite:
    """The composite of models that were measured on the same cases.

    InputError where no kind of these cases has a scale.
    """
    cases = scores[0].header.cases
    there = list(dict.fromkeys(str(c["kind"]) for c in cases))
    scales = [s for kind in there for s in normalisers.metrics if s.kind == kind]
    if not scales:
        raise InputError(
            f"no kind of these cases has a scale: {', '.join(there)}; scripts/make_normalisers.py --kinds measures some"
        )
    ids = [str(c["id"]) for c in cases]
    every = [[_column(found, scale, ids) for found in scores] for scale in scales]
    silent = [all(why.endswith(SILENT) for _, why in of_scale) for of_scale in every]
    columns = list(zip(*(of_scale for of_scale, none in zip(every, silent) if not none)))
    nothing = [f"{s.metric} in {s.kind}" for s, none in zip(scales, silent) if none]
    scales = [s for s, none in zip(scales, silent) if not none]
    if not scales:
        raise InputError(
            "no metric with a scale has a value in these cases; measure more of them with --cases"
        )
    kinds = list(dict.fromkeys(s.kind for s in scales))
    held = np.array([[values for values, _ in row] for row in columns])
    low, high = (np.array([getattr(s, end) for s in scales]) for end in ("low", "high"))
    means = np.array(
        [[v[np.isfinite(v)].mean() if np.isfinite(v).any() else np.nan for v in row] for row in held]
    )
    scaled = normalise(means, low, high)
    board = list[CompositeRow]()
    for i, name in enumerate(label(scores)):
        row = CompositeRow(name, None, {}, {}, {}, {})
        for kind in kinds:
            mine = [j for j, s in enumerate(scales) if s.kind == kind]
            named = [scales[j].metric for j in mine]
            row.raw[kind] = dict(zip(named, map(_or_none, means[i, mine])))
            row.normalised[kind] = dict(zip(named, map(_or_none, scaled[i, mine])))
            if reason := next((columns[i][j][1] for j in mine if columns[i][j][1]), ""):
                row.undefined[kind] = reason
            row.kinds[kind] = None if reason else float(100 * scaled[i, mine].mean())
        whole = None if row.undefined else float(np.mean([v for v in row.kinds.values() if v is not None]))
        board.append(CompositeRow(name, whole, row.kinds, row.undefined, row.raw, row.normalised))
    full = [i for i, row in enumerate(board) if row.score is not None]
    weights = scenes = None
    if len(full) > 1:
        shares = np.array([1 / sum(o.kind == s.kind for o in scales) for s in scales]) / len(kinds)
        weights = under_weights(scaled[full], shares, SPREAD)
        clusters = [c["scene"] for c in cases]
        if len(set(clusters)) > 1:
            scenes = under_scenes(held[full], clusters, low, high, shares)
    board.sort(key=lambda r: (r.score is None, -(r.score or 0.0), r.model))
    return Composite(
        board, weights, scenes, normalisers.measured, [k for k in there if k not in kinds], nothing
    )


def _column(found: Scores, scale: Normaliser, cases: Sequence[str]) -> tuple[np.ndarray, str]:
    """What counts of one metric in cases of the scale's kind, float64 [n] with NaN elsewhere, and why it gives no number."""
    held = np.full(len(cases), np.nan)
    info = next((m for m in found.header.infos() if m.name == scale.metric), None)
    if info is None:
        return held, f"{scale.metric} was not measured"
    if info.version != scale.version:
        return held, f"{scale.metric} is of version {info.version}, the scale of {scale.version}"
    rows = [r for r in found.of(scale.metric) if r.kind == scale.kind]
    value, unfit = values(rows, info.worst), sum(r.status == "unfit" for r in rows)
    held[:] = [value.get(case, np.nan) for case in cases]
    if unfit:
        return held, f"{scale.metric} is unfit for {unfit} cases"
    return (
        held,
        ""
        if value and found.complete
        else f"{scale.metric} {'is unfinished' if not found.complete else SILENT}",
    )


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
