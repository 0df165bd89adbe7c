"""Geometry: planted defects, and pictures whose geometry is known by construction."""

import math
from dataclasses import replace

import numpy as np
import pytest
from walk_defects import SPECS, case, check_ignores, check_reacts, frozen, planted, promises

from worldloop.envs.house.render import camera_pose
from worldloop.metrics import geometry  # noqa: F401  (registers its metrics)
from worldloop.metrics.cases import CaseSpec
from worldloop.metrics.clip import Clip
from worldloop.metrics.geometry.revisit import closing_pairs
from worldloop.metrics.metric import METRICS, load_metrics
from worldloop.metrics.shared import contrast, parts
from worldloop.metrics.shared.flow import forward_flow, grey_entries, guess_matrix, guessed_motions
from worldloop.metrics.shared.lifting import earlier_views, moved_samples, samples
from worldloop.metrics.shared.likeness import psnr, ssim_map
from worldloop.metrics.shared.motion import recovered_motion

REACTS, IGNORES = promises("geometry")
WALK, LOOP = SPECS["walk"][1], SPECS["loop"][0]


@pytest.mark.parametrize(("name", "defect"), REACTS)
def test_reacts_to_its_defects(name, defect):
    check_reacts(name, defect, slack=0.1)


@pytest.mark.parametrize(("name", "defect"), IGNORES)
def test_ignores_what_is_none_of_its_business(name, defect):
    check_ignores(name, defect)


