"""Cases of physics: one concept each, on a small stage before a camera that stands still."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from worldloop.core import InputError, Observation, Query, generator
from worldloop.metrics.cases.case import Case, CaseSpec
from worldloop.metrics.cases.physics.scripts import SCRIPTS, draw_stage
from worldloop.metrics.cases.physics.stage import FPS, beginning, move
from worldloop.metrics.cases.physics.truth import law_of
from worldloop.metrics.cases.physics.world import WAIT, StageSimulator, disturbed, look_back
from worldloop.metrics.clip import Clip

HISTORY = 6
"""Observations before the plan, so that the motion can be seen; each model reads as many as it can."""
REPLICAS = 3
"""Simulations that differ by what cannot be known."""


def list_physics(count: int, seed: int = 0) -> Iterable[CaseSpec]:
    """Every test in turn, each time with other constants and looks: a draw of its own, and so a scene of its own."""
    names = [list(SCRIPTS)[i % len(SCRIPTS)] for i in range(count)]
    return [
        CaseSpec("robotics", "physics", name, f"stage/{name}/{seed + i}", seed + i)
        for i, name in enumerate(names)
    ]


def build_physics(spec: CaseSpec) -> Case:
    """One test with its true future, replicas of it and what is known of its law; InputError for an unknown script."""
    if spec.script not in SCRIPTS:
        raise InputError(f"no physics test {spec.script!r}; there are {', '.join(SCRIPTS)}")
    stage = draw_stage(spec.script, generator("case", spec.kind, spec.script, spec.seed))
    past = move(stage, beginning(stage), HISTORY - 1)
    history = look_back(stage, past.states)
    simulator, plan = StageSimulator(stage, past.states[-1]), WAIT.plan(["wait"] * stage.steps)
    seen = simulator.rollout(plan)
    now, all_seen = history[-1], (history[-1], *seen)
    frames = _stacked("rgb", all_seen)
    segmentation = _stacked("segmentation", all_seen)
    motion = move(stage, simulator.state, stage.steps)
    law = law_of(stage, motion, frames, segmentation)
    random = generator("replicas", spec.kind, spec.script, spec.seed)
    replicas = [_stacked("rgb", disturbed(simulator, random).rollout(plan)) for _ in range(REPLICAS)]
    truth = Clip(
        frames=frames[1:],
        start=now.rgb,
        truth=frames[1:],
        hfov_deg=now.hfov_deg,
        depth=_stacked("depth", all_seen),
        poses=_stacked("pose", all_seen),
        segmentation=segmentation,
        replicas=np.stack(replicas),
        law=law,
        fps=FPS,
    )
    query = Query(history, WAIT.plan(["wait"] * (HISTORY - 1)).actions, plan, spec.seed, simulator)
    hidden = law["constants"].get("hidden")
    other = partial(_other, simulator, stage.steps, None if hidden is None else hidden[1:])
    return Case(spec, query, truth, None, stage.prompt, other)


def _other(
    simulator: StageSimulator, frames: int, hidden: np.ndarray | None, change: str, strength: float
) -> tuple[Observation, ...]:
    return simulator.changed(change, strength, frames, hidden)


def _stacked(name: str, seen: Sequence[Observation]) -> np.ndarray:
    return np.stack([np.asarray(getattr(o, name)) for o in seen])
