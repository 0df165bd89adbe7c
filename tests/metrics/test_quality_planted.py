"""Metrics of pictures and of long rollouts react to planted defects, and leave alone what is none of their business."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import worldloop.metrics.long
import worldloop.metrics.quality  # noqa: F401
from worldloop.core import InputError
from worldloop.metrics.cases import build_case, list_cases
from worldloop.metrics.clip import Clip
from worldloop.metrics.defects import picture, time  # noqa: F401  (they register defects)
from worldloop.metrics.defects.defect import DEFECTS, STRENGTHS
from worldloop.metrics.metric import METRICS

SLACK = 0.1
"""Share of the whole reaction by which a stronger defect may score better than a weaker one in between."""
OWN = [m for m in METRICS.values() if m.group in ("quality", "long") and not m.optional]
LIGHT = [m.name for m in OWN if not m.weights]
HEAVY = [m.name for m in OWN if m.weights and m.over == "clip"]
FIELDS = ("frames", "truth", "motion", "moved", "twin", "twin_truth")
PICTURES = ("blur", "noise", "mirror", "colour-drift", "exposure-drift", "jpeg", "shift", "vanish")
TIMES = ("freeze", "lag", "teleport", "flicker", "fade-out", "restless")


def cut(case, count):
    """The first steps of a case."""
    short = {n: getattr(case.truth, n)[:count] for n in FIELDS}
    more = {n: getattr(case.truth, n)[: count + 1] for n in ("depth", "poses", "segmentation")}
    return replace(case, truth=Clip(start=case.truth.start, hfov_deg=case.truth.hfov_deg, **short, **more))


@pytest.fixture(scope="module")
def walks():
    specs = list_cases(["walk"], 4)
    return [cut(build_case(specs[i]), 8) for i in (0, 3)]


@pytest.fixture(scope="module")
def long():
    return build_case(list_cases(["long"], 1)[0])


@pytest.fixture(scope="module")
def scores(walks, long):
    """Mean of a metric by defect and strength; each planted clip is made once."""
    kept: dict = {}

    def score(name, defect, strength):
        group = METRICS[name].group
        cases = [cut(long, 48)] if group == "long" else walks
        if name in HEAVY:
            group, cases = "heavy", [cut(walks[0], 3)]
        key = (group, defect, strength)
        if key not in kept:
            kept[key] = [DEFECTS[defect].plant(case, strength) for case in cases]
        return float(np.mean([METRICS[name].score(clip) for clip in kept[key]]))

    return score


def check_reactions(name, score, strengths):
    one = METRICS[name]
    sign = 1 if one.better == "lower" else -1
    for defect in one.reacts:
        badness = [sign * score(name, defect, s) for s in strengths]
        assert badness[-1] > badness[0], (defect, badness)
        slack = SLACK * (badness[-1] - badness[0])
        assert all(b >= a - slack for a, b in pairwise(badness)), (defect, badness)


@pytest.mark.parametrize("name", LIGHT)
def test_metrics_react_to_their_defects_and_ignore_the_others(name, scores):
    check_reactions(name, scores, STRENGTHS)
    for defect in METRICS[name].ignores:
        moved = abs(scores(name, defect, 1.0) - scores(name, defect, 0.0))
        assert moved <= METRICS[name].tolerance, (defect, moved)


@pytest.mark.parametrize("name", HEAVY)
def test_perceptual_metrics_react_to_their_defects(name, scores):
    check_reactions(name, scores, (0.0, 0.5, 1.0))
    for defect in METRICS[name].ignores:
        assert abs(scores(name, defect, 1.0) - scores(name, defect, 0.0)) <= METRICS[name].tolerance


@pytest.mark.slow
def test_the_frechet_distance_reacts_to_its_defects(long):
    one, case = METRICS["frechet_efficientnet"], cut(long, 128)
    for defect in one.reacts:
        values = [one.score([DEFECTS[defect].plant(case, s)]) for s in STRENGTHS]
        assert values[0] == pytest.approx(0, abs=1e-6) and (np.diff(values) > 0).all()
    for defect in one.ignores:
        assert one.score([DEFECTS[defect].plant(case, 1.0)]) == pytest.approx(0, abs=1e-6)


def test_every_metric_names_what_it_reacts_to_and_what_it_ignores():
    for one in OWN:
        assert one.reacts and one.ignores and one.summary and one.source
        assert set(one.reacts + one.ignores) <= set(DEFECTS) and not set(one.reacts) & set(one.ignores)
        assert np.isfinite(one.worst) and one.low <= one.worst <= one.high


def test_the_truth_scores_best(scores):
    best = {"psnr": METRICS["psnr"].high, "ssim": 1, "ms_ssim": 1, "sharpness": 1, "worst_segment": 1}
    best |= dict.fromkeys(["flip", "exposure_drift", "colour_drift", "flicker", "start_end_contrast"], 0)
    best |= {"half_life": 48, "divergence_horizon": 48}
    for name, value in best.items():
        assert scores(name, "blur", 0.0) == pytest.approx(value, abs=1e-6), name


def test_the_group_tells_a_frozen_picture_from_the_truth(scores):
    """Metrics of steadiness alone are fooled; those beside them are not."""
    assert scores("flicker", "freeze", 1.0) == 0
    assert scores("mscn_naturalness", "freeze", 1.0) < 1
    assert scores("psnr", "freeze", 1.0) < 20 and scores("ssim", "freeze", 1.0) < 0.6
    for name in ("half_life", "divergence_horizon", "psnr_area", "ssim_area"):
        assert scores(name, "freeze", 1.0) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", PICTURES + TIMES)
def test_a_defect_without_strength_is_the_truth_and_with_strength_is_not(name, walks):
    case, before = walks[0], walks[0].truth.frames.copy()
    none, full = DEFECTS[name].plant(case, 0.0), DEFECTS[name].plant(case, 1.0)
    np.testing.assert_array_equal(none.frames, case.truth.frames)
    np.testing.assert_array_equal(none.twin, case.truth.twin)
    changed = "twin" if name == "restless" else "frames"
    assert (getattr(full, changed) != getattr(case.truth, changed)).any()
    assert full.frames.dtype == np.uint8 and full.frames.shape == before.shape
    np.testing.assert_array_equal(case.truth.frames, before)
    again = DEFECTS[name].plant(case, 1.0)
    np.testing.assert_array_equal(again.frames, full.frames)


def test_what_vanishes_is_a_thing_and_nothing_else_changes(walks):
    case = walks[0]
    gone = DEFECTS["vanish"].plant(case, 1.0)
    things = case.query.simulator.loaded.things
    touched = (gone.frames != case.truth.frames).any(-1)
    owners, counts = np.unique(case.truth.segmentation[1:][touched], return_counts=True)
    assert not things[int(owners[counts.argmax()])].structure
    assert 0 < touched.mean() < 0.5


def test_defects_say_where_they_cannot_be_planted(walks):
    bare = replace(walks[0], truth=Clip(frames=walks[0].truth.frames))
    for name in ("vanish", "freeze", "lag", "teleport", "restless"):
        with pytest.raises(InputError):
            DEFECTS[name].plant(bare, 1.0)
