"""The forms of the agent's replies, for any goal and any vocabulary."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import GenericAlias
from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints, WithJsonSchema, create_model

from worldloop.actions.text import describe_short
from worldloop.agents.vlm.replies import Form
from worldloop.core import Plan, Situation, Vocabulary

Why = Annotated[str, Field(description="a few sentences of reasoning")]


@dataclass(frozen=True)
class Revision:
    """What the model made of the candidates."""

    chosen: int | None
    """From 0; None for a plan of its own."""
    plan: Plan
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Stated:
    """An answer, and how sure the model says it is."""

    answer: str
    confidence: float


def usable_actions(vocabulary: Vocabulary, stops: bool) -> tuple[str, ...]:
    """Names of the primitives that may be used; empty for a continuous vocabulary."""
    return tuple(p.name for p in vocabulary.primitives if stops or not p.stops)


def describe_actions(vocabulary: Vocabulary, stops: bool) -> str:
    """One line for each action, or for each number of a continuous one."""
    if vocabulary.discrete:
        lines = []
        for p in vocabulary.primitives:
            if not p.stops:
                lines.append(f"- {p.name}: {describe_short(p)}")
            elif stops:
                lines.append(f"- {p.name}: ends the episode here")
        return "\n".join(lines)
    ranges = [
        f"- {n}: from {a:g} to {b:g}" for n, a, b in zip(vocabulary.fields, vocabulary.low, vocabulary.high)
    ]
    return f"one list of {len(ranges)} numbers ({vocabulary.name}), in this order:\n" + "\n".join(ranges)


def _action_type(vocabulary: Vocabulary, stops: bool) -> Any:
    if vocabulary.discrete:
        names = list(usable_actions(vocabulary, stops))
        return Annotated[str, WithJsonSchema({"type": "string", "enum": names})]
    size = len(vocabulary.fields)
    return Annotated[list[float], Field(min_length=size, max_length=size)]


def _list_of(item: Any) -> Any:
    """`list[item]` for a type that is known at run time only."""
    return GenericAlias(list, (item,))


def _example_plan(vocabulary: Vocabulary, length: int) -> list[Any]:
    if vocabulary.discrete:
        names = usable_actions(vocabulary, False)
        return [names[i % len(names)] for i in range(length)]
    middle = [round((a + b) / 2, 3) for a, b in zip(vocabulary.low, vocabulary.high)]
    return [middle] * length


def plan_of(said: Sequence[Any], situation: Situation, stops: bool, exact: bool) -> Plan:
    """A plan of the vocabulary; ValueError or InputError says what is wrong.

    Names are taken with spaces, dashes and capitals. A plan that stops is filled up with that action: nothing is
    carried out after it. With `exact`, any other plan has the horizon's length.
    """
    vocabulary, actions = situation.vocabulary, list(said)
    if vocabulary.discrete:
        allowed = usable_actions(vocabulary, stops)
        actions = [re.sub(r"[\s-]+", "_", str(a).strip().lower()) for a in actions]
        if unknown := [a for a in actions if a not in allowed]:
            raise ValueError(f"{unknown[0][:40]!r} is no action; the actions are {', '.join(allowed)}")
        for i, name in enumerate(actions):
            if vocabulary.primitive(name).stops:
                actions = [*actions[:i], *[name] * (situation.horizon - i)]
                break
    wanted = situation.horizon
    if len(actions) > wanted or not actions or (exact and len(actions) < wanted):
        raise ValueError(f"a plan has {'exactly' if exact else '1 to'} {wanted} actions, not {len(actions)}")
    return vocabulary.plan(actions)


def proposal_form(situation: Situation, stops: bool) -> Form[Any, list[Plan]]:
    """Up to M plans of L actions; equal ones are merged by the proposer."""
    kind = _list_of(_list_of(_action_type(situation.vocabulary, stops)))
    limits = Field(min_length=1, max_length=situation.rollouts)
    model = create_model("Proposal", why=(Why, ...), plans=(kind, limits))
    plan = _example_plan(situation.vocabulary, situation.horizon)

    def check(said: Any) -> list[Plan]:
        return [plan_of(p, situation, stops, exact=True) for p in said.plans]

    return Form(model, {"why": "...", "plans": [plan, ["..."]] if situation.rollouts > 1 else [plan]}, check)


def revision_form(situation: Situation, plans: Sequence[Plan], stops: bool) -> Form[Any, Revision]:
    """A score for each plan, and either the number of one or a plan of its own."""
    action, count = _action_type(situation.vocabulary, stops), len(plans)
    score = Annotated[float, Field(ge=0, le=100)]
    model = create_model(
        "Revision",
        why=(Why, ...),
        scores=(Annotated[list[score], Field(min_length=count, max_length=count)], ...),
        choice=(Annotated[int, Field(ge=1, le=count)] | None, ...),
        plan=(_list_of(action) | None, ...),
    )

    def check(said: Any) -> Revision:
        if (said.choice is None) == (not said.plan):
            raise ValueError(
                "give either the number of a plan as choice, or a new plan, and null for the other"
            )
        if said.choice is not None:
            return Revision(said.choice - 1, plans[said.choice - 1], tuple(said.scores))
        return Revision(None, plan_of(said.plan, situation, stops, exact=False), tuple(said.scores))

    example = {"why": "...", "scores": [50] * count, "choice": 1, "plan": None}
    return Form(model, example, check)


def answer_form(classes: Sequence[str]) -> Form[Any, Stated]:
    """An answer, one of the classes where there are some, and its probability."""
    known = {_plain(c): c for c in classes}
    text: Any = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
    if classes:
        text = Annotated[text, WithJsonSchema({"type": "string", "enum": list(classes)})]
    model = create_model(
        "Answer", why=(Why, ...), answer=(text, ...), confidence=(Annotated[float, Field(ge=0, le=1)], ...)
    )

    def check(said: Any) -> Stated:
        answer = said.answer
        if classes:
            if _plain(answer) not in known:
                raise ValueError(f"{answer[:60]!r} is none of the possible answers: {', '.join(classes)}")
            answer = known[_plain(answer)]
        return Stated(answer, float(said.confidence))

    return Form(model, {"why": "...", "answer": "...", "confidence": 0.5}, check)


def grade_form() -> Form[Any, int]:
    """A grade from 1 to 5."""
    model: type[BaseModel] = create_model(
        "Grade", why=(Why, ...), grade=(Annotated[int, Field(ge=1, le=5)], ...)
    )
    check: Callable[[Any], int] = lambda said: said.grade  # noqa: E731
    return Form(model, {"why": "...", "grade": 3}, check)


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text).strip().casefold()
