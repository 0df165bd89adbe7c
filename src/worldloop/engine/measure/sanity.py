"""Does each metric react to the defects it claims to see, and leave alone those it claims to ignore?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from worldloop.core import InputError
from worldloop.core.threads import available_cpus
from worldloop.metrics.cases import Case, CaseSpec, build_case
from worldloop.metrics.defects import STRENGTHS, Defect
from worldloop.metrics.metric import Metric

SLACK = 0.05
"""How far a mean may rise between two strengths, as a share of the fall from none to full, before it counts as not monotone."""
VERDICTS = ("reacts", "fails to react", "ignores", "fails to ignore", "untested", "")


@dataclass(frozen=True)
class Response:
    """One metric under one defect."""

    metric: str
    defect: str
    claim: str
    """`reacts`, `ignores` or empty."""
    change: tuple[float | None, ...]
    """At each strength above 0: how much better (+) or worse (-) than at 0, in standard deviations of all that was measured."""
    raw: tuple[float | None, ...]
    """At each strength, 0 first: the mean in the metric's unit, over the same cases."""
    cases: int
    """Cases that could be scored at every strength."""
    verdict: str
    """One of `VERDICTS`."""

    @property
    def kept(self) -> bool:
        """Whether the claim held, or could not be tested, or there is none."""
        return not self.verdict.startswith("fails")


@dataclass(frozen=True)
class Sanity:
    """All metrics under all defects."""

    responses: list[Response]
    strengths: tuple[float, ...] = STRENGTHS

    @property
    def passed(self) -> bool:
        """Whether no claim failed."""
        return all(r.kept for r in self.responses)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        rows = [asdict(r) for r in self.responses]
        return {"strengths": list(self.strengths), "passed": self.passed, "responses": rows}


def sanity(
    metrics: Sequence[Metric],
    defects: Sequence[Defect],
    specs: Sequence[CaseSpec],
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Sanity:
    """Plant every defect in every case it fits, at every strength, and score each metric over single clips.

    A metric reacts when its mean over the cases at full strength is worse than at none and never gets better on the way, up to
    `SLACK`; it ignores when no mean moves by more than its tolerance. Metrics over sets of clips are not asked, and none in kinds of
    case of which it claims nothing.
    """
    alone = [m for m in metrics if m.over == "clip"]
    if not alone or not defects or not specs:
        raise InputError(
            "sanity takes a metric over single clips, a planted defect and a case, at least one of each"
        )
    found: dict[tuple[str, str], list[list[float]]] = {}
    with ThreadPoolExecutor(available_cpus(), "worldloop-sanity") as pool:
        for i, spec in enumerate(specs):
            case = build_case(spec)
            fit = [d for d in defects if not d.kinds or spec.kind in d.kinds]
            applying = [m for m in alone if m.applies(case.truth) and spec.kind not in m.unclaimed]
            truth = dict(
                zip([m.name for m in applying], pool.map(lambda m, c=case: m.score(c.truth), applying))
            )  # type: ignore[misc]
            plant = partial(_planted, applying, case=case, truth=truth)
            for defect, values in zip(fit, pool.map(lambda d, p=plant: p(defect=d), fit)):  # type: ignore[misc]
                for name, row in values.items():
                    if not any(map(math.isnan, row)):
                        found.setdefault((name, defect.name), []).append(row)
            progress("plant defects", i + 1, len(specs))
    responses = []
    for metric in alone:
        rows = [v for (name, _), values in found.items() if name == metric.name for v in values]
        spread = float(np.std(np.array(rows))) if rows else 0.0
        responses += [
            _response(metric, d.name, found.get((metric.name, d.name), []), spread) for d in defects
        ]
    return Sanity(responses)


def _planted(
    metrics: Sequence[Metric], defect: Defect, case: Case, truth: dict[str, float]
) -> dict[str, list[float]]:
    """Metric -> its value at each strength; nothing for a case in which the defect cannot be planted.

    truth: what the metrics say of strength 0, which is the truth for every defect. A metric that needs weights is tried only under
    defects it says something of: it costs a hundred times as much as another.
    """
    fit = [m for m in metrics if m.name in truth]
    fit = [m for m in fit if not m.weights or defect.name in (*m.reacts, *m.ignores)]
    try:
        clips = [defect.plant(case, strength) for strength in STRENGTHS[1:]] if fit else []
    except InputError:
        return {}
    fit = [m for m in fit if all(m.applies(c) for c in clips)]
    return {m.name: [truth[m.name], *(m.score(c) for c in clips)] for m in fit}


def _response(metric: Metric, defect: str, rows: Sequence[Sequence[float]], spread: float) -> Response:
    claim = "reacts" if defect in metric.reacts else "ignores" if defect in metric.ignores else ""
    if not rows:
        nothing = (None,) * len(STRENGTHS)
        return Response(metric.name, defect, claim, nothing[1:], nothing, 0, "untested" if claim else "")
    means = np.array(rows, np.float64).mean(axis=0)
    sign = 1.0 if metric.better == "higher" else -1.0
    better = sign * (means - means[0])
    change = tuple(float(v) for v in (better[1:] / spread if spread > 0 else better[1:] * 0))
    raw = tuple(float(v) for v in means)
    return Response(metric.name, defect, claim, change, raw, len(rows), _verdict(metric, claim, better))


def _verdict(metric: Metric, claim: str, better: np.ndarray) -> str:
    """better: float64 [S], how much better than at strength 0."""
    if claim == "reacts":
        falls = better[-1] < 0 and (np.diff(better) <= SLACK * -better[-1]).all()
        return "reacts" if falls else "fails to react"
    if claim == "ignores":
        return "ignores" if np.abs(better).max() <= metric.tolerance + 1e-12 else "fails to ignore"
    return ""
