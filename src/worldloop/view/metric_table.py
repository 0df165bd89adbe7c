"""Open-loop scores in, tables out: every metric of every model, beside frozen, shuffled and oracle on the same cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from worldloop.core import InputError
from worldloop.runs.scores import MetricInfo, ScoreRow, Scores
from worldloop.stats import STUDENT, Estimate, fewest_clusters, mean_interval

REFERENCES = ("frozen", "oracle")
"""Baselines that the others are compared with, case by case."""
MOST_REASONS = 6
"""Reasons for failures that are told below a table."""
ARROWS = {"higher": "↑", "lower": "↓"}


@dataclass(frozen=True)
class MetricCell:
    """One metric of one model."""

    mean: Estimate | None
    """Over the cases that were scored or failed; None where there are none."""
    scored: int
    total: int
    """Cases to which the metric applies, the same for all models."""
    counts: dict[str, int]
    """Of every status but `scored` and `lacking`."""
    kinds: dict[str, float]
    """Mean for each `domain.kind`."""
    differences: dict[str, Estimate]
    """This model minus each of `REFERENCES`, over the cases that both have; empty for baselines."""

    @property
    def coverage(self) -> str:
        """`23/24`."""
        return f"{self.scored}/{self.total}"


@dataclass(frozen=True)
class MetricLine:
    """One metric of all models."""

    info: MetricInfo
    cells: list[MetricCell | None]
    """In the order of the table's models; None for a model that was not measured by this metric."""

    @property
    def applies(self) -> bool:
        """Whether there is any case for it."""
        return any(cell is not None and cell.total for cell in self.cells)

    def verdict(self, cell: MetricCell, reference: str) -> str:
        """`better` or `worse` than a baseline where the interval says so, else empty."""
        d = cell.differences.get(reference)
        if d is None or d.low is None or d.high is None or d.low <= 0 <= d.high:
            return ""
        return "better" if (d.low > 0) == (self.info.better == "higher") else "worse"


@dataclass(frozen=True)
class MetricTable:
    """Models that were measured on one list of cases."""

    suite: str
    models: list[str]
    """What was asked for, then the baselines."""
    baselines: list[str]
    references: list[str]
    """Those of `REFERENCES` that are among the baselines, which may be called otherwise where a model shares the name."""
    privileges: dict[str, tuple[str, ...]]
    """Of each model, what it read of the truth."""
    seconds: dict[str, float]
    """Model time of each model over all cases."""
    cases: dict[str, int]
    """Number of cases of each `domain.kind`."""
    scenes: int
    lines: list[MetricLine]
    notes: list[str]

    @property
    def title(self) -> str:
        """What was measured."""
        kinds = ", ".join(f"{n} {k}" for k, n in self.cases.items())
        return f"Metrics of suite {self.suite}: {kinds}; {self.scenes} scene{'s' if self.scenes != 1 else ''}"

    @property
    def compared(self) -> list[tuple[str, str]]:
        """Pairs of a model and the baseline it is compared with."""
        asked = [m for m in self.models if m not in self.baselines]
        return [(m, r) for m in asked for r in REFERENCES if r in self.references]

    def cell(self, line: MetricLine, model: str) -> MetricCell | None:
        """The cell of a model in a line."""
        return line.cells[self.models.index(model)]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; undefined numbers are None."""
        return asdict(self)


def metric_tables(scores: Sequence[Scores], confidence: float = 0.95) -> list[MetricTable]:
    """A table for each list of cases, in the order in which they come. InputError for none, or two of one model.

    A model's numbers depend on its own scores alone.
    """
    if not scores:
        raise InputError("there are no scores; measure with `worldloop metrics` first")
    groups: dict[str, list[Scores]] = {}
    for found in scores:
        groups.setdefault(found.header.cases_hash, []).append(found)
    return [_table(group, confidence) for group in groups.values()]


def _table(scores: Sequence[Scores], confidence: float) -> MetricTable:
    order = {"frozen": 0, "shuffled": 1, "oracle": 2}
    scores = sorted(
        scores, key=lambda s: (s.header.baseline, order.get(s.header.name, 3) if s.header.baseline else 0)
    )
    labels = label(scores)
    infos: dict[str, MetricInfo] = {}
    for found in scores:
        for info in found.header.infos():
            if infos.setdefault(info.name, info) != info:
                raise InputError(
                    f"{found.folder} and another folder were measured by different versions or weights of {info.name!r}; give "
                    "the command that measured them again"
                )
    references = {s.header.name: s for s in scores if s.header.name in REFERENCES and s.header.baseline}
    lines = [
        MetricLine(
            info, [_cell(s, info, {} if s.header.baseline else references, confidence) for s in scores]
        )
        for info in infos.values()
    ]
    first = scores[0].header
    return MetricTable(
        suite=first.suite,
        models=labels,
        baselines=[n for n, s in zip(labels, scores) if s.header.baseline],
        references=list(references),
        privileges={n: s.header.privileges for n, s in zip(labels, scores)},
        seconds={n: _model_seconds(s) for n, s in zip(labels, scores)},
        cases=dict(Counter(f"{c['domain']}.{c['kind']}" for c in first.cases)),
        scenes=len({c["scene"] for c in first.cases}),
        lines=lines,
        notes=_notes(scores, labels, lines),
    )


def label(scores: Sequence[Scores]) -> list[str]:
    """Names of models; where two share one, the folder's name tells them apart. InputError when that is equal, too."""
    names = Counter(s.header.name for s in scores)
    found = [s.header.name if names[s.header.name] == 1 else s.folder.name for s in scores]
    if len(set(found)) < len(found):
        twice = next(n for n, c in Counter(found).items() if c > 1)
        raise InputError(f"there are two folders of scores of {twice!r} on the same cases; give one of them")
    return found


