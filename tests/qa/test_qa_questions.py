"""Shipped questions are true, balanced and clear; what is hardly visible or has two names is not asked about."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from importlib import resources
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldloop.envs.house.generate import CATEGORIES, generate_house, parse_scene_id
from worldloop.envs.house.mesh import Instance
from worldloop.envs.house.words import (
    COLOURS,
    NEAR,
    ROOMS,
    colour_name,
    colour_shares,
    noun,
    plural,
    room_name,
)
from worldloop.tasks import TASKS
from worldloop.tasks.embodied_qa_facts import SceneFacts
from worldloop.tasks.embodied_qa_question import KINDS
from worldloop.tasks.embodied_qa_questions import questions
from worldloop.tasks.embodied_qa_sampling import SHARES, Chooser
from worldloop.tasks.episodes import load_episodes

SPLITS = {"test": 189, "val": 70, "mini": 21}


@pytest.mark.parametrize("split", SPLITS)
def test_lists_are_balanced(split):
    episodes = load_episodes("embodied-qa", split)
    assert len(episodes) == SPLITS[split]
    assert set(Counter(e.goal["category"] for e in episodes).values()) == {SPLITS[split] // len(KINDS)}
    assert {parse_scene_id(e.scene).split for e in episodes} == {"val" if split == "val" else "test"}
    assert len({(e.scene, e.goal["question"]) for e in episodes}) == len(episodes)
    assert {e.goal["form"] for e in episodes} <= set(SHARES)
    if split != "mini":
        polar = Counter(e.goal["answer"] for e in episodes if e.goal["answer"] in ("yes", "no"))
        assert abs(polar["yes"] - polar["no"]) <= 0.1 * polar.total()
        counts = Counter(e.goal["answer"] for e in episodes if e.goal["category"] == "counting")
        assert max(counts.values()) <= 0.45 * counts.total() and len(counts) >= 4
        away = [e for e in episodes if e.goal["shortest"] > 1.0]
        assert 0.4 * len(episodes) < len(away) < len(episodes)


def test_test_list_is_large_and_the_lists_share_no_house():
    lists = {s: {e.scene for e in load_episodes("embodied-qa", s)} for s in SPLITS}
    assert len(lists["test"]) >= 40
    assert not lists["test"] & lists["mini"] and not lists["test"] & lists["val"]
    folder = resources.files("worldloop.tasks") / "data"
    sizes = [len((folder / f"embodied-qa.{s}.json").read_bytes()) for s in SPLITS]
    assert sum(sizes) < 500_000


@pytest.mark.parametrize("scene", ["house/test/A/0900", "house/test/B/0900", "house/test/C/0901"])
def test_shipped_answers_are_true(scene):
    """Counted again from the house's description, not by the code that made the questions."""
    house = generate_house(scene)
    kinds = {r.name: r.kind for r in house.rooms}
    asked = [e for e in load_episodes("embodied-qa", "mini") if e.scene == scene]
    assert asked
    for episode in asked:
        text, answer, form = (episode.goal[k] for k in ("question", "answer", "form"))
        room = next((k for k in ROOMS if re.search(rf"in the {room_name(k)}\?", text)), None)
        things = [o for o in house.objects if room is None or kinds[o.room] == room]
        if form.startswith("count"):
            category = next(c for c in CATEGORIES if f"many {plural(c)} " in text)
            assert answer == str(sum(o.category == category for o in things)), text
        elif form.startswith("exists"):
            category = next(c for c in CATEGORIES if re.search(rf"is there an? {noun(c)} in", text.lower()))
            assert answer == ("yes" if any(o.category == category for o in things) else "no"), text
        elif form == "which room":
            category = next(c for c in CATEGORIES if text.endswith(f"is the {noun(c)}?"))
            assert [room_name(kinds[o.room]) for o in things if o.category == category] == [answer]
        elif form == "standing on":
            category = next(c for c in CATEGORIES if f"is the {noun(c)} standing" in text)
            (thing,) = (o for o in things if o.category == category)
            (under,) = (o for o in house.objects if o.name == thing.support)
            assert noun(under.category) == answer


