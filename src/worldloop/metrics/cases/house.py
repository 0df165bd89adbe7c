"""Cases in furnished houses: short walks, loops that come back, long walks, held keys, and arcs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from worldloop.actions import NAVIGATION
from worldloop.actions.scripts import WORLDMARK, keys_plan, vocabulary_for
from worldloop.actions.text import TextTranslator
from worldloop.core import Episode, InputError, Observation, Plan, Primitive, Query, Vocabulary, generator
from worldloop.envs.house.scenes import load_scene
from worldloop.envs.house.splits import scene_ids
from worldloop.envs.house.world import HouseSimulator, HouseWorld, Place
from worldloop.metrics.cases.case import Case, CaseSpec
from worldloop.metrics.clip import Clip

HISTORY = 4
"""Observations before the plan; each model reads as many as it can."""
PLACES = 40
"""Starts that are tried for one at which nothing is in the way."""
WALKS = ("WWWWWWWW", "LLLLLLLL", "RRRRRRRR", "WWLLWWWW", "WWRRWWWW", "LWLWLWLW", "RWRWRWRW", "WLRWWRLW")
"""Keys of the short walks, one for each step."""
LOOPS = {
    "turn-left": "L" * 16,
    "turn-right": "R" * 16,
    "there-and-back": "WWWW" + "L" * 8 + "WWWW" + "L" * 8,
    "look-around": "LLLL" + "RRRRRRRR" + "LLLL",
}
"""Walks whose end is their start."""
LONG = 200
"""Steps of a long walk."""
HELD = 4
"""Steps for which a key is held in the domain `gaming`."""
ARCS = Vocabulary(
    "arcs",
    (
        *(p for p in NAVIGATION.primitives if not p.stops),
        Primitive("arc_left", forward=0.2, yaw_deg=22.5),
        Primitive("arc_right", forward=0.2, yaw_deg=-22.5),
        *(p for p in NAVIGATION.primitives if p.stops),
    ),
)
"""`NAVIGATION` and steps that move and turn at once: first the turn, then the walk."""
COMPOSED = {
    "arc-left": ("move_forward", *("arc_left",) * 6, "move_forward"),
    "arc-right": ("move_forward", *("arc_right",) * 6, "move_forward"),
    "slalom": ("move_forward", "arc_left", "arc_right", "arc_right", "turn_left", "arc_left")
    + ("arc_right",) * 2,
    "mixed-left": ("move_forward", "arc_left", "turn_left", "arc_left") * 2,
    "mixed-right": ("move_forward", "arc_right", "turn_right", "arc_right") * 2,
}
"""Walks of actions that move and turn at once, alone and among others."""
SAME = (0.02, 0.5)
"""Metres and degrees within which two views are of the same place."""
STYLES = ("A", "B", "C")


def list_walk(count: int, seed: int = 0) -> Iterable[CaseSpec]:
    """Eight steps each, every walk in turn."""
    return [
        CaseSpec("indoor", "walk", WALKS[i % len(WALKS)], _scene(i, seed), seed + i) for i in range(count)
    ]


def list_loop(count: int, seed: int = 0) -> Iterable[CaseSpec]:
    """Every loop in turn."""
    names = list(LOOPS)
    return [
        CaseSpec("indoor", "loop", names[i % len(names)], _scene(i, seed), seed + i) for i in range(count)
    ]


def list_long(count: int, seed: int = 0) -> Iterable[CaseSpec]:
    """Walks of `LONG` steps through a whole house, which pass by the same places again."""
    return [CaseSpec("indoor", "long", "wander", _scene(i, seed), seed + i) for i in range(count)]


def list_keys(count: int, seed: int = 0) -> Iterable[CaseSpec]:
    """WorldMark's scripts in turn, each key held for `HELD` steps."""
    names = list(WORLDMARK)
    return [
        CaseSpec("gaming", "keys", names[i % len(names)], _scene(i, seed), seed + i) for i in range(count)
    ]


def list_compose(count: int, seed: int = 0) -> Iterable[CaseSpec]:
    """Eight steps each, every script of arcs in turn."""
    names = list(COMPOSED)
    return [
        CaseSpec("indoor", "compose", names[i % len(names)], _scene(i, seed), seed + i) for i in range(count)
    ]


def build_walk(spec: CaseSpec) -> Case:
    """A short walk, with all that each of its steps could have shown instead."""
    return _scripted(spec, spec.script, outcomes=True)


def build_keys(spec: CaseSpec) -> Case:
    """Held keys, with all that each step could have shown instead."""
    if spec.script not in WORLDMARK:
        raise InputError(f"no key script {spec.script!r}; there are {', '.join(WORLDMARK)}")
    return _scripted(spec, "".join(key * HELD for key in spec.script), outcomes=True)


