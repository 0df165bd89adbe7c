"""A configurable fake: a flat world whose pictures are a smooth function of the pose, cheap and exact."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from worldloop.actions import NAVIGATION, camera_matrix, intended_path
from worldloop.core import (
    Action,
    Agent,
    Belief,
    Budgets,
    Candidate,
    Decision,
    Episode,
    Goal,
    InputError,
    ModelCard,
    Observation,
    Outcome,
    Plan,
    Query,
    Rollout,
    Score,
    Situation,
)

SIZE = 8


def picture(x: float, y: float, yaw: float) -> np.ndarray:
    """uint8 [SIZE,SIZE,3] that changes smoothly with the pose."""
    i, j = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    phase = np.stack([x + i, y + j, np.radians(yaw) + i * j], axis=-1)
    return np.rint(127.5 + 127.5 * np.sin(phase)).astype(np.uint8)


def look(x: float, y: float, yaw: float) -> Observation:
    pose = camera_matrix(x, y, 1.0, yaw)
    return Observation(picture(x, y, yaw), pose=pose, depth=np.ones((SIZE, SIZE), np.float32))


@dataclass
class FakeSimulator:
    state: tuple[float, float, float]

    @property
    def key(self) -> str:
        return repr(self.state)

    def rollout(self, plan: Plan) -> tuple[Observation, ...]:
        return tuple(look(*pose) for pose in intended_path(plan, *self.state)[1:])


class FakeWorld:
    """Walk on an endless plane."""

    vocabulary = NAVIGATION

    def __init__(self, delay: float = 0.0) -> None:
        self.state, self.delay = (0.0, 0.0, 0.0), delay

    def reset(self, episode: Episode) -> Observation:
        if episode.start.get("crash") == "reset":
            raise InputError("this start is inside a wall")
        self.state = (*episode.start["position"], episode.start["yaw_deg"])
        return look(*self.state)

    def step(self, action: Action) -> Observation:
        time.sleep(self.delay)
        self.state = tuple(intended_path(NAVIGATION.plan([action]), *self.state)[1])
        return look(*self.state)

    def simulator(self) -> FakeSimulator:
        return FakeSimulator(self.state)

    def close(self) -> None:
        pass


@dataclass
class FakeTask:
    """Reach a point; the goal image is what is seen there."""

    count: int = 12
    delay: float = 0.0
    crash: tuple[int, ...] = ()
    name: str = "fake"
    version: str = "1"
    summary: str = "reach a point of the plane"
    budgets: Budgets = field(default_factory=lambda: Budgets(rollouts=3, horizon=4, execute=2, budget=6))
    privileges: tuple[str, ...] = ()
    agent_sees: tuple[str, ...] = ()
    default_agent: str = "fake"
    provides: tuple[str, ...] = ("pose", "depth", "panorama", "panorama_depth")
    resources: tuple = ()
    worlds: list[FakeWorld] = field(default_factory=list)

    def episodes(self, split: str) -> list[Episode]:
        rng = np.random.default_rng(7)
        out = []
        for i in range(self.count):
            start = {
                "position": [float(v) for v in rng.uniform(-1, 1, 2)],
                "yaw_deg": 22.5 * int(rng.integers(16)),
            }
            if i in self.crash:
                start["crash"] = "reset"
            goal = {"position": [float(v) for v in rng.uniform(-1, 1, 2)]}
            out.append(
                Episode(f"fake-{i:03d}", "fake", f"scene-{i % 4}", i, start, goal, self.budgets.budget)
            )
        return out

    def environment(self, needs: Collection[str] = ()) -> FakeWorld:
        return FakeWorld(self.delay)

    def goal(self, environment: FakeWorld, episode: Episode) -> Goal:
        return Goal("reach the point", image=picture(*episode.goal["position"], 0.0))

    def observe(self, environment: FakeWorld, episode: Episode, observation: Observation) -> Observation:
        return observation

    def imagined(
        self, environment: FakeWorld, episode: Episode, now: Observation, candidates: Sequence[Candidate]
    ) -> list[Candidate]:
        return list(candidates)

    def done(self, environment: FakeWorld, episode: Episode) -> bool:
        return False

    def score(self, environment: FakeWorld, episode: Episode, outcome: Outcome) -> Score:
        distance = float(np.hypot(*np.subtract(environment.state[:2], episode.goal["position"])))
        return Score(distance < 0.5, max(0.0, 1 - distance), {"distance": distance})


class RandomProposer:
    async def propose(self, situation: Situation) -> list[Candidate]:
        rng = situation.draw("propose")
        names = ("move_forward", "turn_left", "turn_right")
        plans = [
            [names[i] for i in rng.integers(3, size=situation.horizon)] for _ in range(situation.rollouts)
        ]
        return [Candidate(situation.vocabulary.plan(p), prior=-float(i)) for i, p in enumerate(plans)]


class ClosestReviser:
    """Scores the last frame by its squared distance to the goal image."""

    async def revise(self, situation: Situation, candidates: Sequence[Candidate]) -> Decision:
        if any(c.rollout is None for c in candidates):
            return Decision(candidates[0].plan.actions, 0, tuple(None for _ in candidates), "first proposal")
        scores = tuple(
            [await situation.compute(_closeness, c.rollout, situation.goal.image) for c in candidates]
        )
        best = int(np.argmax(scores))
        return Decision(candidates[best].plan.actions, best, scores, "closest")


def _closeness(rollout: Rollout, image: np.ndarray) -> float:
    return -float(np.mean((rollout.frames[-1].rgb.astype(float) - image) ** 2))


class CountingAnswerer:
    """Grows surer with every look; imagined looks count as well."""

    async def answer(self, situation: Situation, imagined: Sequence[Candidate] = ()) -> Belief:
        looks = len(situation.history) + sum(len(c.rollout.frames) for c in imagined if c.rollout)
        return Belief("point", 1 - 0.9**looks)


def fake_agent(answers: bool = False) -> Agent:
    return Agent(
        "fake", "random plans", RandomProposer(), ClosestReviser(), CountingAnswerer() if answers else None
    )


class FakeModel:
    """Predicts with the simulator, or misbehaves as told."""

    def __init__(self, fault: str = "", every: int = 1, delay: float = 0.0, **card: object) -> None:
        self.fault, self.every, self.delay, self.calls, self.batches = fault, every, delay, 0, []
        defaults = {"name": "fake", "summary": "", "control": "code", "privileges": ("simulator",)}
        self.card = ModelCard(**{**defaults, **card})  # type: ignore[arg-type]
        self.seen: list[Query] = []

    def simulate(self, queries: Sequence[Query]) -> list[Rollout]:
        self.calls += 1
        self.batches.append(len(queries))
        self.seen.extend(queries)
        time.sleep(self.delay)
        bad = bool(self.fault) and self.calls % self.every == 0
        if bad and self.fault == "raise":
            raise RuntimeError("out of memory")
        if bad and self.fault == "count":
            return []
        out = []
        for q in queries:
            if q.simulator is None:
                frames = tuple(q.history[-1] for _ in q.plan.actions)
            else:
                frames = q.simulator.rollout(q.plan)
            if bad and self.fault == "short":
                frames = frames[1:]
            if bad and self.fault == "dtype":
                frames = tuple(replace(f, rgb=f.rgb.astype(np.float32)) for f in frames)
            if bad and self.fault == "nan":
                frames = tuple(replace(f, depth=np.full((SIZE, SIZE), np.nan, np.float32)) for f in frames)
            out.append(Rollout(frames))
        return out
