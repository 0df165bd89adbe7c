"""Physics: cases whose laws are known, metrics that recover them, and defects that break them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from worldloop.actions import NAVIGATION
from worldloop.core import InputError, generator
from worldloop.metrics.cases import Case, CaseSpec, build_case, list_cases
from worldloop.metrics.cases.physics.scripts import SCRIPTS, draw_stage
from worldloop.metrics.clip import Clip
from worldloop.metrics.defects import STRENGTHS, load_defects
from worldloop.metrics.defects import physics as planted
from worldloop.metrics.metric import METRICS, Metric
from worldloop.metrics.physics import constants, motion, places
from worldloop.metrics.physics.constants import gap, quadratic, unlike
from worldloop.metrics.shared.bodies import body_tracks, chroma, coverage, find, reference
from worldloop.models.controls import Frozen, Oracle, OracleBlur, Shuffled

assert constants and motion and places  # their metrics are registered
DEFECTS = load_defects()
OURS = [m for m in METRICS.values() if m.group == "physics"]
OWN = [d.name for d in DEFECTS.values() if d.plant.__module__ == planted.__name__]
SLACK = 0.02
"""Share of a metric's whole change by which it may get better between two strengths."""


@cache
def case(script: str, seed: int = 3) -> Case:
    if script in SCRIPTS:
        return build_case(CaseSpec("robotics", "physics", script, "stage", seed))
    return build_case(next(s for s in list_cases(["table"], 5) if s.script == script))


ALL = (*SCRIPTS, "push", "stack")


@cache
def spoilt(script: str, defect: str, strength: float) -> Clip | None:
    one = DEFECTS[defect]
    if one.kinds and case(script).spec.kind not in one.kinds:
        return None
    try:
        return one.plant(case(script), strength)
    except InputError:
        return None


def scripts_for(metric: Metric, most: int = 4) -> list[str]:
    """Those whose cases the metric applies to; a few of them where it applies to many."""
    found = [s for s in ALL if metric.applies(case(s).truth)]
    return (
        found
        if len(found) <= most
        else [s for s in ("slide", "throw", "ledge", "behind", "push") if s in found]
    )


def values(metric: Metric, defect: str) -> list[float]:
    """Mean over the cases at each strength."""
    means = []
    for strength in STRENGTHS:
        clips = [spoilt(s, defect, strength) for s in scripts_for(metric)]
        means.append(float(np.mean([metric.score(c) for c in clips if c is not None])))
    return means


@pytest.mark.parametrize("metric", OURS, ids=lambda m: m.name)
def test_metrics_react_to_their_defects(metric: Metric) -> None:
    assert metric.reacts and metric.ignores
    for defect in metric.reacts:
        found = np.array(values(metric, defect)) * (1 if metric.better == "lower" else -1)
        change = found[-1] - found[0]
        assert change > max(metric.tolerance, 0.0), (defect, found)
        assert (np.diff(found) >= -SLACK * change).all(), (defect, found)


@pytest.mark.parametrize("metric", OURS, ids=lambda m: m.name)
def test_metrics_ignore_what_is_none_of_their_business(metric: Metric) -> None:
    for defect in metric.ignores:
        found = np.array(values(metric, defect))
        assert np.isfinite(found).all(), defect
        assert np.abs(found - found[0]).max() <= metric.tolerance, (defect, found)


@pytest.mark.parametrize("defect", OWN)
def test_strength_0_is_the_truth_bit_for_bit(defect: str) -> None:
    clips = {s: spoilt(s, defect, 0.0) for s in ALL}
    assert any(c is not None for c in clips.values())
    for script, clip in clips.items():
        if clip is not None:
            np.testing.assert_array_equal(clip.frames, case(script).truth.frames)


RECOVERED = {m.name: 0.06 if m.name == "size_error" else 0.03 for m in OURS if m.name.endswith("_error")}
RECOVERED |= {"state_error": 0.5, "object_displacement_error": 0.002, "background_error": 0.0}


@pytest.mark.parametrize("script", ALL)
def test_the_truth_scores_best_and_a_frozen_video_worst(script: str) -> None:
    one = case(script)
    start = one.truth.start
    assert start is not None
    frozen = one.clip(np.repeat(start[None], len(one.truth.frames), axis=0))
    for metric in OURS:
        if not metric.applies(one.truth):
            continue
        best, still = metric.score(one.truth), metric.score(frozen)
        if metric.better == "lower":
            assert best <= RECOVERED[metric.name], (metric.name, best)
        else:
            assert best >= 0.98, metric.name
        if metric.name in ("state_error", "object_displacement_error"):
            # A body that rests behind a moving screen is where it was in any picture of it.
            assert script == "screen" or still > 10 * max(best, 0.001), (metric.name, best, still)
        elif metric.name != "background_error":
            assert abs(still - metric.worst) < 0.06, metric.name


