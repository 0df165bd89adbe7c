"""Tables of a study of correlations: how the metrics of models go with their success in a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from worldloop.metrics.metric import Metric
from worldloop.stats import FEWEST, Estimate, Outcomes, correlation_gap, model_correlation
from worldloop.studies.result import (
    NOT_MEASURED,
    NOT_SHOWN,
    OPPOSITE,
    SHOWN,
    Contrast,
    Finding,
    success_in,
)
from worldloop.studies.verdicts import Sample, side_of, signed, verdict_word

CONTROL, QUALITY = "controllability", "mscn_naturalness"
"""The two metrics of the claim, chosen before any result was seen; all others are told beside them."""


@dataclass(frozen=True, eq=False)
class MeasuredModel:
    """One model: success by task, and metrics by kind of case."""

    success: Mapping[str, Sample]
    scores: Mapping[str, Mapping[str, Outcomes]]
    """Task -> metric -> what counts, better upwards."""


@dataclass(frozen=True, eq=False)
class CorrelationTable:
    """One task: the models that ran in it, and what each metric has to do with their success."""

    task: str
    metrics: Mapping[str, Metric]
    models: Mapping[str, MeasuredModel]

    @cached_property
    def correlations(self) -> dict[str, dict[str, Estimate]]:
        """Metric -> kind of correlation -> estimate, for metrics that enough models have."""
        out = {}
        for name in self.metrics:
            x, y = self._pairs(name)
            if len(x) >= FEWEST:
                out[name] = {
                    "pearson": model_correlation(x, y, "pearson"),
                    "spearman": model_correlation(x, y, "spearman"),
                }
        return out

    def _having(self, *names: str) -> list[MeasuredModel]:
        return [m for m in self.models.values() if all(n in m.scores[self.task] for n in names)]

    def _pairs(self, *names: str) -> list[list[Outcomes]]:
        """The metrics, then success, of the models that have all of these metrics."""
        having = self._having(*names)
        rows = [[m.scores[self.task][n] for m in having] for n in names]
        ran = [m.success[self.task] for m in having]
        return [*rows, [Outcomes(s.values, s.scenes) for s in ran]]

    def findings(self) -> list[Finding]:
        """The claim in this task: controllability goes with success, and closer than quality does."""
        measure = success_in(self.task)
        first, second, y = self._pairs(CONTROL, QUALITY)
        if len(y) < FEWEST:
            words = f"{measure} is not correlated: {len(y)} models have both metrics, and {FEWEST} are needed"
            return [Finding(measure, NOT_MEASURED, words)]
        gap = correlation_gap(first, second, y, "pearson")
        r, s = (self.correlations[n]["pearson"] for n in (CONTROL, QUALITY))
        contrast = Contrast(CONTROL, QUALITY, gap)
        numbers = f"r = {signed(r, 2)} for controllability, {signed(s, 2)} for {QUALITY} (gap {signed(gap, 2)}; {len(y)} models)"
        closer, tie = ("controllability", r) if side_of(gap) > 0 else ("quality", s)
        other = "quality" if closer == "controllability" else "controllability"
        status = NOT_SHOWN
        if side_of(gap) == 0:
            words = f"controllability is not shown to go with {measure} more than quality does"
        elif side_of(tie) <= 0:
            words = f"{measure} goes closer with {closer} than with {other}, but is not shown to go with it at all"
        else:
            status = SHOWN if closer == "controllability" else OPPOSITE
            words = f"{measure} goes with {closer}, not {other}"
        return [Finding(measure, status, f"{words}: {numbers}", (contrast,))]

    def rows(self) -> list[dict[str, object]]:
        """JSON-ready: every correlation of this task."""
        return [
            {
                "task": self.task,
                "metric": name,
                "group": self.metrics[name].group,
                "models": kinds["pearson"].clusters,
                **{k: [e.value, e.low, e.high] for k, e in kinds.items()},
            }
            for name, kinds in self.correlations.items()
        ]


def summary(findings: Sequence[Finding]) -> str:
    """The verdict in a sentence: in which tasks the claim holds."""
    says = {SHOWN: "shown", OPPOSITE: "the opposite", NOT_SHOWN: "not shown", NOT_MEASURED: "not measured"}
    parts = []
    for status, words in says.items():
        tasks = [f.measure.removesuffix(" success") for f in findings if f.status == status]
        if tasks:
            parts.append(f"{words} in {', '.join(tasks[:-1])}{' and ' if tasks[1:] else ''}{tasks[-1]}")
    return f"{verdict_word(findings)}: {'; '.join(parts)}"
