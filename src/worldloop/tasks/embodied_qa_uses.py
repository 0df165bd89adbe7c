"""Questions about what things are good for and what they tell of the people who live with them."""

from __future__ import annotations

from collections.abc import Iterator

from worldloop.envs.house.words import noun, room_name, synonyms
from worldloop.tasks.embodied_qa_facts import SceneFacts
from worldloop.tasks.embodied_qa_question import KINDS, Question, ids_of, room_answers

WHERE_TO = (
    ("do the laundry", "washing_machine"),
    ("warm myself at a fire", "fireplace"),
    ("play the piano", "piano"),
    ("play the guitar", "guitar"),
    ("sit at a desk", "desk"),
    ("watch television", "tv"),
    ("find something to read", "books"),
    ("pick a piece of fruit", "fruit_bowl"),
    ("find a drink in a bottle", "bottle"),
    ("throw something away", "bin"),
    ("use a computer", "laptop"),
    ("find something to climb on to reach a high shelf", "step_ladder"),
    ("cool down before a fan", "fan"),
)
"""What somebody may want to do, and the category that serves it."""
WHAT_FOR = (
    ("make music on", ("piano", "guitar")),
    ("give a child to play with", ("ball", "teddy_bear")),
    ("carry my things in", ("backpack", "basket", "box")),
    ("look at to be entertained", ("tv", "laptop")),
)
"""What somebody may want to do, and the categories of which any one serves it."""


def where_to(facts: SceneFacts) -> Iterator[Question]:
    """In which room something can be done."""
    for wish, category in WHERE_TO:
        thing = facts.only(category)
        if thing:
            kind = facts.kinds[thing.room]
            text = f"In which room can I {wish}?"
            yield Question(
                KINDS[5],
                "where to",
                text,
                room_name(kind),
                room_answers(kind),
                ids_of(facts, [thing]),
                about=category,
            )


def what_for(facts: SceneFacts) -> Iterator[Question]:
    """What serves a wish, where one thing does."""
    for wish, choice in WHAT_FOR:
        found = [o for c in choice for o in facts.objects(c)]
        if len(found) == 1 and facts.clear(found[0].name):
            category = found[0].category
            text = f"What is there in this house that I could {wish}?"
            yield Question(
                KINDS[5],
                "what for",
                text,
                noun(category),
                synonyms(category),
                ids_of(facts, found),
                about=wish,
            )
    for kind, room in facts.single_rooms.items():
        found = [o for c in ("radiator", "fireplace") for o in facts.objects(c, room)]
        if len({o.category for o in found}) == 1 and all(facts.clear(o.name) for o in found):
            category = found[0].category
            text = f"What keeps the {room_name(kind)} warm?"
            ids = ids_of(facts, found)[:1]
            yield Question(
                KINDS[5], "what for", text, noun(category), synonyms(category), ids, about="warmth"
            )


def seats(facts: SceneFacts) -> Iterator[Question]:
    """What there is to sit on, where it is of one kind."""
    for kind, room in facts.single_rooms.items():
        seats = [
            o
            for c in ("sofa", "armchair", "chair", "stool", "bean_bag", "bed")
            for o in facts.objects(c, room)
        ]
        categories = {o.category for o in seats}
        if len(categories) == 1 and categories != {"bed"} and any(facts.clear(o.name) for o in seats):
            category = seats[0].category
            text = f"What could I sit on in the {room_name(kind)}?"
            ids = tuple(i for o, i in zip(seats, ids_of(facts, seats)) if facts.clear(o.name))[:1]
            yield Question(KINDS[5], "seat", text, noun(category), synonyms(category), ids, about="seat")


KNOWLEDGE = (
    ("Does it look as if somebody here plays a musical instrument?", ("piano", "guitar")),
    ("Does it look as if a baby lived here?", ("crib",)),
    ("Does it look as if a child lived here?", ("crib", "teddy_bear", "ball")),
    ("Could one take a long bath in this home?", ("bathtub",)),
    ("Can people wash their clothes here without going to a laundry?", ("washing_machine",)),
    ("Could logs be burned here to keep warm?", ("fireplace",)),
    ("Could a visitor be offered a freshly brewed espresso?", ("coffee_machine",)),
    ("Is there a healthy snack within sight?", ("fruit_bowl",)),
    ("Could one make a breeze on a hot day?", ("fan",)),
    ("Would somebody who goes hiking find something to pack?", ("backpack",)),
    ("Could one change a light bulb under the ceiling without standing on a chair?", ("step_ladder",)),
    ("Could one follow the evening news on a screen?", ("tv", "laptop")),
    ("Is there anything here that needs watering?", ("plant", "flowers")),
    ("Could somebody get changed behind a screen?", ("room_divider",)),
    ("Could leftovers be warmed up in a minute?", ("microwave",)),
    ("Could a person who works from home sit at a proper desk?", ("desk",)),
)
"""Yes-no questions that take common knowledge, and the categories of which any one makes it a yes."""


def knowledge(facts: SceneFacts) -> Iterator[Question]:
    """What follows from the things that are there, or are not."""
    for text, choice in KNOWLEDGE:
        found = [o for c in choice for o in facts.objects(c)]
        near = [n for c in choice for n in ("table",) * (c == "desk") if facts.objects(n)]
        seen = [o for o in found if facts.clear(o.name)]
        if found and seen:
            ids = ids_of(facts, seen)[:1]
            yield Question(KINDS[6], "knowledge", text, "yes", (), ids, about=text)
        elif not found and not near:
            yield Question(KINDS[6], "knowledge", text, "no", (), (), tuple(facts.kinds), text)
