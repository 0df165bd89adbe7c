"""Where the suite's questions come from: places of a house, or moments at a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from worldloop.core import Action, Environment, Episode, ModelCard, Plan, Query, WorldModel, generator
from worldloop.engine.guard import only


@dataclass(frozen=True)
class Surroundings:
    """Where questions come from: a world, and what is drawn at random in it."""

    world: Environment
    plan: Callable[[int], Plan]
    """A random plan of so many actions."""
    past: Callable[[int], tuple[Action, ...]]
    """The actions before the present, so many more than the card asks for."""
    start: Callable[[], dict[str, Any]]
    """Where an episode begins."""


def make_queries(model: WorldModel, scene: str, horizon: int, count: int, extra: int = 0) -> list[Query]:
    """Questions from random places of a house, or after random commands at a table.

    All privileges are still in them. extra: observations in the history beyond those that the card asks for.
    """
    at = (_table if scene.startswith("tabletop/") else _house)(model.card, scene, generator("check", scene))
    plans, queries = [at.plan(horizon) for _ in range(count)], []
    for i, plan in enumerate(plans):
        observations = [at.world.reset(Episode(f"check-{i}", "check", scene, i, at.start(), {}, 1))]
        actions = at.past(extra)
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
        lambda extra: NAVIGATION.plan(["turn_left"] * (card.history + extra)).actions[1:],
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

    def past(extra: int) -> tuple[Action, ...]:
        return drawn(max(1, card.history - 1) + extra).actions

    return Surroundings(world, drawn, past, dict)


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