def _facts(hidden: tuple[str, ...] = ()) -> SceneFacts:
    """A real house in which everything but the hidden things is well seen from one place."""
    house = generate_house("house/val/B/0001")
    things = {
        i: Instance(i, o.category, o.name, o.lower, o.upper, o.room)
        for i, o in enumerate(house.objects, start=1)
    }
    seen = np.full((1, len(things) + 1), 500, np.int32)
    for i, thing in things.items():
        if thing.name in hidden:
            seen[0, i] = 3
    return SceneFacts(house, SimpleNamespace(things=things), np.zeros((1, 2)), [house.rooms[0].name], seen)


def test_every_question_has_one_answer():
    found = questions(_facts())
    assert {q.kind for q in found} == set(KINDS)
    assert all(n == 1 for n in Counter(q.text for q in found).values())
    assert all(q.text.endswith("?") and q.answer for q in found)


def test_nothing_hardly_visible_is_asked_about():
    facts = _facts()
    counted = [q for q in questions(facts) if q.form == "count room"]
    assert counted
    for question in counted[:4]:
        name = next(t.name for t in facts.loaded.things.values() if t.id == question.evidence[0])
        assert question.text not in {q.text for q in questions(_facts((name,)))}


def test_what_has_two_names_is_not_counted():
    facts = _facts()
    for category, others in NEAR.items():
        if any(facts.objects(o) for o in others):
            assert facts.countable(category) is None
            assert not [q for q in questions(facts) if q.form == "count house" and q.about == category]


def test_the_way_to_the_evidence_is_a_lower_bound():
    facts = _facts()
    facts = replace(
        facts,
        places=np.zeros((3, 2)),
        rooms=["a", "b", "a"],
        seen=np.array([[0, 500, 0], [0, 0, 500], [0, 0, 0]]),
    )
    distances = np.array([2.0, 5.0, 1.0])
    assert facts.walk_to_see(distances, [1], []) == 2.0
    assert facts.walk_to_see(distances, [1, 2], ["a"]) == 5.0
    assert facts.walk_to_see(distances, [], []) == 0.0
    assert facts.walk_to_see(np.array([2.0, np.inf, 1.0]), [2], []) == np.inf


def test_answers_take_turns():
    """Of a hundred plain houses that all say yes and no equally often, half the chosen answers are yes."""
    pool = [q for q in questions(_facts()) if q.form.startswith("exists")]
    chooser = Chooser(0, [pool])
    for _ in range(40):
        question = chooser.choose("scene", pool, KINDS[0])
        chooser.take(question)
    answers = Counter(
        a for (key, *rest), n in chooser.counts.items() if key == "answer" for a in [rest[-1]] * n
    )
    assert abs(answers["yes"] - answers["no"]) <= 2


def test_words_cover_all_categories():
    names = [noun(c) for c in CATEGORIES]
    assert len(set(names)) == len(names)
    assert set(NEAR) <= set(CATEGORIES) and {o for near in NEAR.values() for o in near} <= set(CATEGORIES)


@given(st.tuples(*[st.floats(0, 1)] * 3))
def test_every_colour_has_a_name(rgb):
    assert colour_name(rgb) in COLOURS
    assert sum(colour_shares(np.array([rgb])).values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((0, 0, 0), "black"), ((1, 1, 1), "white"), ((0.5, 0.5, 0.5), "grey"), ((0.9, 0.1, 0.1), "red"),
        ((0.2, 0.3, 0.9), "blue"), ((0.1, 0.6, 0.2), "green"), ((0.45, 0.28, 0.14), "brown"), ((1, 0.9, 0.1), "yellow"),
    ],
)  # fmt: skip
def test_plain_colours(rgb, name):
    assert colour_name(rgb) == name


def test_the_task_is_registered():
    assert "embodied-qa" in TASKS.names()
