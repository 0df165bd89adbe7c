"""Crops: square, centred, grey outside, never failing on an odd box."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldloop.agents.perception import clip_box, crop_and_resize, resize
from worldloop.core import InputError

IMAGE = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
edge = st.floats(-1e4, 1e4, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(box=st.tuples(edge, edge, edge, edge), margin=st.floats(0, 2))
def test_any_box_gives_a_crop(box, margin):
    crop = crop_and_resize(IMAGE, box, 16, margin)
    assert crop.shape == (16, 16, 3) and crop.dtype == np.uint8


def test_an_exact_box_is_copied():
    np.testing.assert_array_equal(crop_and_resize(IMAGE, (10, 5, 26, 21), 16, 0), IMAGE[5:21, 10:26])


def test_the_margin_widens_the_crop():
    # 16 px x (1 + 1) = 32 px around the same centre.
    np.testing.assert_array_equal(crop_and_resize(IMAGE, (20, 12, 36, 28), 32, 1.0), IMAGE[4:36, 12:44])


def test_outside_is_grey():
    crop = crop_and_resize(np.full((20, 20, 3), 255, np.uint8), (-20, 0, 20, 20), 40, 0)
    assert (crop[:, :18] == 127).all() and (crop[11:29, 22:] == 255).all()


def test_a_box_that_is_not_finite_is_refused():
    with pytest.raises(InputError, match="finite"):
        crop_and_resize(IMAGE, (0, 0, np.nan, 4), 8, 0)


def test_clip_box():
    np.testing.assert_array_equal(clip_box((-5, 3, 70, 90), 40, 60), [0, 3, 60, 40])
    np.testing.assert_array_equal(clip_box((80, 3, 70, 9), 40, 60), [60, 3, 60, 9])


def test_resize_keeps_a_fitting_image():
    assert resize(IMAGE[:40, :40], 40).shape == (40, 40, 3)
    assert resize(IMAGE, 24).shape == (24, 24, 3)
