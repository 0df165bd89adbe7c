"""Cases on the table: an arm carries out a short script that an expert could have given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from worldloop.core import Episode, InputError, Observation, Plan, Query, generator
from worldloop.envs.tabletop.cameras import THIRD
from worldloop.envs.tabletop.commands import carry_out, vocabulary_of
from worldloop.envs.tabletop.experts import PHASES, phase
from worldloop.envs.tabletop.layout import Layout, scene_id
from worldloop.envs.tabletop.physics import Physics
from worldloop.envs.tabletop.recovery import facts_of
from worldloop.envs.tabletop.world import TabletopSimulator, TabletopWorld, gripper_pose
from worldloop.metrics.cases.case import Case, CaseSpec
from worldloop.metrics.clip import Clip
from worldloop.metrics.shared.bodies import FEWEST, chroma, coverage, find, reference

SCRIPTS = tuple(PHASES)
"""What the arm does: the families of layouts."""
HISTORY = 3
"""Observations before the plan: the arm moves a little."""
SEEN = 0.25
"""Share of its largest visible area from which a thing has a place in the picture."""
FIRST_THING = 2
"""Instance id of the first thing; the arm is 1."""


def list_table(count: int, seed: int = 0) -> Iterable[CaseSpec]:
    """Every script in turn, each time at another table of the test split."""
    return [
        CaseSpec(
            "robotics", "table", SCRIPTS[i % len(SCRIPTS)],
            scene_id("test", SCRIPTS[i % len(SCRIPTS)], 500 + seed + i // len(SCRIPTS)), seed + i,
        )
        for i in range(count)
    ]  # fmt: skip


def build_table(spec: CaseSpec) -> Case:
    """One script, what comes of it, and what is seen when the arm holds still instead; InputError for an unknown script."""
    if spec.script not in SCRIPTS:
        raise InputError(f"no script {spec.script!r} at the table; there are {', '.join(SCRIPTS)}")
    world = TabletopWorld("waypoint")
    history = [world.reset(Episode(spec.id, "case", spec.scene, spec.seed, {}, {}, 1))]
    random, actions = generator("case", spec.kind, spec.scene, spec.seed), list[np.ndarray]()
    for _ in range(HISTORY - 1):
        command = _held(world.physics, history[-1])
        command[:3] += random.uniform((-0.02, -0.05, -0.05), (0.03, 0.05, 0.0))
        actions.append(_bounded(world, command))
        history.append(world.step(_plan(world.mode, actions[-1:]).actions[0]))
    simulator, layout, now = world.simulator(), world.layout, history[-1]
    commands = _script(world)
    plan = _plan(world.mode, commands)
    held = _bounded(world, _held(world.physics, now))
    still = _plan(world.mode, [held] * len(plan))
    seen, idle = simulator.rollout(plan), _stacked("rgb", simulator.rollout(still))
    every = (now, *seen)
    frames, segmentation = _stacked("rgb", every), _stacked("segmentation", every)
    truth = Clip(
        frames=frames[1:],
        start=now.rgb,
        truth=frames[1:],
        hfov_deg=now.hfov_deg,
        depth=_stacked("depth", every),
        poses=_stacked("pose", every),
        segmentation=segmentation,
        twin=idle,
        twin_truth=idle,
        law=_law(simulator, plan, frames, segmentation, _stacked("depth", every)),
    )
    query = Query(tuple(history), _plan(world.mode, actions).actions, plan, spec.seed, simulator)
    other = partial(_other, simulator, commands, held)
    return Case(spec, query, truth, still, layout.text, other)


def _script(world: TabletopWorld) -> np.ndarray:
    """float64 [L,7]: the waypoints of an expert who knows where everything is."""
    layout, places = world.layout, facts_of(world.physics).places
    rows = np.concatenate([phase(layout.family, n, layout.goal, places) for n in PHASES[layout.family]])
    if layout.family == "push":  # one long stroke: in three parts, so that there is something to see of it
        down, through = rows[1], rows[2]
        parts = [down + (through - down) * share for share in (1 / 3, 2 / 3)]
        rows = np.stack([*rows[:2], *parts, *rows[2:]])
    return _bounded(world, rows)


def _held(physics: Physics, now: Observation) -> np.ndarray:
    """float64 [7]: the command that keeps the hand where it is steered to."""
    command = gripper_pose(now).copy()
    command[:3] = physics.setpoint[0]
    return command


def _plan(mode: str, commands: Sequence[np.ndarray] | np.ndarray) -> Plan:
    return vocabulary_of(mode).plan([tuple(map(float, c)) for c in commands])


def _bounded(world: TabletopWorld, commands: np.ndarray) -> np.ndarray:
    return np.clip(commands, world.vocabulary.low, world.vocabulary.high)


def _law(
    simulator: TabletopSimulator, plan: Plan, frames: np.ndarray, segmentation: np.ndarray, depth: np.ndarray
) -> dict[str, Any]:
    """As the law of a physics test, without constants: the things are its bodies, and `tracks` has their true `depth` too.

    Places in the picture are where a thing's colour is seen in the truth: a pressed button is dark, and has none.
    """
    layout, planes = simulator.layout, chroma(frames)
    bodies, pixels, area, far = list[dict[str, Any]](), [], [], []
    for number, thing in enumerate(layout.things):
        inside = segmentation == FIRST_THING + number
        colour = reference(frames[:1], inside[:1])
        shown = np.where(inside, coverage(planes, colour), np.float32(0))
        middle, size = find(shown)
        middle[size < max(SEEN * size.max(), FEWEST)] = np.nan
        bodies.append({"name": thing.name, "chroma": colour, "area": float(size.max())})
        pixels.append(middle)
        area.append(size)
        far.append((depth * shown).sum(axis=(1, 2)) / np.maximum(size, 1e-9))
    tracks = {name: np.stack(v, axis=1) for name, v in (("pixels", pixels), ("area", area), ("depth", far))}
    tracks["metres"] = _places(simulator, plan, layout)
    return {"name": "table", "fps": 1.0, "camera": THIRD, "bodies": bodies, "constants": {}, "tracks": tracks}


def _places(simulator: TabletopSimulator, plan: Plan, layout: Layout) -> np.ndarray:
    """float64 [T+1,B,3]: the middles of the things' bottoms."""
    physics = Physics(layout)
    physics.restore(simulator.state)
    rows = [[physics.place(t.name)[:3, 3] for t in layout.things]]
    for action in plan.actions:
        carry_out(physics, simulator.mode, action)
        rows.append([physics.place(t.name)[:3, 3] for t in layout.things])
    return np.array(rows)


def _other(
    simulator: TabletopSimulator, commands: np.ndarray, held: np.ndarray, change: str, strength: float
) -> tuple[Observation, ...]:
    """The plan carried out in part: with `step`, each command goes only a share of the way from where the hand was."""
    if change != "step":
        raise InputError(f"a table cannot be changed in {change!r}; it can in step")
    return simulator.rollout(_plan(simulator.mode, commands + strength * (held - commands)))


def _stacked(name: str, seen: Sequence[Observation]) -> np.ndarray:
    return np.stack([np.asarray(getattr(o, name)) for o in seen])
