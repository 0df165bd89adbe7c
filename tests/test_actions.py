"""The action API: published worked examples, and every bijection there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldloop.actions import (
    NAVIGATION,
    BinnedGripperTranslator,
    CameraTranslator,
    CodeTranslator,
    DeltaTranslator,
    DenseGripperTranslator,
    KeyboardTranslator,
    TextTranslator,
    WorldPlayTranslator,
    camera_matrix,
    gripper_vocabulary,
    parse_key_script,
    path_matrices,
    yaw_of,
)
from worldloop.actions.control import Control
from worldloop.core import InputError, Primitive, Vocabulary

EXAMPLE = NAVIGATION.plan(["move_forward", "turn_left", "move_forward", "move_forward"])
plans = st.lists(st.sampled_from([p.name for p in NAVIGATION.primitives]), min_size=1, max_size=12).map(
    NAVIGATION.plan
)
GRIPPER = gripper_vocabulary()


def test_published_text_example():
    plan = NAVIGATION.plan(["move_forward", "turn_left"])
    said = "The camera moves forward by 0.2m. The camera rotates left by 22.5°."
    assert TextTranslator().encode(plan).value == said
    listed = "Follow this sequence of camera motions: ['forward 0.2m', 'turn_left 22.5°']."
    assert TextTranslator(style="sequence").encode(plan).value == listed


def test_published_code_example():
    assert CodeTranslator().encode(EXAMPLE).value == (0, 3, 0, 0)


def test_published_camera_example():
    path = CameraTranslator().encode(EXAMPLE).value
    assert path.shape == (5, 3)
    c, s = np.cos(np.radians(22.5)), np.sin(np.radians(22.5))
    expected = [[0, 0, 0], [0.2, 0, 0], [0.2, 0, 22.5]]
    expected += [[0.2 + 0.2 * c, 0.2 * s, 22.5], [0.2 + 0.4 * c, 0.4 * s, 22.5]]
    np.testing.assert_allclose(path, expected, atol=1e-12)


def test_keyboard_and_worldplay():
    assert KeyboardTranslator().encode(EXAMPLE).value == ("W", "L", "W", "W")
    control = WorldPlayTranslator().encode(EXAMPLE)
    # 0.2 m is 2.5 latents -> 2; 22.5 deg is 7.5 -> 8; 0.4 m is exactly 5.
    assert control.value == ("w-2", "left-8", "w-5")
    assert control.meta["frames"] == 4 * 15 + 1
    assert control.meta["residual_m"] == pytest.approx(0.04)
    assert control.meta["residual_deg"] == pytest.approx(-1.5)
    assert parse_key_script("WSW") == ("W", "S", "W")
    assert parse_key_script("w2 l") == ("W", "W", "L")


@pytest.mark.parametrize(
    "translator",
    [
        TextTranslator(),
        TextTranslator(style="sequence"),
        CodeTranslator(),
        KeyboardTranslator(),
    ],
    ids=lambda t: f"{t.kind}-{getattr(t, 'style', '')}",
)
@given(plan=plans)
def test_bijections_return_the_plan(translator, plan):
    assert translator.decode(translator.encode(plan)) == plan


@given(plan=plans, start=st.tuples(*[st.floats(-50, 50)] * 3))
def test_camera_inverse_from_any_start(plan, start):
    assert CameraTranslator().decode(CameraTranslator().encode(plan, start)) == plan


@given(plan=plans, scale=st.tuples(*[st.floats(0.1, 10)] * 3))
def test_delta_inverse(plan, scale):
    translator = DeltaTranslator(scale=scale)
    assert translator.decode(translator.encode(plan)) == plan


@given(
    codes=st.lists(
        st.tuples(*[st.integers(0, 99)] * 3, *[st.integers(-60, 60)] * 3, st.integers(0, 1)),
        min_size=1,
        max_size=6,
    )
)
def test_gripper_codes_inverse(codes):
    translator = BinnedGripperTranslator(GRIPPER)
    plan = translator.decode(Control("code", np.array(codes)))
    assert translator.encode(plan).value.tolist() == [list(c) for c in codes]


unit = st.floats(0, 1)


@given(st.lists(st.tuples(unit, unit, unit, *[st.floats(-179, 179)] * 3, unit), min_size=1, max_size=5))
def test_dense_gripper_keeps_the_rotation(rows):
    low, high = np.array(GRIPPER.low), np.array(GRIPPER.high)
    values = np.array(rows)
    values[:, :3] = np.clip(low[:3] + values[:, :3] * (high - low)[:3], low[:3], high[:3])
    translator = DenseGripperTranslator(GRIPPER)
    control = translator.encode(GRIPPER.plan(values))
    assert control.value.shape == (len(rows), 10)
    again = translator.encode(translator.decode(control))
    np.testing.assert_allclose(again.value, control.value, atol=1e-6)


@pytest.mark.parametrize("text", ["", ".", "Walk on.", "Follow this sequence of camera motions: []."])
def test_text_that_means_nothing_is_refused(text):
    for style in ("sentences", "sequence"):
        with pytest.raises(InputError):
            TextTranslator(style=style).decode(text)


def test_bad_controls_are_refused():
    with pytest.raises(InputError, match="no action"):
        NAVIGATION.plan(["fly"])
    with pytest.raises(InputError, match="at least one"):
        NAVIGATION.plan([])
    with pytest.raises(InputError, match="share a code"):
        CodeTranslator(codes={"move_forward": 0, "turn_left": 0, "turn_right": 1, "stop": 2})
    with pytest.raises(InputError, match="disagree"):
        CodeTranslator(codes={"move_forward": 0})
    with pytest.raises(InputError, match="codes are taken"):
        CodeTranslator().decode(Control("code", (9,)))
    with pytest.raises(InputError, match="no such action"):
        CameraTranslator().decode(np.array([[0, 0, 0], [0.3, 0, 0]]))
    with pytest.raises(InputError, match="one key"):
        KeyboardTranslator(Vocabulary("arc", (Primitive("arc", forward=0.1, yaw_deg=5),)))
    with pytest.raises(InputError, match="outside"):
        GRIPPER.plan([[9, 0, 0, 0, 0, 0, 0]])
    with pytest.raises(InputError, match="no rotation"):
        DenseGripperTranslator(GRIPPER).decode(Control("vector", np.zeros((1, 10))))
    for script in ("", "Q", "W1000000", "W-?", "0W", "W0"):
        with pytest.raises(InputError):
            parse_key_script(script)


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(-179, 179))
def test_camera_matrix_is_a_level_rigid_pose(x, y, yaw):
    pose = camera_matrix(x, y, 1.25, yaw)
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    assert yaw_of(pose) == pytest.approx(yaw, abs=1e-9)
    path = np.array([[x, y, yaw]])
    np.testing.assert_allclose(path_matrices(path, 1.25)[0], pose)