def values(rows: Sequence[ScoreRow], worst: float) -> dict[str, float]:
    """Case -> what counts for it: its value, or the worst where it failed; other cases are not in it."""
    out = {}
    for row in rows:
        if row.status == "scored" and row.value is not None:
            out[row.case] = row.value
        elif row.status == "failed":
            out[row.case] = worst
    return out


def _cell(
    scores: Scores, info: MetricInfo, references: dict[str, Scores], confidence: float
) -> MetricCell | None:
    rows = [r for r in scores.of(info.name) if r.status != "lacking"]
    if info.name not in {m["name"] for m in scores.header.metrics}:
        return None
    found, scenes = values(rows, info.worst), {r.case: r.scene for r in rows}
    kinds: dict[str, list[float]] = {}
    for row in rows:
        if row.case in found:
            kinds.setdefault(f"{row.domain}.{row.kind}", []).append(found[row.case])
    counts = Counter(r.status for r in rows)
    differences = {}
    for name, other in references.items():
        theirs = values(other.of(info.name), info.worst)
        both = [c for c in found if c in theirs]
        if both:
            d = mean_interval([found[c] - theirs[c] for c in both], [scenes[c] for c in both], confidence)
            differences[name] = d if info.over == "clip" else _bare(d)
    mean = None
    if found:
        ours, ends = list(found.values()), (info.low, info.high)
        mean = mean_interval(ours, [scenes[c] for c in found], confidence, within=ends)
    return MetricCell(
        mean=mean if mean is None or info.over == "clip" else _bare(mean),
        scored=counts["scored"],
        total=len(rows),
        counts={s: n for s, n in sorted(counts.items()) if s != "scored"},
        kinds={k: float(np.mean(v)) for k, v in kinds.items()},
        differences=differences,
    )


def _bare(estimate: Estimate) -> Estimate:
    """Sets of clips are too few to resample."""
    return replace(estimate, low=None, high=None, note="over sets of clips, which are not resampled")


def _model_seconds(scores: Scores) -> float:
    return float(sum({r.case: r.seconds for r in scores.rows}.values()))


def _notes(scores: Sequence[Scores], labels: Sequence[str], lines: Sequence[MetricLine]) -> list[str]:
    """What a reader must know to read the numbers."""
    notes = [
        "Means over cases with 95 % intervals that resample scenes; arrows point to the better side. Below: cases scored of those "
        "to which the metric applies.",
        "A rollout that failed counts as the metric's worst value; a case that a model cannot be asked (unfit), or in which there is "
        "nothing to score, is in no mean and lowers the coverage.",
    ]
    cells = [cell for line in lines for cell in line.cells if cell is not None]
    shown = [e for cell in cells for e in (cell.mean, *cell.differences.values())]
    if few := [e for e in shown if e is not None and e.defined and e.method == STUDENT]:
        notes.append(
            f"With fewer than {fewest_clusters(few[0].confidence)} scenes, too few to resample, intervals are Student's t over scenes."
        )
    for name, found in zip(labels, scores):
        if not found.complete:
            notes.append(f"{name} is unfinished: {len(found.rows)} scores so far.")
    notes += _blame(scores, labels)
    if idle := [line.info.name for line in lines if not line.applies]:
        notes.append(f"Do not apply to any of these cases: {', '.join(idle)}.")
    there = {s.header.name: i for i, s in enumerate(scores) if s.header.baseline}
    if "frozen" in there and "oracle" in there:
        fooled = [line.info.name for line in lines if _fooled(line, there["frozen"], there["oracle"])]
        if fooled:
            notes.append(
                f"A frozen picture is as good as the oracle by {', '.join(fooled)}: never read these alone."
            )
    return notes


def _blame(scores: Sequence[Scores], labels: Sequence[str]) -> list[str]:
    """Each reason once, with whom and what it concerns, the most frequent ones first."""
    models: dict[tuple[str, str], dict[str, None]] = {}
    metrics: dict[tuple[str, str], set[str]] = {}
    order = list(dict.fromkeys(str(m["name"]) for s in scores for m in s.header.metrics))
    cases: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for name, found in zip(labels, scores):
        for row in found.rows:
            if row.status in ("failed", "unfit"):
                key = row.status, row.error
                models.setdefault(key, {})[name] = None
                metrics.setdefault(key, set()).add(row.metric)
                cases.setdefault(key, set()).add((name, row.case))
    lines = []
    for key in sorted(cases, key=lambda k: -len(cases[k]))[:MOST_REASONS]:
        (status, reason), count = key, len(cases[key])
        named = [m for m in order if m in metrics[key]]
        what = ", ".join(named) if len(named) <= 3 else f"{len(named)} metrics"
        verb = "cannot be asked" if status == "unfit" else "failed"
        lines.append(
            f"{', '.join(models[key])}: {count} case{'s' if count != 1 else ''} {verb} ({what}): {reason[:200]}"
        )
    if len(cases) > MOST_REASONS:
        lines.append(f"{len(cases) - MOST_REASONS} more reasons are in the tables of scores.")
    return lines


def _fooled(line: MetricLine, frozen: int, oracle: int) -> bool:
    still, true = line.cells[frozen], line.cells[oracle]
    if still is None or true is None or still.mean is None or true.mean is None:
        return False
    if still.mean.value is None or true.mean.value is None or not (still.scored and true.scored):
        return False
    sign = 1 if line.info.better == "higher" else -1
    return sign * (still.mean.value - true.mean.value) >= 0
