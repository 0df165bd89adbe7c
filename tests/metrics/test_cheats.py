"""Videos that show nothing: no score is worse than that of a failure, and none reaches the truth's where it is claimed not to."""

import functools
from dataclasses import replace

import numpy as np
import pytest

from worldloop.metrics.cases import KINDS, build_case, list_cases
from worldloop.metrics.metric import load_metrics

METRICS = load_metrics()
STEPS = 16
"""Of the long walk, which is cut."""
PER_STEP = ("frames", "truth", "motion", "moved", "twin", "twin_truth", "composite")
MOMENTS = ("depth", "poses", "segmentation")
BLANK_FAILS = (
    "divergence_horizon",
    "half_life",
    "rerender_psnr",
    "rerender_ssim",
    "loop_closure_psnr",
    "loop_closure_ssim",
    "revisit_error",
    "object_permanence",
)
"""Metrics that a picture without contrast would win if nothing were done about it."""


@functools.cache
def case(kind):
    one = build_case(list_cases([kind], 1)[0])
    if kind != "long":
        return one
    cut = {n: v[:STEPS] for n in PER_STEP if (v := getattr(one.truth, n)) is not None}
    cut |= {n: getattr(one.truth, n)[: STEPS + 1] for n in MOMENTS}
    pairs = one.truth.revisits
    return replace(
        one, truth=replace(one.truth, **cut, revisits=pairs[(pairs <= STEPS).all(axis=1)], kept={})
    )


def filled(shape, colours):
    """Pictures uint8 [T,H,W,3] of a colour each."""
    return np.broadcast_to(np.array(colours, np.uint8)[:, None, None], shape).copy()


def cheats(shape):
    count, height, width = shape[:3]
    half = np.arange(count) < count / 2
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    board = (np.indices((height, width)).sum(axis=0) % 2 * 255).astype(np.uint8)
    return {
        "black": filled(shape, [[0] * 3] * count),
        "white": filled(shape, [[255] * 3] * count),
        "grey": filled(shape, [[128] * 3] * count),
        "noise": noise,
        "strobe": filled(shape, [[255 * (t % 2)] * 3 for t in range(count)]),
        "fade": filled(shape, [[v] * 3 for v in np.linspace(255, 0, count).round()]),
        "red to blue": filled(shape, np.where(half[:, None], [255, 0, 0], [0, 0, 255])),
        "checkerboard": np.broadcast_to(board[:, :, None], shape).copy(),
    }


@pytest.mark.parametrize("kind", list(KINDS))
def test_no_finite_score_is_worse_than_that_of_a_failure(kind):
    one = case(kind)
    shape = one.truth.frames.shape
    twin = None if one.truth.twin is None else np.zeros(shape, np.uint8)
    for cheat, frames in cheats(shape).items():
        clip = one.clip(frames, twin)
        for metric in METRICS.values():
            if (
                metric.over == "clip"
                and metric.weights != "stlpips"
                and not metric.optional
                and metric.applies(clip)
            ):
                value = metric.score(clip)
                better = value >= metric.worst if metric.better == "higher" else value <= metric.worst
                assert better or np.isnan(value), (metric.name, cheat, value)


def test_the_end_of_every_range_is_what_a_failure_scores():
    for metric in METRICS.values():
        assert metric.worst == (metric.low if metric.better == "higher" else metric.high), metric.name
        assert np.isfinite(metric.worst), metric.name


def test_what_is_worse_than_a_failure_is_cut():
    one = case("walk")
    dark = np.zeros_like(one.truth.frames)
    dark[:4] = 255
    raw = METRICS["exposure_drift"].compute(one.clip(dark))
    assert raw > METRICS["exposure_drift"].score(one.clip(dark)) == METRICS["exposure_drift"].worst
    near = replace(METRICS["psnr_area"], worst=30.0, low=30.0)
    assert near.score(one.clip(one.truth.frames)) > near.score(one.clip(dark)) == 30


@pytest.mark.parametrize("kind", ["walk", "loop", "long"])
def test_a_blank_video_does_not_reach_the_truth(kind):
    one = case(kind)
    shape = one.truth.frames.shape
    true_mean = one.truth.frames.mean(axis=(1, 2))
    ramp = np.broadcast_to(np.linspace(30, 220, shape[2]).astype(np.uint8)[:, None], shape).copy()
    blanks = {"grey": filled(shape, [[128] * 3] * shape[0]), "mean": filled(shape, true_mean), "ramp": ramp}
    tried = set()
    for name in BLANK_FAILS:
        metric = METRICS[name]
        if not metric.applies(one.truth) or np.isnan(best := metric.score(one.truth)):
            continue
        tried.add(name)
        for how, frames in blanks.items():
            value = metric.score(one.clip(frames, one.truth.twin))
            # Nowhere near: in the worse half of the way from a failure to the truth.
            assert abs(value - metric.worst) < abs(value - best), (name, how, value, best)
    assert tried >= set(BLANK_FAILS[:4]) and (kind != "loop" or tried == set(BLANK_FAILS))


def test_fading_and_blur_of_a_wrong_picture_gain_nothing_on_the_horizons():
    cv2 = pytest.importorskip("cv2")
    one = case("loop")
    start = one.truth.start
    faded = [(128 + share * (start.astype(float) - 128)).astype(np.uint8) for share in (0.5, 0.25, 0.1)]
    for still in (*faded, *(cv2.GaussianBlur(start, (0, 0), s) for s in (1, 2, 4, 8))):
        clip = one.clip(np.repeat(still[None], len(one.truth.frames), axis=0), one.truth.twin)
        assert METRICS["divergence_horizon"].score(clip) <= 2
        assert METRICS["half_life"].score(clip) == 0
    soft = np.stack([cv2.GaussianBlur(f, (0, 0), 2) for f in one.truth.frames])
    assert METRICS["divergence_horizon"].score(one.clip(soft, one.truth.twin)) == len(soft)
