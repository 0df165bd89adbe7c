"""What a question asks for, read from its words by a list of patterns. No language model: what fits none is `other`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from worldloop.envs.house.generate import CATEGORIES
from worldloop.envs.house.words import ROOMS, noun, plural, room_name, room_synonyms, synonyms

SEATS = ("sofa", "armchair", "chair", "stool", "bean_bag")
HUNG = ("picture", "clock", "towel_rack", "cabinet")
_LORE: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"piano", ("piano",)),
    (r"guitar", ("guitar",)),
    (r"instrument|music", ("piano", "guitar")),
    (r"\bbaby\b", ("crib",)),
    (r"child lived|kids? live", ("crib", "teddy_bear", "ball")),
    (r"child to play|\btoys?\b", ("ball", "teddy_bear")),
    (r"\bbath\b|bathe", ("bathtub",)),
    (r"laundry|wash .*clothes", ("washing_machine",)),
    (r"\blogs?\b|at a fire", ("fireplace",)),
    (r"keeps .* warm", ("radiator", "fireplace")),
    (r"espresso|coffee", ("coffee_machine",)),
    (r"snack|fruit", ("fruit_bowl",)),
    (r"breeze|cool down|\bfan\b", ("fan",)),
    (r"hik(es?|ing)|school bag", ("backpack",)),
    (r"carry my things", ("backpack", "basket", "box")),
    (r"light bulb|high shelf|climb", ("step_ladder",)),
    (r"news|entertained", ("tv", "laptop")),
    (r"television", ("tv",)),
    (r"water(ing|ed)", ("plant", "flowers")),
    (r"behind a screen", ("room_divider",)),
    (r"leftovers|warmed up", ("microwave",)),
    (r"desk", ("desk",)),
    (r"computer", ("laptop",)),
    (r"to read", ("books",)),
    (r"bottle", ("bottle",)),
    (r"throw .* away|rubbish", ("bin",)),
)
"""Words of a wish or a guess, and the categories that answer it: the agent's common knowledge."""


@dataclass(frozen=True)
class Asked:
    """A question as the agent understands it."""

    form: str
    """`exists`, `count`, `colour`, `floor`, `taller`, `on top`, `beside`, `hung`, `room of`, `stands on`, `anything on`,
    `which of`, `any of` or `other`."""
    categories: tuple[str, ...] = ()
    """What it is about; any one of them."""
    room: str | None = None
    """The kind of room it is limited to."""

    @property
    def yes_no(self) -> bool:
        """Whether it is answered by yes or no."""
        return self.form in ("exists", "taller", "anything on", "any of")


def parse_question(text: str) -> Asked:
    """The first pattern that fits decides."""
    said = " ".join(text.lower().split())
    room = _room(said)
    named = _category(said)
    about = (named,) if named else ()
    wished = next((found for pattern, found in _LORE if re.search(pattern, said)), ())
    if re.match(r"how many", said) and about:
        return Asked("count", about, room)
    if re.match(r"what colou?r", said) and about:
        return Asked("colour", about, room)
    if "floor" in said and "made of" in said:
        return Asked("floor", (), room)
    if "taller than" in said and about:
        return Asked("taller", about, room)
    if "anything" in said and " on the " in said and about:
        return Asked("anything on", about, room)
    if re.match(r"what is (the .* )?standing on\?", said) and about:
        return Asked("stands on", about, room)
    if re.match(r"what is (standing|lying)? ?on the", said) and about:
        return Asked("on top", about, room)
    if "next to" in said and about:
        return Asked("beside", about, room)
    if "hanging on the wall" in said:
        return Asked("hung", HUNG, room)
    if re.match(r"(in )?(which|what) room", said):
        return Asked("room of", wished if " can i " in said and wished else about or wished)
    if re.match(r"is there (an?|any) ", said) and about and not wished_only(said):
        return Asked("exists", about, room)
    if "sit on" in said:
        return Asked("which of", SEATS, room)
    if said.startswith("what") and wished:
        return Asked("which of", wished, room)
    if re.match(r"(is|are|does|do|can|could|would|will|has|have)\b", said):
        return Asked("any of" if wished else "exists", wished or about, room)
    return Asked("other", about or wished, room)


def wished_only(said: str) -> bool:
    """Whether a question names something by what it is good for."""
    return bool(re.search(r"anything|healthy|needs|within sight", said))


def _room(said: str) -> str | None:
    for kind in ROOMS:
        for name in (room_name(kind), *room_synonyms(kind)):
            if name != "toilet" and re.search(rf"\b{name}\b", said):
                return kind
    return None


def _category(said: str) -> str | None:
    """The category whose name comes first in the text; of several there the longest."""
    found = [
        (match.start(), -len(name), category)
        for category, name in _all_names()
        if (match := re.search(rf"\b{re.escape(name)}\b", said))
    ]
    return min(found)[2] if found else None


@lru_cache(maxsize=1)
def _all_names() -> Sequence[tuple[str, str]]:
    rooms = {room_name(kind) for kind in ROOMS}
    names = []
    for category in CATEGORIES:
        for name in {noun(category), plural(category), *synonyms(category)} - rooms:
            names.append((category, name))
    return sorted(names)
