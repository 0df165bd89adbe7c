"""Samples with known means, and a result made of them."""

from __future__ import annotations

import numpy as np

from worldloop.stats import Estimate
from worldloop.studies import Arm, Reference, StudyResult
from worldloop.studies.result import CONTROLLABILITY, success_in
from worldloop.studies.verdicts import Sample, beats, estimate, headline

N = 150
SCENES = tuple(f"house/test/{'ABC'[i % 3]}/{i // 15:04d}" for i in range(N))
SUCCESS = success_in("image-goal")


def successes(rate: float, seed: int = 0) -> Sample:
    """Episodes share their luck over arms, as paired ones do; a tenth of it is the arm's own."""
    luck = np.random.default_rng(99).permutation(N) / N
    own = np.random.default_rng([seed, int(1000 * rate)]).random(N)
    return Sample((0.9 * luck + 0.1 * own < rate).astype(float), SCENES)


def distances(mean: float, seed: int = 0) -> Sample:
    values = mean + np.random.default_rng([seed, int(1000 * mean)]).normal(0, 0.05, N)
    values[7] = np.nan
    return Sample(values, SCENES)


def arm(name: str, label: str, x: float | None, series: str = "", rate: float = 0.5) -> Arm:
    samples = {CONTROLLABILITY: distances(rate), SUCCESS: successes(rate)}
    return Arm(name, label, series, x, {m: estimate(m, s) for m, s in samples.items()}, {})


def result(arms: list[Arm], study: str = "planted") -> StudyResult:
    finding = beats(SUCCESS, ("b", successes(0.8)), ("a", successes(0.2)))
    lines = [
        Reference(n, SUCCESS, estimate(SUCCESS, successes(r))) for n, r in (("none", 0.3), ("oracle", 0.9))
    ]
    lines.append(Reference("frozen", CONTROLLABILITY, Estimate(0.4, None, None, 0.95, 0, 0, "none")))
    return StudyResult(
        study, "a < b & c", "dose", headline([finding]), tuple(arms), tuple(lines), (finding,), (), {}, {}
    )