def build_loop(spec: CaseSpec) -> Case:
    """A loop; `revisits` pairs the views of equal places."""
    if spec.script not in LOOPS:
        raise InputError(f"no loop {spec.script!r}; there are {', '.join(LOOPS)}")
    return _scripted(spec, LOOPS[spec.script])


def build_compose(spec: CaseSpec) -> Case:
    """Arcs, with all that each step could have shown instead; models need a control that can ask for them."""
    if spec.script not in COMPOSED:
        raise InputError(f"no script of arcs {spec.script!r}; there are {', '.join(COMPOSED)}")
    return _planned(spec, ARCS.plan(COMPOSED[spec.script]), outcomes=True)


def build_long(spec: CaseSpec) -> Case:
    """A long walk: turns and walks by turns, away from walls, and now and then all the way around."""
    world, random = _world(NAVIGATION), generator("case", spec.kind, spec.scene, spec.seed)
    history, actions = _arrive(world, spec, random, lambda sim: 0)
    simulator = _slim(world.simulator())
    return _case(spec, history, actions, _wander(simulator, random), simulator)


def _wander(simulator: HouseSimulator, random: np.random.Generator) -> Plan:
    place, names = simulator.place, list[str]()
    while len(names) < LONG:
        if random.random() < 0.15:
            part = ["turn_left"] * 16
        else:
            turn = ["turn_left", "turn_right"][int(random.integers(2))]
            part = [turn] * int(random.integers(1, 5))
        part += ["move_forward"] * int(random.integers(2, 8))
        for name in part:
            after, blocked = place.moved(NAVIGATION.primitive(name), simulator.loaded)
            if blocked:
                break
            place = after
            names.append(name)
    return NAVIGATION.plan(names[:LONG])


def _scripted(spec: CaseSpec, keys: str, outcomes: bool = False) -> Case:
    return _planned(spec, keys_plan(tuple(keys), vocabulary_for(tuple(keys))), outcomes)


def _planned(spec: CaseSpec, plan: Plan, outcomes: bool = False) -> Case:
    world, random = _world(plan.vocabulary), generator("case", spec.kind, spec.scene, spec.seed)
    history, actions = _arrive(world, spec, random, partial(_blocked, plan))
    return _case(spec, history, actions, plan, _slim(world.simulator()), outcomes)


def _world(vocabulary: Vocabulary) -> HouseWorld:
    return HouseWorld(panorama_height=128, vocabulary=vocabulary)


def _slim(simulator: HouseSimulator) -> HouseSimulator:
    """Without panoramas, which nobody needs of the future."""
    return replace(simulator, camera=replace(simulator.camera, panorama_height=None))


def _arrive(
    world: HouseWorld, spec: CaseSpec, random: np.random.Generator, cost: Callable[[HouseSimulator], int]
) -> tuple[list[Observation], list[str]]:
    """Go to the best of some places by a few random moves: what was seen, and the moves between."""
    moves = ("move_forward", "turn_left", "turn_right")
    loaded, tried = load_scene(spec.scene), []
    for number in range(PLACES):
        x, y = (float(v) for v in loaded.nav.random_free_point(random))
        before = [moves[int(k)] for k in random.integers(len(moves), size=HISTORY - 1)]
        start = Place(x, y, 22.5 * int(random.integers(16)))
        there = HouseSimulator(loaded, world.camera, start, world.vocabulary)
        end = there.places(world.vocabulary.plan(before))[-1]
        tried.append((cost(replace(there, place=end)), number, start, before))
        if tried[-1][0] == 0:
            break
    _, _, start, before = min(tried, key=lambda t: t[:2])
    where = {"position": [start.x, start.y], "yaw_deg": start.yaw_deg}
    seen = [world.reset(Episode(spec.id, "case", spec.scene, spec.seed, where, {}, 1))]
    return [*seen, *(world.step(name) for name in before)], before


def _blocked(plan: Plan, simulator: HouseSimulator) -> int:
    place, blocked = simulator.place, 0
    for action in plan.actions:
        place, hit = place.moved(plan.vocabulary.primitive(action), simulator.loaded)
        blocked += hit
    return blocked


