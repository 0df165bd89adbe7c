"""Curves and horizons of long rollouts."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from worldloop.core import InputError
from worldloop.metrics.clip import Clip
from worldloop.metrics.long import curve
from worldloop.metrics.metric import METRICS

SIDE = 48


def views(count, step=9):
    """A walk along a picture, uint8 [T+1,SIDE,SIDE,3]; consecutive views overlap, the start is soon out of sight."""
    whole = data.astronaut()[60:]
    return np.stack([whole[4 * i : 4 * i + SIDE, step * i : step * i + SIDE] for i in range(count + 1)])


def walk(frames, seen, **more):
    return Clip(frames=frames, truth=seen[1:], start=seen[0], **more)


@pytest.fixture(scope="module")
def seen():
    return views(40)


def lost_from(seen, step):
    """True up to a step, then the frozen start."""
    frames = seen[1:].copy()
    frames[step:] = seen[0]
    return walk(frames, seen)


@pytest.mark.parametrize("step", [12, 25])
def test_horizons_are_where_the_model_loses_the_way(seen, step):
    clip = lost_from(seen, step)
    assert METRICS["divergence_horizon"].score(clip) == pytest.approx(step, abs=2)
    assert METRICS["half_life"].score(clip) == pytest.approx(step, abs=2)


def test_horizons_of_a_model_that_stays_good_are_censored_at_the_length(seen):
    clip = walk(seen[1:], seen)
    assert METRICS["divergence_horizon"].score(clip) == METRICS["half_life"].score(clip) == 40


def test_a_bad_moment_is_no_divergence(seen):
    frames = seen[1:].copy()
    frames[10:14] = seen[0]
    assert METRICS["divergence_horizon"].score(walk(frames, seen)) == 40


def test_a_loss_that_lasts_to_the_end_counts_however_short(seen):
    assert METRICS["divergence_horizon"].score(lost_from(seen, 36)) == pytest.approx(36, abs=2)


def test_whoever_never_was_better_than_standing_still_has_no_half_life(seen):
    assert METRICS["half_life"].score(lost_from(seen, 0)) == 0
    assert METRICS["divergence_horizon"].score(lost_from(seen, 0)) == 0


def test_where_the_view_stays_the_start_there_is_nothing_to_score(seen):
    still = np.repeat(seen[:1], 9, axis=0)
    clip = walk(still[1:], still)
    assert np.isnan(METRICS["divergence_horizon"].score(clip)) and np.isnan(METRICS["half_life"].score(clip))
    assert METRICS["ssim_area"].score(clip) == 0


def test_areas_are_gains_over_the_frozen_start(seen):
    better = [METRICS["ssim_area"].score(lost_from(seen, step)) for step in (0, 10, 20, 40)]
    assert better[0] == 0 and (np.diff(better) > 0).all()
    gap = curve(lost_from(seen, 10), "psnr") - curve(lost_from(seen, 10), "psnr", "start")
    assert METRICS["psnr_area"].score(lost_from(seen, 10)) == pytest.approx(gap.mean())


def test_the_worst_segment_is_found(seen):
    frames = seen[1:].copy()
    frames[15:20] = 255 - frames[15:20]
    clip = walk(frames, seen)
    assert METRICS["worst_segment"].score(clip) == pytest.approx(curve(clip, "ssim")[15:20].mean())
    assert METRICS["worst_segment"].score(walk(seen[1:4], seen[:4])) == pytest.approx(1)


def test_curves_have_a_gap_where_the_world_refused_the_step(seen):
    moved = np.ones(40, bool)
    moved[3] = False
    values = curve(walk(seen[1:], seen, moved=moved), "ssim")
    assert np.flatnonzero(np.isnan(values)).tolist() == [3] and np.nanmin(values) == pytest.approx(1)


def test_curves_say_what_there_is(seen):
    clip = walk(seen[1:3], seen[:3])
    with pytest.raises(InputError, match="did you mean 'psnr'"):
        curve(clip, "pnsr")
    with pytest.raises(InputError, match="truth"):
        curve(Clip(frames=seen), "ssim")
    with pytest.raises(InputError, match="start"):
        curve(Clip(frames=seen, truth=seen), "ssim", "start")
    distance = curve(clip, "st_lpips")
    assert distance.shape == (2,) and np.abs(distance).max() == 0
    assert (curve(clip, "st_lpips", "start") > 0).all()
