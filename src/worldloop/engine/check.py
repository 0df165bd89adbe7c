"""Conformance: does a world model keep the contract that the loop relies on?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from worldloop.core import (
    PRIVILEGES,
    Action,
    Environment,
    Episode,
    InputError,
    MayLackSimulator,
    ModelCard,
    Plan,
    Query,
    Rollout,
    Task,
    WorldModel,
    generator,
)
from worldloop.core.errors import ModelError, WorldloopError
from worldloop.core.types import OPTIONAL_FIELDS
from worldloop.engine.guard import GUARDED, check_rollout, observation_digest, only

SHOWN = {"rgb", "collided", "gripper", "wrist_rgb", *OPTIONAL_FIELDS, *GUARDED}
"""What an environment may show a model."""
CONTROLS = ("none", "text", "camera", "code", "keys", "vector")


@dataclass(frozen=True)
class CheckItem:
    """One check."""

    name: str
    result: str
    """`pass`, `fail`, `note` or `skip`."""
    detail: str = ""


@dataclass
class CheckReport:
    """All checks of one model."""

    model: str
    items: list[CheckItem] = field(default_factory=list)
    seconds_per_rollout: float | None = None

    @property
    def passed(self) -> bool:
        """True when nothing failed."""
        return all(i.result != "fail" for i in self.items)

    @property
    def badge(self) -> str:
        """One line to put beside a model's name."""
        good = sum(i.result == "pass" for i in self.items)
        bad = sum(i.result == "fail" for i in self.items)
        return f"worldloop check: {self.model}: {good} passed, {bad} failed"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "passed": self.passed, "badge": self.badge}


def check_model(model: WorldModel, scene: str | None = None, horizon: int = 4, count: int = 4) -> CheckReport:
    """Ask a model `count` questions in a scene, alone, together, twice and in another order.

    Without a scene, in a house or at a table, as the model can be asked. Raises InputError for an unknown scene;
    whatever the model does wrong is reported, not raised.
    """
    if not 1 <= horizon <= 1000:
        raise InputError(f"--horizon must lie between 1 and 1000, got {horizon}")
    card, scene = model.card, scene or usual_scene(model)
    report = CheckReport(card.name)

    def check(name: str, test: Callable[[], str | None]) -> bool:
        try:
            report.items.append(CheckItem(name, "pass", test() or ""))
        except AssertionError as problem:
            report.items.append(CheckItem(name, "fail", str(problem)))
        except Exception as problem:  # noqa: BLE001 - a foreign model may raise anything
            report.items.append(CheckItem(name, "fail", f"{type(problem).__name__}: {problem}"))
        return report.items[-1].result == "pass"

    check("card", lambda: _card(model))
    check("reads", lambda: _reads(model))
    if not card.imagines:
        report.items.append(CheckItem("rollouts", "skip", "this model imagines nothing"))
        return report
    queries = [prepare(model, q) for q in make_queries(model, scene, horizon, count)]
    before = [_digest(q) for q in queries]
    answers: list[Rollout] = []

    def ask() -> str:
        model.simulate(queries[:1])  # compilation and loading are not the model's speed
        start = time.perf_counter()
        answers.extend(model.simulate(queries))
        report.seconds_per_rollout = (time.perf_counter() - start) / len(queries)
        assert len(answers) == count, f"{len(answers)} rollouts for {count} queries"
        for q, r in zip(queries, answers):
            try:
                check_rollout(q, r, card.name)
            except ModelError as error:
                raise AssertionError(str(error)) from None
        return f"{horizon} frames of {'x'.join(map(str, answers[0].frames[0].rgb.shape))} for each plan"

    if not check("frames", ask):
        return report

    def same(name: str, others: list[Rollout]) -> None:
        for i, (a, b) in enumerate(zip(answers, others)):
            assert _equal(a, b), f"rollout {i} differs {name}"

    def repeats() -> None:
        same("when asked again with the same seed", model.simulate(queries))

    def alone() -> None:
        same("when asked alone", [model.simulate([q])[0] for q in queries])

    def reversed_order() -> None:
        same("in another order", model.simulate(queries[::-1])[::-1])

    def untouched() -> None:
        assert [_digest(q) for q in queries] == before, "an observation that was passed in has changed"

    check("same seed, same rollout", repeats)
    check("batch equals single", alone)
    check("order does not matter", reversed_order)
    check("inputs are not changed", untouched)
    _note_controls(model, queries, report)
    report.items.append(CheckItem("time", "note", f"{1e3 * report.seconds_per_rollout:.1f} ms per rollout"))  # type: ignore[operator]
    return report


@dataclass(frozen=True)
class Surroundings:
    """Where questions come from: a world, and what is drawn at random in it."""

    world: Environment
    plan: Callable[[int], Plan]
    """A random plan of so many actions."""
    past: Callable[[], tuple[Action, ...]]
    """The actions before the present."""
    start: Callable[[], dict[str, Any]]
    """Where an episode begins."""


def make_queries(model: WorldModel, scene: str, horizon: int, count: int) -> list[Query]:
    """Questions from random places of a house, or after random commands at a table.

    All privileges are still in them.
    """
    at = (_table if scene.startswith("tabletop/") else _house)(model.card, scene, generator("check", scene))
    plans, queries = [at.plan(horizon) for _ in range(count)], []
    for i, plan in enumerate(plans):
        observations = [at.world.reset(Episode(f"check-{i}", "check", scene, i, at.start(), {}, 1))]
        actions = at.past()
        observations += [at.world.step(a) for a in actions]
        others = tuple(p for p in plans if p is not plan)
        queries.append(Query(tuple(observations), actions, plan, i, at.world.simulator(), others))
    return queries


