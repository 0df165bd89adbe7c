"""A question about a house, with all that decides how it is chosen and scored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from worldloop.envs.house.generate import PlacedObject
from worldloop.envs.house.words import room_name, room_synonyms
from worldloop.tasks.embodied_qa_facts import SceneFacts

KINDS = (
    "object existence", "counting", "attribute", "object recognition", "spatial location", "state and function",
    "world knowledge",
)  # fmt: skip
"""The categories of questions."""


@dataclass(frozen=True)
class Question:
    """A question and its answer."""

    kind: str
    """One of `KINDS`."""
    form: str
    """Which pattern it was made from, such as `count room`."""
    text: str
    answer: str
    extra_answers: tuple[str, ...] = ()
    """Other answers that are just as right."""
    evidence: tuple[int, ...] = ()
    """Instance ids of what must be seen to know the answer."""
    search: tuple[str, ...] = ()
    """Names of the rooms that must be looked into to know that something is not there."""
    about: str = ""
    """The category that it is about: answers are balanced for each."""


def ids_of(facts: SceneFacts, things: Iterable[PlacedObject]) -> tuple[int, ...]:
    """Instance ids of objects."""
    return tuple(facts.ids[o.name] for o in things)


def room_answers(kind: str) -> tuple[str, ...]:
    """Other ways to name a room in an answer."""
    return (f"in the {room_name(kind)}", *room_synonyms(kind))