def wall(shifts, depth=2.0, size=128):
    """A textured wall, seen by a camera that steps sideways by whole pixels; all values are known."""
    cv2 = pytest.importorskip("cv2")
    picture = np.random.default_rng(1).integers(0, 256, (size // 4, size, 3)).astype(np.uint8)
    picture = cv2.GaussianBlur(
        cv2.resize(picture, (4 * size, size), interpolation=cv2.INTER_CUBIC), (0, 0), 2
    )
    views = np.stack([picture[:, 100 + s : 100 + s + size] for s in (0, *shifts)])
    metres = np.array([0, *shifts]) * depth / 64.0
    poses = np.stack([camera_pose(0, -m, 0) for m in metres])
    return Clip(
        frames=views[1:],
        start=views[0],
        truth=views[1:],
        hfov_deg=90.0,
        depth=np.full((len(views), size, size), depth, np.float32),
        poses=poses,
        motion=np.array([[0, -m, 0] for m in np.diff(metres)]),
    )


def test_a_wall_that_slides_by_whole_pixels():
    clip = wall((4, 8, 12))
    where, seen = moved_samples(clip)
    points = samples(clip)
    np.testing.assert_allclose(where[0] - points, np.tile([-4.0, 0.0], (len(points), 1)), atol=1e-9)
    assert (seen[0] == (points[:, 0] - 4 > -0.5)).all()
    earlier, maps, visible = earlier_views(clip, 2)
    assert earlier.tolist() == [0, 0, 1]
    np.testing.assert_allclose(maps[2][:, :120, 0] - np.arange(120), 8, atol=1e-4)
    assert visible[2][:, :120].all() and not visible[2][:, 120:].any()
    assert METRICS["rerender_psnr"].score(clip) > 50
    assert METRICS["rerender_ssim"].score(clip) > 0.999
    assert METRICS["reprojection_error"].score(clip) < 0.3
    assert METRICS["epipolar_error"].score(clip) < 0.3
    assert METRICS["flow_cycle_error"].score(clip) < 0.3


def test_no_score_depends_on_how_a_clip_is_split(monkeypatch):
    clip = wall((4, 9, 13, 18, 14, 3, 3), size=64)
    metrics = [m for m in load_metrics().values() if m.over == "clip" and not m.weights and m.applies(clip)]
    found = []
    for steps in (100, 3, 1):
        monkeypatch.setattr(parts, "PART", steps)
        fresh = replace(clip, kept={})
        found.append({m.name: m.score(fresh) for m in metrics})
    assert len(metrics) > 15 and not all(np.isnan(v) for v in found[0].values())
    for other in found[1:]:
        np.testing.assert_equal(other, found[0])


def test_errors_have_the_size_that_was_made():
    """The wall slides by 6 pixels where 4 would be true: along the lines, so only the reprojection sees it."""
    slid, true = wall((6, 12)), wall((4, 8))
    wrong = replace(slid, poses=true.poses, depth=true.depth, kept={})
    assert METRICS["reprojection_error"].score(wrong) == pytest.approx(2, abs=0.3)
    assert METRICS["epipolar_error"].score(wrong) < 0.3


def test_flow_finds_large_turns():
    clip = case(LOOP).truth
    guess, _ = guessed_motions(np.stack([clip.start, *clip.frames]).mean(axis=-1).astype(np.uint8), 64.0)
    assert np.abs(guess[:, 0] - 22.5).max() < 6
    matrix = guess_matrix(22.5, 1.0, 128, 128, 64.0)
    middle = matrix @ (63.5, 63.5, 1.0)
    expected = 63.5 + 64 * math.tan(math.radians(22.5))
    assert middle[0] / middle[2] == pytest.approx(expected)
    assert 63.5 + forward_flow(clip).field[:, 64, 64, 0].mean() == pytest.approx(expected, abs=2)


def test_a_second_guess_is_kept_where_it_explains_the_pictures_better():
    """At a coarse look, one step of this arc to the left is more like a turn of 39 degrees to the right."""
    clip = planted(CaseSpec("indoor", "compose", "arc-left", "house/test/A/0000", 0), "half-step", 0.5)
    first, second = guessed_motions(grey_entries(clip), 64.0)
    apart = np.abs(first - second)[:, 0]
    assert ((apart >= 11.25) | (first == second).all(axis=1)).all()
    assert first[2, 0] < -30 and apart[2] > 0
    assert np.abs(forward_flow(clip).guess[1:7, 0] - 22.5).max() < 6
    assert np.abs(recovered_motion(clip).floor[1:7, 2] - 22.5).max() < 4


def test_frozen_wins_consistency_but_not_geometry():
    still, clip = frozen(LOOP), case(LOOP).truth
    for name in (
        "loop_closure_psnr",
        "loop_closure_ssim",
        "object_permanence",
        "revisit_error",
        "flow_cycle_error",
    ):
        better = 1 if METRICS[name].better == "higher" else -1
        assert better * METRICS[name].score(still) >= better * METRICS[name].score(clip), name
    assert METRICS["reprojection_error"].score(still) > 10 > 2 > METRICS["reprojection_error"].score(clip)
    assert METRICS["rerender_psnr"].score(still) < METRICS["rerender_psnr"].score(clip) - 5


def test_a_blank_video_shows_nothing_to_follow():
    one = case(WALK)
    blank = one.clip(np.full_like(one.truth.frames, 120))
    assert METRICS["reprojection_error"].score(blank) > 12
    assert METRICS["flow_cycle_error"].score(blank) > 12


def test_revisits_pair_the_first_view_of_a_place_with_the_last():
    clip = case(LOOP).truth
    assert closing_pairs(clip).tolist() == [[0, 16]]
    pairs = np.array([[0, 8], [0, 16], [8, 16], [3, 5]])
    assert closing_pairs(replace(clip, revisits=pairs)).tolist() == [[0, 16], [3, 5]]


def test_things_that_come_back_as_something_else_are_not_permanent():
    one = case(LOOP)
    assert METRICS["object_permanence"].score(one.truth) == 1
    frames = one.truth.frames.copy()
    frames[-1] = frames[-1][::-1, ::-1]
    assert METRICS["object_permanence"].score(one.clip(frames)) < 0.2
    never_left = replace(one.clip(frames), segmentation=np.ones_like(one.truth.segmentation))
    assert math.isnan(METRICS["object_permanence"].score(never_left))


def test_likeness_agrees_with_skimage():
    skimage = pytest.importorskip("skimage.metrics")
    cv2 = pytest.importorskip("cv2")
    random = np.random.default_rng(0)
    a = random.integers(0, 256, (48, 64, 3)).astype(np.uint8)
    b = np.clip(a + random.normal(0, 20, a.shape), 0, 255).astype(np.uint8)
    assert psnr(a, b) == pytest.approx(skimage.peak_signal_noise_ratio(a, b), abs=1e-3)
    assert psnr(a, a) == 60
    assert math.isnan(psnr(a, b, np.zeros(a.shape[:2], bool)))
    x, y = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (a, b))
    _, theirs = skimage.structural_similarity(
        x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, full=True
    )
    np.testing.assert_allclose(ssim_map(a, b)[6:-6, 6:-6], theirs[6:-6, 6:-6], atol=2e-3)


def test_contrast_is_a_number_where_a_moving_sum_ends_below_zero(monkeypatch):
    """As it happens, rarely, where a picture is flat beside something loud."""

    class Below:
        @staticmethod
        def blur(picture, window):
            return np.full_like(picture, -1e-9)

    monkeypatch.setattr(contrast, "opencv", Below)
    assert (contrast._deviation(np.zeros((16, 16), np.float32)) == 0).all()
