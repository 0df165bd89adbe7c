"""Measure the scales of the composite: what baselines score on fixed cases becomes 0 and 1 of each metric.

    python scripts/make_normalisers.py --work DIR [--cases 8] [--kinds walk,keys] [--suite full]

A scale for each metric and kind of case. 1 is what the oracle scores there. 0 is what `frozen` scores, or a picture of noise where a
frozen one is as good as the oracle. A metric by which neither is clearly worse than the oracle has no scale and is left out, as are metrics
over sets and those that need what is not in the package. Writes src/worldloop/metrics/data/normalisers.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from worldloop.core import ModelCard, Observation, Query, Rollout, generator
from worldloop.engine.measure import MeasureSettings, ModelSubject, measure
from worldloop.engine.run import git_revision, versions
from worldloop.metrics.cases import KINDS, list_cases
from worldloop.metrics.metric import choose_metrics, load_metrics
from worldloop.metrics.normalisers import FILE
from worldloop.models import MODELS
from worldloop.runs.scores import MetricInfo, Scores, read_scores
from worldloop.view.metric_table import values

CLEAR = 0.02
"""By how much of its own spread over cases a baseline must be worse than the oracle; at least by the metric's tolerance."""


class Noise:
    """Pictures of even noise, other ones at every step."""

    card = ModelCard("noise", "even noise", "none")

    def simulate(self, queries: Sequence[Query]) -> list[Rollout]:
        """Noise that depends on the question alone."""
        return [self._one(q) for q in queries]

    def _one(self, query: Query) -> Rollout:
        shape = query.history[-1].rgb.shape
        drawn = generator("noise", query.seed).integers(0, 256, (len(query.plan), *shape), dtype=np.uint8)
        return Rollout(tuple(Observation(rgb) for rgb in drawn))


def scale(info: MetricInfo, kind: str, found: dict[str, Scores]) -> dict[str, object] | str:
    """The scale of a metric in cases of a kind, or why it has none."""
    means, spread = {}, 0.0
    for name, scores in found.items():
        rows = [r for r in scores.of(info.name) if r.kind == kind]
        got = list(values(rows, info.worst).values())
        if any(r.status in ("failed", "unfit") for r in rows):
            return f"{name} failed or is unfit for it in some cases"
        if not got:
            return "it applies to none of the cases"
        means[name], spread = float(np.mean(got)), max(spread, float(np.std(got)))
    sign = 1 if info.better == "higher" else -1
    # What a metric allows a defect that it ignores to change is no difference to make a scale of.
    clear = max(CLEAR * spread, load_metrics()[info.name].tolerance)
    worse = [n for n in ("frozen", "noise") if sign * (means["oracle"] - means[n]) > clear]
    if not worse:
        return "neither a frozen picture nor noise is worse than the oracle"
    worst = worse[0]
    cases = sum(r.status == "scored" and r.kind == kind for r in found["oracle"].of(info.name))
    return {
        "version": info.version,
        "low": float(f"{means[worst]:.6g}"),
        "high": float(f"{means['oracle']:.6g}"),
        "low_from": f"{worst}, mean of {cases} cases",
        "high_from": f"oracle, mean of {cases} cases",
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--work", type=Path, required=True, help="where the scores go; the same command goes on there"
    )
    parser.add_argument("--cases", type=int, default=8, help="of each kind")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--suite", default="full")
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    kinds = options.kinds.split(",")
    specs = list_cases(kinds, options.cases)
    metrics = [m for m in choose_metrics(options.suite) if m.over == "clip" and not m.optional]
    names = ("oracle", "frozen", "noise")
    models = [Noise() if n == "noise" else MODELS.create(n) for n in names]
    subjects = [(ModelSubject(m), options.work / n) for n, m in zip(names, models)]
    settings = MeasureSettings(keep=0, suite=options.suite)
    measure(
        subjects,
        specs,
        metrics,
        settings,
        progress=lambda w, d, t: print(f"{w} {d}/{t}", end="\r", flush=True),
    )
    found = {n: read_scores(options.work / n) for n in names}
    scales: dict[str, dict[str, object]] = {}
    left_out: dict[str, dict[str, str]] = {}
    for kind in kinds:
        for info in found["oracle"].header.infos():
            got = scale(info, kind, found)
            if isinstance(got, str):
                left_out.setdefault(kind, {})[info.name] = got
            else:
                scales.setdefault(kind, {})[info.name] = got
    measured = {
        "command": f"scripts/make_normalisers.py --cases {options.cases} --kinds {options.kinds} --suite {options.suite}",
        "date": datetime.now(UTC).date().isoformat(),
        "cases": {"kinds": kinds, "of_each": options.cases, "hash": found["oracle"].header.cases_hash},
        "revision": git_revision(),
        "versions": versions(),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"measured": measured, "kinds": scales, "left_out": left_out}, indent=1)
    options.out.write_text(text + "\n", encoding="utf-8")
    count = {kind: len(of_kind) for kind, of_kind in scales.items()}
    print(f"\n{options.out}: scales by kind: {count}")


if __name__ == "__main__":
    sys.exit(main())