def _house(card: ModelCard, scene: str, rng: np.random.Generator) -> Surroundings:
    from worldloop.actions import NAVIGATION
    from worldloop.envs.house.scenes import load_scene
    from worldloop.envs.house.world import HouseWorld

    around = any(n.startswith("panorama") for n in card.reads)
    nav, moves = load_scene(scene).nav, [p.name for p in NAVIGATION.primitives if not p.stops]
    return Surroundings(
        HouseWorld(panorama_height=128 if around else None),
        lambda length: NAVIGATION.plan([moves[i] for i in rng.integers(len(moves), size=length)]),
        lambda: NAVIGATION.plan(["turn_left"] * card.history).actions[1:],
        lambda: {"position": list(nav.random_free_point(rng)), "yaw_deg": 22.5 * int(rng.integers(16))},
    )


def _table(card: ModelCard, scene: str, rng: np.random.Generator) -> Surroundings:
    from worldloop.tasks.manipulation import Manipulation

    world = Manipulation().environment(card.reads)
    box = world.vocabulary

    def drawn(length: int) -> Plan:
        rows = rng.uniform(box.low, box.high, (length, len(box.low)))
        rows[:, 3:5] = 0.0  # the hand stays upright
        return box.plan(rows)

    return Surroundings(world, drawn, lambda: drawn(max(1, card.history - 1)).actions, dict)


def usual_scene(model: WorldModel) -> str:
    """A validation scene that a model's questions can come from."""
    from worldloop.actions import NAVIGATION

    refuses, table = getattr(model, "refuses", None), "tabletop/val/push/0000"
    hand = any(n == "gripper" or n.startswith("wrist") for n in model.card.reads)
    return table if hand or (refuses is not None and refuses(NAVIGATION)) else "house/val/A/0000"


def prepare(model: WorldModel, query: Query) -> Query:
    """The query as the loop would pass it: without what the card does not declare."""
    card = model.card
    return replace(
        query,
        history=tuple(only(o, card.reads, card.privileges) for o in query.history),
        simulator=query.simulator if "simulator" in card.privileges else None,
        alternatives=query.alternatives if "other_plans" in card.privileges else (),
    )


def usable(model: WorldModel, spec: str) -> WorldModel:
    """The model itself; InputError when its class or its card cannot work, `spec` being what it is called."""
    card = getattr(model, "card", None)
    if not isinstance(card, ModelCard) or not callable(getattr(model, "simulate", None)):
        raise InputError(
            f"{spec!r} is no world model: its class needs `card = ModelCard(...)` and `simulate(queries)`"
        )
    try:
        _card(model)
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


def _reads(model: WorldModel) -> str:
    unknown = set(model.card.reads) - SHOWN
    assert not unknown, (
        f"it reads {', '.join(sorted(unknown))}, which no environment shows; known: {', '.join(sorted(SHOWN))}"
    )
    return f"reads: {', '.join(('rgb', *model.card.reads))}"


def _card(model: WorldModel) -> str:
    card = model.card
    assert card.name and card.summary, "the card needs a name and a summary"
    assert card.control in CONTROLS, f"control {card.control!r} is none of {', '.join(CONTROLS)}"
    unknown = set(card.privileges) - set(PRIVILEGES)
    assert not unknown, f"unknown privileges: {', '.join(sorted(unknown))}"
    assert card.history >= 1, "history counts observations, at least the present one"
    missing = {GUARDED[n] for n in card.reads if n in GUARDED} - set(card.privileges)
    assert not missing, f"it reads what only {', '.join(sorted(missing))} may; declare that privilege"
    return f"control {card.control}; privileges: {', '.join(card.privileges) or 'none'}"


def _note_controls(model: WorldModel, queries: list[Query], report: CheckReport) -> None:
    """Whether different plans and different seeds make a difference; neither is a fault."""
    q, box = queries[0], queries[0].plan.vocabulary
    if box.discrete:
        ends: list[Action] = [Action(p.name) for p in box.primitives if p.yaw_deg][:2]
    else:
        ends = [Action(box.name, end) for end in (box.low, box.high)]
    try:
        left, right = model.simulate([replace(q, plan=box.plan([end] * len(q.plan))) for end in ends])
        seeded = model.simulate([replace(q, seed=q.seed + 1)])[0]
        first = model.simulate([q])[0]
    except (WorldloopError, ValueError, RuntimeError) as error:
        report.items.append(CheckItem("controls", "fail", str(error)))
        return
    sides = "left and right turns" if box.discrete else "commands to opposite corners"
    moves = f"{sides} look {'the same' if _equal(left, right) else 'different'}"
    report.items.append(CheckItem("controls", "note", moves))
    draws = (
        "another seed, another rollout"
        if not _equal(seeded, first)
        else "deterministic: the seed changes nothing"
    )
    report.items.append(CheckItem("seeds", "note", draws))


def _digest(query: Query) -> bytes:
    return b"".join(map(observation_digest, query.history))


def _equal(a: Rollout, b: Rollout) -> bool:
    return len(a.frames) == len(b.frames) and all(
        np.array_equal(x.rgb, y.rgb) for x, y in zip(a.frames, b.frames)
    )