@pytest.mark.slow
@pytest.mark.parametrize("script", list(SCRIPTS))
def test_constants_are_recovered_from_the_truth_of_many_seeds(script: str) -> None:
    for seed in range(10, 22):
        truth = case(script, seed).truth
        for metric in OURS:
            if metric.applies(truth) and metric.better == "lower":
                assert metric.score(truth) <= 1.5 * RECOVERED[metric.name], (metric.name, seed)


def test_bodies_move_as_the_closed_forms_say() -> None:
    ball = case("throw").truth.law
    until, g = ball["constants"]["until"], ball["constants"]["gravity"]
    t = np.arange(until) / ball["fps"]
    x, _, z = ball["tracks"]["metres"][:until, 0].T
    np.testing.assert_allclose(np.diff(z, 2) * ball["fps"] ** 2, -g, rtol=1e-6)
    np.testing.assert_allclose(np.diff(x), x[1] - x[0], atol=1e-9)
    assert quadratic(t, z) == pytest.approx(-g, rel=1e-6)

    block = case("slide").truth.law
    x = block["tracks"]["metres"][:, 0, 0]
    slowing = (
        -np.diff(np.abs(np.diff(x)[:9])) * 25.0**2
    )  # the block pitches a little as it begins to slow down
    assert slowing.mean() == pytest.approx(block["constants"]["deceleration"], rel=0.03)
    assert abs(x[-1] - x[-2]) < 1e-4

    balls = case("collide").truth.law
    speed = np.diff(balls["tracks"]["metres"][:, :, 0], axis=0) * 25.0
    masses = np.array([b["mass"] for b in balls["bodies"]])
    np.testing.assert_allclose(speed[0] @ masses, speed[-1] @ masses, rtol=0.01)
    np.testing.assert_allclose(speed[-1], balls["constants"]["speeds"], rtol=0.01)


def test_a_case_is_the_same_whenever_it_is_built_and_can_be_seen() -> None:
    spec = case("bounce").spec
    again = build_case(spec)
    np.testing.assert_array_equal(again.truth.frames, case("bounce").truth.frames)
    np.testing.assert_array_equal(again.truth.replicas, case("bounce").truth.replicas)
    assert again.query.simulator.key == case("bounce").query.simulator.key
    assert again.query.simulator.key != case("bounce", 4).query.simulator.key
    for script in SCRIPTS:
        truth = case(script).truth
        assert 24 <= len(truth.frames) <= 48 and len(case(script).query.history) == 6
        assert (truth.law["tracks"]["area"].max(axis=0) > 50).all(), script
        assert truth.replicas is not None and (truth.replicas != truth.frames).any()


def test_lists_are_prefixes_of_longer_ones_and_name_every_test() -> None:
    for kind, count in (("physics", len(SCRIPTS)), ("table", 5)):
        longer, shorter = list_cases([kind], 2 * count, 7), list_cases([kind], count, 7)
        assert longer[:count] == shorter and len({s.id for s in longer}) == 2 * count
        assert len({s.script for s in shorter}) == count


def test_every_floor_has_the_look_of_test_tables() -> None:
    for script in SCRIPTS:
        assert {draw_stage(script, generator("look", seed)).look for seed in range(8)} == {"test"}


def test_controls_run_on_these_cases() -> None:
    for script in ("fall", "push"):
        one = case(script)
        for model in (Oracle(), Frozen(), OracleBlur(), Shuffled()):
            rollout = model.simulate([one.query])[0]
            assert len(rollout.frames) == len(one.query.plan)
            if isinstance(model, Oracle):
                np.testing.assert_array_equal([f.rgb for f in rollout.frames], one.truth.frames)


def test_bad_questions_are_told() -> None:
    with pytest.raises(InputError, match="no physics test"):
        build_case(CaseSpec("robotics", "physics", "levitate", "stage", 0))
    with pytest.raises(InputError, match="at the table"):
        build_case(CaseSpec("robotics", "table", "juggle", "tabletop/test/push/0001", 0))
    other: Callable | None = case("fall").other
    assert other is not None
    with pytest.raises(InputError, match="cannot be changed in 'friction'"):
        other("friction", 1.0)
    with pytest.raises(InputError, match="wait"):
        case("fall").query.simulator.rollout(NAVIGATION.plan(["stop"]))
    with pytest.raises(InputError, match="step"):
        case("push").other("gravity", 1.0)


def test_heavier_balls_take_less_speed() -> None:
    one = case("collide")
    speeds = []
    for strength in (0.0, 1.0):
        clip = one.clip(np.stack([o.rgb for o in one.other("mass", strength)]))
        x = body_tracks(clip).pixels[:, 1, 0]
        speeds.append(abs(x[-1] - x[-5]))
    assert speeds[1] < 0.7 * speeds[0]


