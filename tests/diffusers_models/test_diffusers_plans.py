"""Pictures, frames and actions on their way into a video pipeline and out of it."""

from __future__ import annotations

import numpy as np
import pytest

from worldloop.actions import NAVIGATION
from worldloop.core.errors import ModelError
from worldloop.models.diffusers.cosmos3 import camera_deltas
from worldloop.models.diffusers.picture import Window, size_for
from worldloop.models.diffusers.timing import Timing, paced, spread

from tiny_diffusers import pictures


def quads(frames: int) -> int:
    return -(-(frames - 1) // 4) * 4 + 1


def test_the_first_predicted_frame_comes_after_the_first_action():
    assert paced(5, 1, quads) == Timing(9, (1, 2, 3, 4, 5))
    assert paced(2, 4, quads) == Timing(9, (4, 8))
    assert paced(2, 4, quads, least=14) == Timing(17, (4, 8))
    assert spread(4, 81) == Timing(81, (20, 40, 60, 80))
    assert spread(3, 5).taken == (1, 3, 4)
    assert spread(4, 5).taken == (1, 2, 3, 4)
    with pytest.raises(ModelError, match="do not fit"):
        spread(5, 5)


@pytest.mark.parametrize(
    ("shape", "size", "window"),
    [
        ((64, 64), (64, 64), (0, 0, 64, 64)),
        ((128, 128), (624, 624), (0, 0, 624, 624)),
        ((100, 128), (480, 624), (0, 0, 480, 624)),
        ((64, 64), (64, 128), (0, 32, 64, 64)),
        ((128, 64), (64, 64), (0, 16, 64, 32)),
    ],
)
def test_the_whole_view_is_kept(shape, size, window):
    made = Window.around(shape, size)
    assert (made.top, made.left, made.rows, made.columns) == window
    picture = pictures(1, 1, 128)[0, : shape[0], : shape[1]]
    frame = np.asarray(made.place(picture))
    assert frame.shape == (*size, 3)
    back = made.restore(frame, shape)
    assert back.shape == picture.shape
    assert np.abs(back.astype(int) - picture)[2:-2, 2:-2].mean() < 4


def test_sizes_keep_the_aspect():
    assert size_for((128, 128), 480 * 832, 16) == (624, 624)
    assert size_for((480, 640), 480 * 832, 16) == (544, 736)
    assert size_for((3, 3), 1, 16) == (16, 16)


def test_camera_motion_is_told_from_frame_to_frame():
    plan = NAVIGATION.plan(["move_forward", "turn_left"])
    deltas = camera_deltas(plan, Timing(9, (2, 4)))
    still = [0, 0, 0, 1, 0, 0, 0, 1, 0]
    assert deltas.shape == (8, 9) and deltas.dtype == np.float32
    assert np.allclose(deltas[:2], [0, 0, 0.1, 1, 0, 0, 0, 1, 0], atol=1e-6)
    # Left is where x is negative: ahead (z) turns into it.
    c, s = np.cos(np.radians(11.25)), np.sin(np.radians(11.25))
    assert np.allclose(deltas[2:4], [0, 0, 0, c, 0, s, 0, 1, 0], atol=1e-6)
    assert np.allclose(deltas[4:], still)
    assert np.allclose(camera_deltas(plan, Timing(9, (2, 4)), 3.0)[0, 2], 0.3)


def test_a_turn_to_the_left_moves_what_is_ahead_to_the_right():
    rotation = camera_deltas(NAVIGATION.plan(["turn_left"]), Timing(2, (1,)))[0, 3:].reshape(2, 3)
    columns = np.stack([*rotation, np.cross(*rotation)], axis=1)  # new camera axes in the old ones
    ahead = np.array([0.0, 0.0, 1.0])
    seen = columns.T @ ahead
    assert seen[0] > 0.3 and seen[2] > 0.9
