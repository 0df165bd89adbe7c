"""Questions about a house whose answer follows from what is in it, in seven categories after OpenEQA.

OpenEQA (Majumdar et al., CVPR 2024) asks people to write questions; here they are made from the scene. A question is
only made where the scene leaves one answer: what is hardly visible, might be called by two names, or is one of
several of its kind is not asked about.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from worldloop.envs.house.generate import CATEGORIES, PlacedObject
from worldloop.envs.house.recipes import CLUTTER, FIRST, SMALL
from worldloop.envs.house.words import (
    ROOMS,
    article,
    colour_synonyms,
    material_of,
    noun,
    plural,
    room_name,
    synonyms,
)
from worldloop.tasks.embodied_qa_facts import SceneFacts
from worldloop.tasks.embodied_qa_question import KINDS, Question, ids_of, room_answers
from worldloop.tasks.embodied_qa_uses import knowledge, seats, what_for, where_to

SUPPORTS = ("table", "desk", "nightstand", "dresser")
"""What things stand on and what has one name."""
TALL, LOW = 1.6, 1.1
"""Metres; asked about 1.3, so that it can be told by eye."""
MOST = 5
"""Nobody is asked to count further."""
NEXT_TO, FARTHER = 0.6, 0.7
"""Metres of floor between two things that stand side by side, and how much farther the next one must be."""


Maker = Callable[[SceneFacts], Iterator[Question]]


def questions(facts: SceneFacts) -> list[Question]:
    """Every question that can be asked of a house, in a fixed order."""
    makers: tuple[Maker, ...] = (
        _existence, _counting, _colours, _floors, _heights, _on_top, _beside, _on_the_wall, _which_room, _standing_on,
        _anything_on, where_to, what_for, seats, knowledge,
    )  # fmt: skip
    return [question for maker in makers for question in maker(facts)]


def plausible(category: str, kind: str) -> bool:
    """Whether rooms of a kind sometimes have a thing of a category."""
    return category in CLUTTER[kind] or any(s.category == category for s in (*FIRST[kind], *SMALL[kind]))


def _existence(facts: SceneFacts) -> Iterator[Question]:
    everywhere = tuple(facts.kinds)
    for category in CATEGORIES:
        name = article(noun(category))
        for kind, room in facts.single_rooms.items():
            there = facts.countable(category, room)
            if there is not None and plausible(category, kind):
                answer = "yes" if there else "no"
                search: tuple[str, ...] = () if there else (room,)
                text = f"Is there {name} in the {room_name(kind)}?"
                # One is enough for a yes: the others need not be seen.
                yield Question(
                    KINDS[0], "exists room", text, answer, (), ids_of(facts, there)[:1], search, category
                )
        found = facts.countable(category)
        if found is not None and len(found) <= 1:
            answer = "yes" if found else "no"
            search = () if found else everywhere
            text = f"Is there {name} in this house?"
            yield Question(KINDS[0], "exists house", text, answer, (), ids_of(facts, found), search, category)


def _counting(facts: SceneFacts) -> Iterator[Question]:
    for category in CATEGORIES:
        if category in ("books", "flowers"):
            continue
        for kind, room in facts.single_rooms.items():
            there = facts.countable(category, room)
            if there and len(there) <= MOST:
                text = f"How many {plural(category)} are there in the {room_name(kind)}?"
                yield Question(
                    KINDS[1], "count room", text, str(len(there)), (), ids_of(facts, there), (room,), category
                )
        found = facts.countable(category)
        if found and len(found) <= MOST:
            text = f"How many {plural(category)} are there in this house?"
            yield Question(
                KINDS[1],
                "count house",
                text,
                str(len(found)),
                (),
                ids_of(facts, found),
                tuple(facts.kinds),
                category,
            )


def _colours(facts: SceneFacts) -> Iterator[Question]:
    for category in CATEGORIES:
        thing = facts.only(category) if facts.countable(category) else None
        colour = facts.colour(thing) if thing else None
        if thing and colour:
            text = f"What colour is the {noun(category)}?"
            yield Question(
                KINDS[2],
                "colour",
                text,
                colour,
                colour_synonyms(colour),
                ids_of(facts, [thing]),
                about=category,
            )


def _floors(facts: SceneFacts) -> Iterator[Question]:
    for kind, room in facts.single_rooms.items():
        made = material_of(facts.house.materials[room].floor)
        if made:
            text = f"What is the floor of the {room_name(kind)} made of?"
            yield Question(KINDS[2], "floor", text, made[0], made[1], (), (room,), "floor")


def _heights(facts: SceneFacts) -> Iterator[Question]:
    for category in ("bookcase", "fireplace", "plant", "lamp"):
        thing = facts.only(category) if facts.countable(category) else None
        # What stands on furniture is judged with it by eye: a small plant on a high chest reaches far up.
        if thing and not LOW < (height := thing.upper[2] - thing.lower[2]) < TALL and thing.upper[2] <= 2.55:
            text = f"Is the {noun(category)} itself taller than 1.3 metres?"
            answer = "yes" if height >= TALL else "no"
            yield Question(KINDS[2], "height", text, answer, (), ids_of(facts, [thing]), about=category)


def _on_top(facts: SceneFacts) -> Iterator[Question]:
    for support in _supports(facts):
        things = _standing(facts, support)
        if len(things) == 1 and facts.clear(things[0].name):
            thing = things[0]
            text = f"What is standing on the {noun(support.category)}{_where(facts, support)}?"
            yield Question(
                KINDS[3], "on top", text, noun(thing.category), synonyms(thing.category), ids_of(facts, [thing, support]),
                about=support.category,
            )  # fmt: skip


def _beside(facts: SceneFacts) -> Iterator[Question]:
    ground = [o for o in facts.house.objects if o.lower[2] < 0.05 and o.category != "rug"]
    for thing in ground:
        if facts.only(thing.category) is None or not facts.countable(thing.category):
            continue
        gaps = sorted((_gap(thing, o), o.name, o) for o in ground if o.room == thing.room and o is not thing)
        if (
            len(gaps) < 2
            or gaps[0][0] > NEXT_TO
            or gaps[1][0] < gaps[0][0] + FARTHER
            or not facts.clear(gaps[0][1])
        ):
            continue
        near = gaps[0][2]
        text = f"What stands right next to the {noun(thing.category)}?"
        yield Question(
            KINDS[3], "beside", text, noun(near.category), synonyms(near.category), ids_of(facts, [near, thing]),
            about=thing.category,
        )  # fmt: skip


def _on_the_wall(facts: SceneFacts) -> Iterator[Question]:
    for kind, room in facts.single_rooms.items():
        hung = [
            o for o in facts.house.objects if o.room == room and o.lower[2] > 0.9 and o.side and not o.support
        ]
        if len(hung) == 1 and facts.clear(hung[0].name):
            text = f"What is hanging on the wall of the {room_name(kind)}?"
            yield Question(
                KINDS[3], "on the wall", text, noun(hung[0].category), synonyms(hung[0].category), ids_of(facts, hung),
                (room,), kind,
            )  # fmt: skip


def _which_room(facts: SceneFacts) -> Iterator[Question]:
    for category in CATEGORIES:
        thing = facts.only(category) if facts.countable(category) else None
        if thing and sum(plausible(category, kind) for kind in ROOMS) >= 2:
            kind = facts.kinds[thing.room]
            text = f"In which room is the {noun(category)}?"
            extra = room_answers(kind)
            yield Question(
                KINDS[4], "which room", text, room_name(kind), extra, ids_of(facts, [thing]), about=category
            )


def _standing_on(facts: SceneFacts) -> Iterator[Question]:
    for category in CATEGORIES:
        thing = facts.only(category) if facts.countable(category) else None
        if thing and thing.support:
            support = next(o for o in facts.house.objects if o.name == thing.support)
            text = f"What is the {noun(category)} standing on?"
            words = synonyms(support.category)
            ids = ids_of(facts, [thing])
            yield Question(KINDS[4], "standing on", text, noun(support.category), words, ids, about=category)


def _anything_on(facts: SceneFacts) -> Iterator[Question]:
    for support in _supports(facts):
        things = _standing(facts, support)
        if all(facts.clear(o.name) for o in things[:1]):
            text = f"Is anything standing on the {noun(support.category)}{_where(facts, support)}?"
            answer = "yes" if things else "no"
            yield Question(
                KINDS[5],
                "anything on",
                text,
                answer,
                (),
                ids_of(facts, [support, *things[:1]]),
                about=support.category,
            )


def _supports(facts: SceneFacts) -> list[PlacedObject]:
    """Furniture on which things stand, where its name and room say which one is meant."""
    out = []
    for support in facts.house.objects:
        if support.category not in SUPPORTS or not facts.clear(support.name):
            continue
        room = None if len(facts.objects(support.category)) == 1 else support.room
        named = room is None or room in facts.single_rooms.values()
        if named and len(facts.countable(support.category, room) or ()) == 1:
            out.append(support)
    return out


def _standing(facts: SceneFacts, support: PlacedObject) -> list[PlacedObject]:
    return [o for o in facts.house.objects if o.support == support.name]


def _where(facts: SceneFacts, thing: PlacedObject) -> str:
    several = len(facts.objects(thing.category)) > 1
    return f" in the {room_name(facts.kinds[thing.room])}" if several else ""


def _gap(a: PlacedObject, b: PlacedObject) -> float:
    """Metres of floor between the outlines of two objects."""
    apart = [max(a.lower[k] - b.upper[k], b.lower[k] - a.upper[k], 0.0) for k in (0, 1)]
    return math.hypot(*apart)