def _case(
    spec: CaseSpec,
    history: list[Observation],
    actions: list[str],
    plan: Plan,
    simulator: HouseSimulator,
    outcomes: bool = False,
) -> Case:
    vocabulary, seen = plan.vocabulary, simulator.rollout(plan)
    primitives = [vocabulary.primitive(a) for a in plan.actions]
    motion = np.array([[p.forward, p.left, p.yaw_deg] for p in primitives])
    walks, turns = np.abs(motion[:, :2]).max(axis=1) > 0, motion[:, 2] != 0
    choices = [p for p in vocabulary.primitives if not p.stops]
    now = history[-1]
    poses = _stacked("pose", (now, *seen))
    still = vocabulary.plan([p.name for p in vocabulary.primitives if p.stops][:1] * len(plan))
    truth = Clip(
        frames=_stacked("rgb", seen),
        start=now.rgb,
        truth=_stacked("rgb", seen),
        hfov_deg=now.hfov_deg,
        depth=_stacked("depth", (now, *seen)),
        poses=poses,
        segmentation=_stacked("segmentation", (now, *seen)),
        motion=motion,
        moved=np.array([not bool(o.extra["collided"]) for o in seen]),
        outcomes=_outcomes(simulator, plan, [p.name for p in choices]) if outcomes else None,
        asked=np.array([choices.index(p) for p in primitives]) if outcomes else None,
        composite=walks & turns if (walks & turns).any() else None,
        twin=np.repeat(now.rgb[None], len(plan), axis=0),
        twin_truth=np.repeat(now.rgb[None], len(plan), axis=0),
        revisits=_revisits(poses),
    )
    between = vocabulary.plan(actions).actions if actions else ()
    query = Query(tuple(history), between, plan, spec.seed, simulator)
    prompt = TextTranslator(vocabulary).encode(plan).value
    return Case(spec, query, truth, still, prompt, partial(_other, simulator, plan))


def _outcomes(simulator: HouseSimulator, plan: Plan, names: Sequence[str]) -> np.ndarray:
    """uint8 [T,A,H,W,3]"""
    places = [simulator.place, *simulator.places(plan)[:-1]]
    rows = []
    for place in places:
        here = replace(simulator, place=place)
        rows.append(np.stack([here.rollout(plan.vocabulary.plan([n]))[0].rgb for n in names]))
    return np.stack(rows)


def _revisits(poses: np.ndarray) -> np.ndarray | None:
    """int [K,2], pairs of equal views with something else between them; None when there are none."""
    apart = np.linalg.norm(poses[:, None, :3, 3] - poses[None, :, :3, 3], axis=-1)
    cosine = np.einsum("iab,jab->ij", poses[:, :3, :3], poses[:, :3, :3])
    turned = np.degrees(np.arccos(np.clip((cosine - 1) / 2, -1, 1)))
    same = (apart < SAME[0]) & (turned < SAME[1])
    first, second = np.nonzero(np.triu(same, 1))
    left = np.array([not same[i, i:j].all() for i, j in zip(first, second)], bool)
    return np.stack([first, second], axis=1)[left] if left.any() else None


def _other(simulator: HouseSimulator, plan: Plan, change: str, strength: float) -> tuple[Observation, ...]:
    """The plan carried out wrongly.

    `turn` and `step` scale what an action does, from all of it (0) to none (`step`, 1) or the opposite (`turn`, 1). `action`
    replaces a share of the steps by another action of the vocabulary, and `none` leaves a share of them out, the last ones first:
    what comes after a wrong step is seen from another place.
    """
    if change not in ("turn", "step", "action", "none"):
        raise InputError(f"a house cannot be changed in {change!r}; it can in turn, step, action and none")
    place, seen = simulator.place, list[Observation]()
    moves = [p for p in plan.vocabulary.primitives if not p.stops]
    right = len(plan) - round(strength * len(plan)) if change in ("action", "none") else len(plan)
    for number, action in enumerate(plan.actions):
        primitive = plan.vocabulary.primitive(action)
        if change == "turn":
            primitive = replace(primitive, yaw_deg=primitive.yaw_deg * (1 - 2 * strength))
        elif change == "step":
            primitive = replace(
                primitive, forward=primitive.forward * (1 - strength), left=primitive.left * (1 - strength)
            )
        elif number >= right:
            others = [p for p in moves if p.name != primitive.name]
            primitive = others[number % len(others)] if change == "action" else Primitive("stay")
        place, _ = place.moved(primitive, simulator.loaded)
        seen.append(replace(simulator, place=place).look())
    return tuple(seen)


def _stacked(name: str, seen: Sequence[Observation]) -> np.ndarray:
    return np.stack([np.asarray(getattr(o, name)) for o in seen])


def _scene(number: int, seed: int) -> str:
    """Test scenes of all styles in turn."""
    return scene_ids("test", STYLES[number % 3], 1 + (number // 3 + seed) % 8)[-1]
