"""Planted defects on a few real walks, and what every metric promises of them."""

import functools

import numpy as np
import pytest

from worldloop.metrics.cases import CaseSpec, build_case
from worldloop.metrics.defects import STRENGTHS, load_defects
from worldloop.metrics.metric import METRICS

DEFECTS = load_defects()
SPECS = {
    "walk": (
        CaseSpec("indoor", "walk", "LWLWLWLW", "house/test/C/0001", 5),
        CaseSpec("indoor", "walk", "WWLLWWWW", "house/test/A/0001", 3),
        CaseSpec("indoor", "walk", "RWRWRWRW", "house/test/A/0002", 6),
    ),
    "compose": (
        CaseSpec("indoor", "compose", "slalom", "house/test/C/0000", 2),
        CaseSpec("indoor", "compose", "mixed-left", "house/test/A/0001", 3),
        CaseSpec("indoor", "compose", "arc-right", "house/test/A/0002", 6),
    ),
    "loop": (
        CaseSpec("indoor", "loop", "turn-left", "house/test/A/0000", 0),
        CaseSpec("indoor", "loop", "there-and-back", "house/test/C/0000", 2),
    ),
}


@functools.cache
def case(spec):
    return build_case(spec)


@functools.cache
def planted(spec, name, strength):
    """The clip, whose intermediate results all metrics share."""
    return DEFECTS[name].plant(case(spec), strength)


def frozen(spec):
    one = case(spec)
    return one.clip(np.repeat(one.truth.start[None], len(one.truth.frames), axis=0), one.truth.twin)


def curve(metric, specs, name):
    """Mean over the cases for each strength."""
    values = np.array([[metric.score(planted(s, name, x)) for s in specs] for x in STRENGTHS])
    return np.nanmean(values, axis=1)


def specs_for(name):
    """Loops for what needs revisits, arcs for composite actions, else walks; one alone for what embeds pictures."""
    metric = METRICS[name]
    kind = "loop" if "revisits" in metric.needs else "compose" if "composite" in metric.needs else "walk"
    return SPECS[kind][: 1 if metric.weights == "stlpips" and kind != "loop" else None]


def check_reacts(name, defect, slack):
    """Worse with every strength, by `slack` of the whole way at the most not, and plainly worse in the end."""
    metric = METRICS[name]
    values = curve(metric, specs_for(name), defect) * (1 if metric.better == "lower" else -1)
    whole = values[-1] - values[0]
    assert whole > 0, values
    assert (np.diff(values) >= -slack * whole).all(), values


def check_ignores(name, defect):
    metric = METRICS[name]
    values = curve(metric, specs_for(name), defect)
    assert np.abs(values - values[0]).max() <= metric.tolerance, values


def promises(group):
    """(metric, defect) it reacts to, and (metric, defect) it ignores; slow where many pictures are embedded."""
    mine = [m for m in METRICS.values() if m.group == group]
    assert all(m.reacts and m.ignores for m in mine)

    def pairs(defects):
        return [pytest.param(m.name, d, marks=_marks(m, d)) for m in mine for d in defects(m)]

    return pairs(lambda m: m.reacts), pairs(lambda m: m.ignores)


def _marks(metric, defect):
    quick = "revisits" in metric.needs or (metric.name, defect) == ("controllability", "wrong-turn")
    return [pytest.mark.slow] if metric.weights == "stlpips" and not quick else []
