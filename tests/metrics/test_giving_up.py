"""A model gains nothing by ceasing to show anything: metrics of motion and geometry under frames that are given up."""

from dataclasses import replace

import numpy as np
import pytest
from walk_defects import SPECS, case

from worldloop.metrics import controllability, geometry, physics  # noqa: F401  (they register their metrics)
from worldloop.metrics.cases import CaseSpec
from worldloop.metrics.cases.physics.scripts import SCRIPTS
from worldloop.metrics.defects.physics import slow_motion
from worldloop.metrics.metric import METRICS
from worldloop.metrics.shared.motion import told

WALKS = (
    CaseSpec("indoor", "walk", "WWRRWWWW", "house/test/A/0001", 4),
    CaseSpec("indoor", "walk", "LLLLLLLL", "house/test/B/0000", 1),
    SPECS["walk"][0],
)
STEPS = (
    "rotation_error",
    "translation_error",
    "rpe",
    "direction",
    "turning",
    "purity",
    "action_accuracy_geometry",
)
WHOLE = ("ate", "latency")
POINTS = ("reprojection_error", "epipolar_error", "flow_cycle_error")


def filled(one, how):
    shape = one.truth.frames.shape
    if how == "noise":
        return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    return np.full(shape, {"black": 0, "grey": 128}[how], np.uint8)


def true_until(one, step, rest):
    return one.clip(np.concatenate([one.truth.frames[:step], rest[step:]]), one.truth.twin)


def badness(name, clip):
    value = METRICS[name].score(clip)
    return value if METRICS[name].better == "lower" else -value


@pytest.mark.parametrize("how", ["black", "grey", "noise"])
@pytest.mark.parametrize("spec", WALKS, ids=lambda s: s.script)
def test_the_more_is_given_up_the_worse(spec, how):
    one = case(spec)
    rest, length = filled(one, how), len(one.truth.frames)
    clips = [true_until(one, length - lost, rest) for lost in range(length + 1)]
    for name in (*STEPS, *WHOLE):
        values = np.array([badness(name, c) for c in clips])
        if np.isnan(values).all():
            assert name in ("direction", "turning", "translation_error")  # nothing of the kind is asked
            continue
        assert (np.diff(values) >= 0).all() and (values[1:] >= values[0]).all(), (name, values)
        assert values[-1] > values[0], name
        if name in STEPS:
            most = {"rotation_error": 45.0, "rpe": 0.4}.get(name, abs(METRICS[name].worst))
            assert abs(values[-1]) == pytest.approx(most), name


@pytest.mark.parametrize("how", ["black", "grey", "noise"])
@pytest.mark.parametrize("spec", WALKS, ids=lambda s: s.script)
def test_points_that_are_not_shown_are_points_that_are_missed(spec, how):
    one = case(spec)
    rest = filled(one, how)
    clips = [true_until(one, 8 - lost, rest) for lost in (0, 2, 4, 6, 8)]
    for name in POINTS:
        values = np.array([badness(name, c) for c in clips])
        assert (values[1:] > values[0]).all() and (np.diff(values) >= -0.5).all(), (name, values)


def test_blur_and_noise_at_the_edge_do_not_spare_a_model_its_hard_steps():
    cv2 = pytest.importorskip("cv2")
    one = case(WALKS[1])
    blurred = np.stack([cv2.GaussianBlur(f, (0, 0), 7) for f in one.truth.frames])
    noisy = one.truth.frames.copy()
    noisy[:, :, :40] = filled(one, "noise")[:, :, :40]
    for name in POINTS:
        best = badness(name, one.truth)
        assert badness(name, one.clip(blurred)) > best + 8, name
        assert badness(name, one.clip(noisy)) > best + 3, name


@pytest.mark.parametrize("lost", range(8))
def test_a_single_step_that_is_given_up_is_no_better_than_standing_still(lost):
    """The frames from one moment on are of a place that is not told."""
    one = case(WALKS[0])
    black = one.truth.frames.copy()
    black[lost] = 0
    still = one.truth.frames.copy()
    still[lost] = one.truth.frames[lost - 1] if lost else one.truth.start
    for name in (*STEPS, "ate"):
        assert badness(name, one.clip(black)) >= badness(name, one.clip(still)), name


def test_what_even_the_truth_does_not_tell_is_asked_of_nobody():
    one = case(WALKS[0])
    bare = one.truth.frames.copy()
    bare[3:6] = 128
    known = replace(one.truth, frames=bare, truth=bare, kept={})
    assert told(known).tolist() == [True] * 3 + [False] * 4 + [True]
    guessed = replace(known, frames=one.truth.frames, kept={})  # shows what cannot be known
    for name in ("rotation_error", "translation_error", "rpe", "purity", "action_accuracy_geometry"):
        assert METRICS[name].score(known) == pytest.approx(METRICS[name].score(guessed), abs=0.3), name
    assert METRICS["latency"].score(known) == METRICS["latency"].score(guessed) == 0
    nothing = np.full_like(bare, 128)
    empty = replace(one.truth, frames=one.truth.frames, truth=nothing, start=nothing[0], kept={})
    for name in (*STEPS, "ate"):
        assert np.isnan(METRICS[name].score(empty)), name


OF_PIXELS = ("motion_", "background_", "physics_")


@pytest.mark.parametrize("how", ["grey", "noise"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_law_is_not_kept_by_hiding_what_breaks_it(script, how):
    one = case(CaseSpec("robotics", "physics", script, "stage", 3))
    rest, length = filled(one, how), len(one.truth.frames)
    of_bodies = [
        m
        for m in METRICS.values()
        if m.group == "physics" and m.applies(one.truth) and not m.name.startswith(OF_PIXELS)
    ]
    for base in (one.truth, slow_motion(one, 1.0)):
        shown = [*range(length, 0, -3), 0]
        clips = [one.clip(np.concatenate([base.frames[:n], rest[n:]])) for n in shown]
        for metric in of_bodies:
            values = np.array([badness(metric.name, c) for c in clips])
            slack = 0.03 * (metric.high - metric.low)
            assert (np.diff(values) >= -slack).all(), (metric.name, values)
            assert values.min() >= values[0] - slack, (metric.name, values)
            assert abs(values[-1]) == pytest.approx(metric.worst, abs=0.05), metric.name
