"""Conformance: does a world model keep the contract that the loop relies on, and fit a task?"""

from __future__ import annotations

from worldloop.core import InputError, MayLackSimulator, ModelCard, Task, WorldModel
from worldloop.engine.conformance import CheckItem, CheckReport, badge_svg, check_model
from worldloop.engine.conformance.contract import CONTROLS, SHOWN, check_card
from worldloop.engine.conformance.questions import Surroundings, make_queries, prepare, usual_scene

__all__ = [
    "CONTROLS",
    "SHOWN",
    "CheckItem",
    "CheckReport",
    "Surroundings",
    "badge_svg",
    "check_model",
    "lacking",
    "make_queries",
    "prepare",
    "unfit",
    "usable",
    "usual_scene",
]


def usable(model: WorldModel, spec: str) -> WorldModel:
    """The model itself; InputError when its class or its card cannot work, `spec` being what it is called."""
    card = getattr(model, "card", None)
    if not isinstance(card, ModelCard) or not callable(getattr(model, "simulate", None)):
        raise InputError(
            f"{spec!r} is no world model: its class needs `card = ModelCard(...)` and `simulate(queries)`"
        )
    try:
        check_card(card)
    except AssertionError as error:
        raise InputError(f"the card of {spec!r}: {error}") from None
    return model


def lacking(task: Task, model: WorldModel) -> list[str]:
    """What the model reads and the task's environment cannot show it."""
    return sorted(set(model.card.reads) - {"rgb", "text", *task.provides})


def unfit(task: Task, model: WorldModel) -> str | None:
    """Why a model cannot be asked in a task at all, as the end of "MODEL is left out of TASK..."; None if it can.

    A model may have a method `refuses(vocabulary) -> str | None` that says what plans it cannot answer.
    """
    if (refuses := getattr(model, "refuses", None)) is not None:
        environment = task.environment()
        reason = refuses(environment.vocabulary)
        environment.close()
        if reason is not None:
            return f": {reason}"
    runs_it = "simulator" in model.card.privileges
    if runs_it and isinstance(task, MayLackSimulator) and (reason := task.no_simulator()) is not None:
        return f": {reason}"
    if missing := lacking(task, model):
        return f", which has no {' or '.join(missing)} for it to read"
    return None
