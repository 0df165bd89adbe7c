"""Key scripts: the list is WorldMark's, nothing is substituted, and every control language can say them."""

from __future__ import annotations

import numpy as np
import pytest

from worldloop.actions import (
    NAVIGATION,
    WALKING,
    WORLDMARK,
    KeyboardTranslator,
    gripper_vocabulary,
    intended_path,
    key_script,
    keys_plan,
    parse_key_script,
    script_plan,
    usual_translator,
    vocabulary_for,
)
from worldloop.core import InputError, Primitive, Vocabulary


def test_the_fifteen_scripts():
    assert len(WORLDMARK) == 15
    tiers = {"easy": (5, 1, 20), "medium": (5, 2, 40), "hard": (5, 3, 60)}
    for tier, (count, keys, seconds) in tiers.items():
        scripts = [s for s in WORLDMARK.values() if s.tier == tier]
        assert len(scripts) == count
        assert all(len(s.keys) == keys and s.seconds == seconds for s in scripts)
    assert "R" in WORLDMARK and "L" not in WORLDMARK
    assert key_script(" wrw ").keys == ("W", "R", "W")


@pytest.mark.parametrize("script", WORLDMARK.values(), ids=lambda s: s.name)
def test_scripts_make_plans_that_the_keyboard_reads_back(script):
    plan = script_plan(script)
    pressed = KeyboardTranslator(WALKING).encode(plan)
    assert len(plan) == script.seconds
    assert pressed.value == tuple(k for k in script.keys for _ in range(20))
    assert KeyboardTranslator(WALKING).decode(pressed) == plan
    for kind in ("text", "camera", "code", "keys", "vector"):
        translator = usual_translator(kind, WALKING)
        assert translator.kind == kind and translator.decode(translator.encode(plan)).names == plan.names


def test_there_and_back_ends_where_it_began():
    for name in ("WS", "LR", "AD"):
        np.testing.assert_allclose(intended_path(script_plan(key_script(name)))[-1], 0, atol=1e-9)
    path = intended_path(script_plan(key_script("A"), step_seconds=2))
    np.testing.assert_allclose(path[-1], (0, 2.0, 0), atol=1e-9)  # left is +y when one looks along +x


def test_what_navigation_can_say_is_said_in_navigation():
    assert {n for n, s in WORLDMARK.items() if vocabulary_for(s.keys) is NAVIGATION} == {
        "W",
        "R",
        "LR",
        "WR",
        "LRL",
        "WRW",
    }
    plan = script_plan(key_script("WRW"), NAVIGATION, step_seconds=10)
    assert plan.names == ("move_forward",) * 2 + ("turn_right",) * 2 + ("move_forward",) * 2
    # The moves that both have are the same ones.
    assert all(WALKING.primitive(p.name) == p for p in NAVIGATION.primitives)


def test_moves_that_are_not_there_are_not_made_up():
    with pytest.raises(InputError, match="no move for the key A or D"):
        script_plan(key_script("ADA"), NAVIGATION)
    with pytest.raises(InputError, match="named moves"):
        keys_plan("W", gripper_vocabulary())
    arc = Vocabulary("arc", (Primitive("arc", forward=0.1, yaw_deg=5), Primitive("ahead", forward=0.1)))
    assert keys_plan("W", arc).names == ("ahead",)
    with pytest.raises(InputError, match="two moves for the key W: slow and fast"):
        keys_plan("W", Vocabulary("gears", (Primitive("slow", forward=0.1), Primitive("fast", forward=0.9))))
    with pytest.raises(InputError, match="no key script 'WASD'"):
        key_script("WASD")
    for seconds in (0, -1, 3, 21, float("nan")):
        with pytest.raises(InputError):
            script_plan(key_script("W"), step_seconds=seconds)


def test_keys_with_counts():
    assert parse_key_script("W*3 r*2") == parse_key_script("W3R2") == ("W", "W", "W", "R", "R")
    assert keys_plan(parse_key_script("W -")).names == ("move_forward", "stop")
    for script in ("W*", "*3", "W**2", "3*W"):
        with pytest.raises(InputError):
            parse_key_script(script)


def test_languages_that_cannot_say_a_vocabulary():
    assert usual_translator("text", gripper_vocabulary()) is None
    assert usual_translator("vector", gripper_vocabulary()).kind == "vector"
    assert usual_translator("none", NAVIGATION) is None
    assert usual_translator("code", NAVIGATION).encode(NAVIGATION.plan(["turn_left"])).value == (3,)
