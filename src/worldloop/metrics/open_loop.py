"""Controllability: does the model show what the action brings?

After World-In-World (arXiv 2510.18135): 1 - perceptual distance between the predicted and the true observation
under the asked action. The distance is ST-LPIPS, not LPIPS. Beside it stands the recovered action: the one of
all possible actions whose true outcome is closest to the predicted frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldloop.actions import NAVIGATION
from worldloop.agents.perception import Perception
from worldloop.core import Episode, InputError, Observation, Plan, Query, WorldModel, generator
from worldloop.envs.house.generate import scene_ids
from worldloop.envs.house.scenes import load_scene
from worldloop.envs.house.world import HouseWorld


@dataclass(frozen=True, eq=False)
class Trial:
    """One question with all that could really happen."""

    query: Query
    outcomes: tuple[tuple[Observation, ...], ...]
    """[L][A]: for each step, the true frames of all actions from where the plan really stands by then."""
    asked: tuple[int, ...]
    """[L]: which of them the plan asks for."""
    blocked: tuple[bool, ...]
    """[L]: whether the asked step was really blocked; such steps do not count."""
    scene: str


@dataclass(frozen=True, eq=False)
class OpenLoopScore:
    """N trials of L steps."""

    distance: np.ndarray
    """float64 [N,L], ST-LPIPS to the true frame; 0 is equal."""
    psnr: np.ndarray
    """float64 [N,L], dB."""
    recovered: np.ndarray
    """bool [N,L], whether the asked action's true frame is the closest one."""
    counted: np.ndarray
    """bool [N,L], steps that were not blocked."""
    scenes: tuple[str, ...]
    """[N], for intervals by scene."""

    @property
    def controllability(self) -> np.ndarray:
        """float64 [N]: 1 - mean distance over the counted steps; NaN where there are none."""
        return 1.0 - self._mean(self.distance)

    @property
    def accuracy(self) -> np.ndarray:
        """float64 [N]: share of the counted steps whose action is recovered; chance is 1 / A."""
        return self._mean(self.recovered)

    def _mean(self, values: np.ndarray) -> np.ndarray:
        steps = self.counted.sum(axis=1)
        total = np.where(self.counted, values, 0.0).sum(axis=1)
        return np.divide(total, steps, out=np.full(len(steps), np.nan), where=steps > 0)


def draw_trials(
    count: int,
    horizon: int = 4,
    split: str = "val",
    styles: Sequence[str] = ("A", "B", "C"),
    scenes: int = 8,
    history: int = 1,
    panorama_height: int | None = 128,
    seed: int = 0,
) -> list[Trial]:
    """Random plans from random places, spread evenly over `scenes` scenes of each style.

    Depends on the arguments alone. All privileges are in the queries; pass them on as far as a model may read.
    """
    if count < 1 or horizon < 1 or scenes < 1 or history < 1:
        raise InputError("trials need a count, a horizon, scenes and a history of at least 1")
    moves = [p.name for p in NAVIGATION.primitives if not p.stops]
    places = [s for row in zip(*(scene_ids(split, style, scenes) for style in styles)) for s in row]
    world = HouseWorld(panorama_height=panorama_height, depth=True, segmentation=False)
    trials = []
    for i in sorted(range(count), key=lambda i: (i % len(places), i)):
        scene, random = places[i % len(places)], generator("open loop", seed, i)
        start = {
            "position": list(load_scene(scene).nav.random_free_point(random)),
            "yaw_deg": 22.5 * int(random.integers(16)),
        }
        seen = [world.reset(Episode(f"trial-{i}", "open-loop", scene, i, start, {}, 1))]
        before = [moves[k] for k in random.integers(len(moves), size=history - 1)]
        seen += [world.step(name) for name in before]
        plan = NAVIGATION.plan([moves[k] for k in random.integers(len(moves), size=horizon)])
        actions = NAVIGATION.plan(before).actions if before else ()
        query = Query(tuple(seen), actions, plan, i, world.simulator())
        trials.append(_trial(query, moves, scene))
    return trials


def _trial(query: Query, moves: list[str], scene: str) -> Trial:
    assert query.simulator is not None
    outcomes, blocked = [], []
    for step, asked in enumerate(query.plan.names):
        row = []
        for name in moves:
            plan = Plan(NAVIGATION, NAVIGATION.plan([*query.plan.names[:step], name]).actions)
            row.append(query.simulator.rollout(plan)[-1])
        outcomes.append(tuple(row))
        blocked.append(bool(row[moves.index(asked)].extra.get("collided", False)))
    asked_numbers = tuple(moves.index(n) for n in query.plan.names)
    return Trial(query, tuple(outcomes), asked_numbers, tuple(blocked), scene)


def score_model(
    model: WorldModel, trials: Sequence[Trial], perception: Perception, queries: Sequence[Query] | None = None
) -> OpenLoopScore:
    """Simulate all trials and compare. `queries` replaces the trials' own, reduced to what the model may read."""
    rollouts = model.simulate(list(queries) if queries is not None else [t.query for t in trials])
    distance, psnr, recovered = [], [], []
    for trial, rollout in zip(trials, rollouts):
        rows = []
        for frame, row in zip(rollout.frames, trial.outcomes):
            rows.append(perception.stlpips([o.rgb for o in row], frame.rgb))
        apart = np.array(rows, np.float64)  # [L,A]
        steps = np.arange(len(apart))
        distance.append(apart[steps, trial.asked])
        recovered.append(apart.argmin(axis=1) == np.array(trial.asked))
        true = [row[k].rgb for row, k in zip(trial.outcomes, trial.asked)]
        psnr.append([_psnr(f.rgb, t) for f, t in zip(rollout.frames, true)])
    return OpenLoopScore(
        np.array(distance),
        np.array(psnr),
        np.array(recovered),
        ~np.array([t.blocked for t in trials]),
        tuple(t.scene for t in trials),
    )


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = float(((a.astype(np.float64) - b) ** 2).mean())
    return float(10 * np.log10(255**2 / max(error, 1e-2)))
