"""Controllability: planted defects, agreement with evo, and motions that are known by construction."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walk_defects import SPECS, case, check_ignores, check_reacts, frozen, planted, promises

from worldloop.core import InputError
from worldloop.envs.house.render import camera_pose
from worldloop.metrics import controllability  # noqa: F401  (registers its metrics)
from worldloop.metrics.cases import build_case, list_cases
from worldloop.metrics.controllability.accuracy import asked_signs, shown_signs
from worldloop.metrics.controllability.path import angles_between, chained
from worldloop.metrics.metric import METRICS
from worldloop.metrics.shared.lifting import focal, project, rays, steps_between
from worldloop.metrics.shared.motion import Recovered, recovered_motion
from worldloop.metrics.shared.pose_fit import SPREADS, fit_motion

REACTS, IGNORES = promises("controllability")
WALK = SPECS["walk"][1]


@pytest.mark.parametrize(("name", "defect"), REACTS)
def test_reacts_to_its_defects(name, defect):
    check_reacts(name, defect, slack=0.1)


@pytest.mark.parametrize(("name", "defect"), IGNORES)
def test_ignores_what_is_none_of_its_business(name, defect):
    check_ignores(name, defect)


def test_the_truth_is_recovered_as_it_is():
    clip = case(WALK).truth
    found, truth = recovered_motion(clip), steps_between(clip.poses)
    assert found.known.all()
    assert angles_between(found.steps[:, :3, :3], truth[:, :3, :3]).max() < 2
    assert np.linalg.norm(found.steps[:, :3, 3] - truth[:, :3, 3], axis=1).max() < 0.08
    assert (shown_signs(clip) == asked_signs(clip)).all()


def test_a_frozen_video_is_read_as_no_motion():
    clip = frozen(WALK)
    found = recovered_motion(clip)
    assert found.known.all()
    assert np.abs(found.floor).max() < 1e-6
    scores = {n: METRICS[n].score(clip) for n in ("translation_error", "direction", "turning", "purity")}
    assert scores == pytest.approx({"translation_error": 1, "direction": 0, "turning": 0, "purity": 0})
    assert METRICS["action_accuracy_geometry"].score(clip) == 0


@pytest.mark.parametrize("what", ["noise", "blank"])
def test_unreadable_clips_cost_what_going_the_other_way_would(what):
    one = case(WALK)
    shape = one.truth.frames.shape
    frames = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    clip = one.clip(frames if what == "noise" else np.full(shape, 90, np.uint8))
    for name in ("translation_error", "direction", "turning", "purity"):
        assert METRICS[name].score(clip) == METRICS[name].worst, name
    assert METRICS["rotation_error"].score(clip) == pytest.approx(45)
    assert METRICS["rpe"].score(clip) == pytest.approx(0.4)
    assert METRICS["ate"].score(clip) > 1.6
    assert METRICS["action_accuracy_geometry"].score(clip) == 0


def test_nothing_to_score_is_nan_and_blocked_steps_do_not_count():
    one = case(WALK)
    stuck = replace(one.clip(one.truth.frames), moved=np.zeros(8, bool))
    for name in (
        "controllability",
        "rotation_error",
        "translation_error",
        "action_accuracy_geometry",
        "latency",
    ):
        assert math.isnan(METRICS[name].score(stuck)), name
    half = replace(frozen(WALK), moved=np.arange(8) < 0)
    assert math.isnan(METRICS["direction"].score(half))
    no_turns = case(SPECS["walk"][1])
    ahead = replace(no_turns.clip(no_turns.truth.frames), motion=np.tile([[0.2, 0.0, 0.0]], (8, 1)))
    assert math.isnan(METRICS["turning"].score(ahead))


def test_arcs_are_told_from_basic_actions():
    clip = case(SPECS["compose"][0]).truth
    assert clip.composite.any() and not clip.composite.all()
    assert (asked_signs(clip)[clip.composite] != 0).sum(axis=1).tolist() == [2] * int(clip.composite.sum())
    assert METRICS["action_accuracy_geometry_composite"].score(clip) == 1
    assert METRICS["action_accuracy_geometry"].score(clip) == 1
    true = Recovered(steps_between(clip.poses), np.ones(len(clip.motion), bool))
    assert clip.moved.all() and np.allclose(true.floor, clip.motion)
    assert case(WALK).truth.composite is None
    assert not METRICS["action_accuracy_composite"].applies(case(WALK).truth)


def test_accuracy_is_balanced_over_the_asked_actions():
    one = case(WALK)  # two steps of eight turn
    ahead = one.query.plan.vocabulary.plan(["move_forward"] * 8)
    frames = np.stack([o.rgb for o in one.query.simulator.rollout(ahead)])
    right = (shown_signs(one.clip(frames)) == asked_signs(one.truth)).all(axis=1)
    turns = asked_signs(one.truth)[:, 2] != 0
    assert turns.sum() == 2 and not right[turns].any()
    score = METRICS["action_accuracy_geometry"].score
    assert score(one.clip(frames)) == pytest.approx(right[~turns].mean() / 2)
    assert score(one.truth) == 1
    # The same without the numbers of the actions, which loops do not have.
    assert score(replace(one.clip(frames), asked=None, outcomes=None)) == pytest.approx(
        right[~turns].mean() / 2
    )


def test_latency_counts_steps_until_the_new_action_shows():
    one = case(SPECS["loop"][1])  # four steps, then turns, and so on
    frames = np.concatenate([one.truth.start[None], one.truth.frames[:-1]])
    late = METRICS["latency"].score(one.clip(frames))
    assert METRICS["latency"].score(one.clip(one.truth.frames)) < 0.3
    assert late == pytest.approx(1, abs=0.3)


def test_the_same_clip_scores_the_same_in_any_company():
    one = case(WALK)
    first = METRICS["rotation_error"].score(one.clip(one.truth.frames))
    METRICS["rotation_error"].score(frozen(SPECS["walk"][0]))
    assert METRICS["rotation_error"].score(one.clip(one.truth.frames.copy())) == first


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.floats(-0.3, 0.3)] * 3),
    st.floats(-40, 40),
    st.floats(-8, 8),
    st.integers(0, 2**16),
)
def test_fitted_motion_is_that_of_the_points(shift, yaw, error, seed):
    random = np.random.default_rng(seed)
    pixels = random.uniform(0, 127, (300, 2))
    points = rays(pixels, 128, 128, 64.0) * random.uniform(1.5, 6, (300, 1))
    move = np.linalg.inv(camera_pose(0, 0, 0)) @ camera_pose(0, 0, yaw)
    move[:3, 3] = shift
    there, seen = project(points @ move[:3, :3].T + move[:3, 3], 128, 128, 64.0)
    if seen.sum() < 60:
        return
    there[::4] += random.uniform(-40, 40, (len(there[::4]), 2))  # a quarter of the points is wrong
    guess = math.radians(error - yaw)  # points turn the other way than the camera
    found, _ = fit_motion(points[seen], there[seen], guess, SPREADS, 64.0, 63.5, 63.5)
    turned = angles_between(found[None, :3, :3], move[None, :3, :3])[0]
    assert turned < 0.5
    assert np.linalg.norm(found[:3, 3] - shift) < 0.03


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.integers(2, 12))
def test_paths_and_their_errors_agree_with_evo(seed, length):
    evo = pytest.importorskip("evo.core.metrics")
    from evo.core.trajectory import PosePath3D

    random = np.random.default_rng(seed)

    def steps():
        walk = np.stack(
            [camera_pose(*random.uniform(-0.3, 0.3, 2), random.uniform(-30, 30), 0) for _ in range(length)]
        )
        base = camera_pose(0, 0, 0, 0)
        return np.linalg.inv(base) @ walk

    start, true, shown = camera_pose(1, 2, 30), steps(), steps()
    poses, path = chained(start, true), chained(start, shown)
    np.testing.assert_allclose(steps_between(poses), true, atol=1e-9)
    pair = (PosePath3D(poses_se3=list(poses)), PosePath3D(poses_se3=list(path)))

    def theirs(metric, statistic):
        metric.process_data(pair)
        return metric.get_statistic(statistic)

    rms, mean = evo.StatisticsType.rmse, evo.StatisticsType.mean
    rpe = evo.RPE(evo.PoseRelation.translation_part, 1, evo.Unit.frames)
    turn = evo.RPE(evo.PoseRelation.rotation_angle_deg, 1, evo.Unit.frames)
    ate = evo.APE(evo.PoseRelation.translation_part)
    apart = np.linalg.solve(true, shown)[:, :3, 3]
    assert theirs(rpe, rms) == pytest.approx(np.sqrt((apart**2).sum(axis=1).mean()), abs=1e-9)
    assert theirs(turn, mean) == pytest.approx(
        angles_between(true[:, :3, :3], shown[:, :3, :3]).mean(), abs=1e-5
    )
    # evo counts the start, at which both paths agree.
    ours = np.sqrt(((path[1:, :3, 3] - poses[1:, :3, 3]) ** 2).sum(axis=1).mean())
    assert theirs(ate, rms) * math.sqrt((length + 1) / length) == pytest.approx(ours, abs=1e-9)


def test_ate_and_rpe_of_a_clip_agree_with_evo():
    evo = pytest.importorskip("evo.core.metrics")
    from evo.core.trajectory import PosePath3D

    clip = planted(WALK, "half-step", 0.5)
    path = chained(clip.poses[0], recovered_motion(clip).steps)
    pair = (PosePath3D(poses_se3=list(clip.poses)), PosePath3D(poses_se3=list(path)))
    rpe = evo.RPE(evo.PoseRelation.translation_part, 1, evo.Unit.frames)
    rpe.process_data(pair)
    assert METRICS["rpe"].score(clip) == pytest.approx(rpe.get_statistic(evo.StatisticsType.rmse), abs=1e-9)
    ape = evo.APE(evo.PoseRelation.translation_part)
    ape.process_data(pair)
    theirs = ape.get_statistic(evo.StatisticsType.rmse) * math.sqrt(len(path) / (len(path) - 1))
    assert METRICS["ate"].score(clip) == pytest.approx(theirs, abs=1e-9)


def test_focal_length_and_projection_meet_by_hand():
    clip = case(WALK).truth
    assert focal(clip) == pytest.approx(64)
    pixels, seen = project(np.array([[1.0, 0.0, 2.0], [0.0, 0.0, -1.0], [9.0, 0.0, 1.0]]), 128, 128, 64.0)
    np.testing.assert_allclose(pixels[0], [63.5 + 32, 63.5])
    assert seen.tolist() == [True, False, False]


def test_an_arm_is_controlled_as_a_camera_is():
    one = build_case(next(iter(list_cases(["table"], 1))))
    still = one.clip(np.repeat(one.truth.start[None], len(one.truth.frames), axis=0))
    assert METRICS["controllability"].score(one.clip(one.truth.frames)) == 1
    assert METRICS["controllability"].score(still) < 0.999


def test_cases_of_arcs_and_other_changes():
    specs = list(list_cases(["compose"], 6))
    assert [s.script for s in specs[:5]] == ["arc-left", "arc-right", "slalom", "mixed-left", "mixed-right"]
    with pytest.raises(InputError, match="no script of arcs"):
        build_case(replace(specs[0], script="zigzag"))
    with pytest.raises(InputError, match="it can in turn, step, action and none"):
        case(WALK).other("gravity", 1.0)
    still = case(WALK).other("none", 1.0)
    assert all((o.rgb == case(WALK).truth.start).all() for o in still)
    assert all((o.rgb == f).all() for o, f in zip(case(WALK).other("action", 0.0), case(WALK).truth.frames))