def test_the_table_is_left_alone_by_a_hand_that_holds_still() -> None:
    truth = case("push").truth
    assert truth.twin_truth is not None and truth.start is not None
    apart = np.abs(truth.twin_truth.astype(int) - truth.start).max(axis=-1) > 40
    assert apart.mean() < 0.01
    assert (np.abs(truth.frames[-1].astype(int) - truth.start).max(axis=-1) > 40).mean() > 0.02
    assert 6 <= len(truth.frames) <= 10 and len(case("push").twin) == len(truth.frames)
    moved = np.linalg.norm(np.diff(truth.law["tracks"]["metres"][[0, -1]], axis=0)[0], axis=1)
    assert moved[0] > 0.1 and (moved[1:] < 0.005).all()


def test_discs_are_found_between_pixels_whatever_their_shade() -> None:
    rows, columns = np.mgrid[:64, :64] + 0.5
    frames, places_, colour = [], [], np.array([40, 90, 210.0])
    for x, y, light in ((20.3, 30.7, 1.0), (40.9, 25.2, 0.5), (33.5, 33.5, 0.7)):
        share = np.clip(7.5 - np.hypot(columns - x, rows - y), 0, 1)[..., None]
        frames.append(np.rint(share * colour * light + (1 - share) * (200, 195, 185)))
        places_.append((x, y))
    stack = np.array(frames, np.uint8)
    shown = stack[..., 2].astype(int) - stack[..., 0] > 40
    weights = coverage(chroma(stack), reference(stack, shown))
    middle, area = find(weights, np.pi * 7.0**2)
    np.testing.assert_allclose(middle, places_, atol=0.1)
    np.testing.assert_allclose(area, np.pi * 7.0**2, rtol=0.1)
    np.testing.assert_array_equal(find(weights)[0], middle)
    assert np.isnan(find(weights, 6000.0)[0]).all(), "too little of a body of that size"
    for full in (100.0, None):
        lost, nothing = find(np.zeros((2, 8, 8), np.float32), full)
        assert np.isnan(lost).all() and (nothing == 0).all()


def test_noise_shows_no_body() -> None:
    for script in ("slide", "pendulum", "push"):
        clip = case(script).truth
        noise = generator("noise", 3).integers(0, 256, clip.frames.shape, dtype=np.uint8)
        assert not np.isnan(body_tracks(clip).pixels[1:][~np.isnan(clip.law["tracks"]["pixels"][1:])]).any()
        assert np.isnan(body_tracks(case(script).clip(noise)).pixels[1:]).all()


def test_overlaps_are_those_of_plain_loops() -> None:
    random = np.random.default_rng(0)
    a, b = random.random((2, 5, 6, 7)) < 0.3
    cells = list(np.ndindex(6, 7))
    ever = [(a[:, i, j].any(), b[:, i, j].any()) for i, j in cells]
    time = [(int(a[:, i, j].sum()), int(b[:, i, j].sum())) for i, j in cells]
    expected = [
        sum(p and q for p, q in ever) / sum(p or q for p, q in ever),
        sum(min(p) for p in time) / sum(max(p) for p in time),
        sum(bool(p and q) for p, q in zip(a.ravel(), b.ravel())) / int((a | b).sum()),
    ]
    np.testing.assert_allclose(motion.overlaps(a, b), expected)
    np.testing.assert_allclose(motion.overlaps(a & False, b & False), 1.0)


def test_differences_of_bytes_do_not_wrap() -> None:
    start, frames = np.full((8, 8, 3), 250, np.uint8), np.full((9, 8, 8, 3), 250, np.uint8)
    frames[4, 2, 3] = 0
    found = motion.moving(start, frames)
    assert found.sum() == 1 and found[4, 2, 3]
    assert motion.squared(frames, frames[:, ::-1])[4, 2, 3] == pytest.approx((250 / 255) ** 2, rel=1e-5)


def test_errors_treat_twice_and_half_alike() -> None:
    assert gap(2.0, 1.0) == gap(0.5, 1.0) == 0.5
    assert gap(0.0, 1.0) == gap(-3.0, 1.0) == gap(float("nan"), 1.0) == 1.0 and gap(1.0, 1.0) == 0.0
    assert unlike([1, 2], [1, 2]) == 0 and unlike([0, 0], [1, 2]) == 1 and unlike([np.nan, 2], [1, 2]) == 1
    t = np.linspace(0, 1.28, 33)
    way = 0.9 * (1 - (1 - np.minimum(t / 0.83, 1)) ** 2)
    assert constants._deceleration(t, -way) == pytest.approx(2 * 0.9 / 0.83**2, rel=0.02)
    assert constants._deceleration(t, 0 * way) == 0.0


def test_each_stage_is_a_scene_of_its_own():
    specs = list_cases(["physics"], 24, 3)
    assert len({s.scene for s in specs}) == 24
    assert specs[:9] == list_cases(["physics"], 9, 3)
