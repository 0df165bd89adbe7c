"""Tiny metrics, defects and cases, and models that misbehave in known ways."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np

from worldloop.actions import NAVIGATION
from worldloop.core import InputError, ModelCard, ModelError, Observation, Query, Rollout, UnaskableError
from worldloop.metrics.cases import Case, CaseSpec
from worldloop.metrics.clip import Clip
from worldloop.metrics.defects.defect import Defect
from worldloop.metrics.metric import METRICS, Metric, load_metrics

from fakes import FakeSimulator, look

STEPS = 5
PLANS = ("forward", "left", "right")


def toy_specs(count: int = 6, kind: str = "walk", domain: str = "indoor") -> list[CaseSpec]:
    """Cases in `count` different places of three scenes."""
    return [CaseSpec(domain, kind, PLANS[i % 3], f"toy-{i % 3}", i) for i in range(count)]


def toy_case(spec: CaseSpec) -> Case:
    """A walk on the endless plane of `fakes`."""
    name = {"forward": "move_forward", "left": "turn_left", "right": "turn_right"}[spec.script]
    plan, still = (NAVIGATION.plan([n] * STEPS) for n in (name, "stop"))
    state = (0.3 * spec.seed, 0.1 * spec.seed, 15.0 * spec.seed)
    simulator, now = FakeSimulator(state), look(*state)
    frames = np.stack([o.rgb for o in simulator.rollout(plan)])
    alike = np.repeat(now.rgb[None], STEPS, axis=0)
    truth = Clip(
        frames=frames,
        start=now.rgb,
        truth=frames,
        hfov_deg=now.hfov_deg,
        twin=alike,
        twin_truth=alike,
        moved=np.arange(STEPS) < (0 if spec.seed == 4 else STEPS),
    )
    return Case(spec, Query((now,), (), plan, spec.seed, simulator), truth, still, f"go {spec.script}")


def error(clip: Clip) -> float:
    """Mean absolute difference to the truth."""
    counted = clip.counted
    return (
        float(np.abs(clip.frames.astype(float) - clip.truth)[counted].mean())
        if counted.any()
        else float("nan")
    )


def change(clip: Clip) -> float:
    """Mean absolute difference from frame to frame."""
    return float(np.abs(np.diff(clip.frames.astype(float), axis=0)).mean())


def effect(clip: Clip) -> float:
    """How far the plan leads away from doing nothing."""
    return float(np.abs(clip.frames[-1].astype(float) - clip.twin[-1]).mean())


def broken(clip: Clip) -> float:
    """Fails in bright clips."""
    if clip.frames.mean() > 130:
        raise ValueError("too bright")
    return float(clip.frames.mean())


def spread(clips) -> float:
    """How much the mean brightness differs within a set."""
    return float(np.std([c.frames.mean() for c in clips]))


def deep(clip: Clip) -> float:
    """Needs what no toy case has."""
    return float(clip.depth.mean())


def toy_metric(compute, group="quality", needs=(), better="lower", worst=255.0, **more) -> Metric:
    summary = compute.__doc__.rstrip(".")
    about = {"unit": "levels", "low": 0.0, "high": 255.0, "source": "a toy"} | more
    return Metric(
        f"toy-{compute.__name__}", group, compute, summary, better=better, worst=worst, needs=needs, **about
    )


TOYS = (
    toy_metric(error, needs=("truth",), reacts=("toy-noise",), ignores=("toy-nothing",)),
    toy_metric(change, "long", better="higher", worst=0.0),
    toy_metric(effect, "interaction", ("twin",), better="higher", worst=0.0),
    toy_metric(broken, "geometry"),
    toy_metric(deep, "geometry", ("depth",)),
    toy_metric(spread, "quality", over="set"),
)


@contextmanager
def registered(metrics=TOYS):
    """The toys alone, as if there were no other metrics; for the command line."""
    load_metrics()  # what is imported later would register itself beside the toys
    before = dict(METRICS)
    METRICS.clear()
    METRICS.update({m.name: m for m in metrics})
    try:
        yield
    finally:
        METRICS.clear()
        METRICS.update(before)


def noise(case: Case, strength: float) -> Clip:
    """Noise that grows."""
    drawn = np.random.default_rng(case.spec.seed).normal(0, 60 * strength, case.truth.frames.shape)
    return case.clip(np.clip(case.truth.frames + drawn, 0, 255).astype(np.uint8))


def nothing(case: Case, strength: float) -> Clip:
    """Nothing at all."""
    return case.clip(case.truth.frames)


def rare(case: Case, strength: float) -> Clip:
    """Fits no case."""
    raise InputError("it fits no case")


NOISE, NOTHING, RARE = (Defect(f"toy-{f.__name__}", f, f.__doc__) for f in (noise, nothing, rare))


class Dim:
    """Every frame a little darker than the one before."""

    card = ModelCard("dim", "a toy", "none", weights_hash="d1")

    def simulate(self, queries):
        return [self.one(q) for q in queries]

    def one(self, query: Query) -> Rollout:
        frames, rgb = [], query.history[-1].rgb
        for _ in range(len(query.plan)):
            rgb = (rgb * (0.9 - 0.01 * (query.seed % 7))).astype(np.uint8)
            frames.append(Observation(rgb))
        return Rollout(tuple(frames))


class Moody(Dim):
    """Fails on turns to the right, was never shown turns to the left, and knows no doing nothing."""

    card = ModelCard("moody", "a toy", "none")

    def one(self, query: Query) -> Rollout:
        if "turn_right" in query.plan.names:
            raise ModelError("it dislikes the right")
        if "turn_left" in query.plan.names or "stop" in query.plan.names:
            raise UnaskableError("it was never shown this")
        return super().one(query)


class Seer(Dim):
    """Reads what no toy shows."""

    card = ModelCard("seer", "a toy", "none", reads=("panorama",))


class Sworn(Dim):
    """Refuses the vocabulary."""

    card = ModelCard("sworn", "a toy", "none")

    def refuses(self, vocabulary) -> str | None:
        return f"{vocabulary.name} is not its language"


class Trained(Dim):
    """Was trained in one of the scenes."""

    card = ModelCard("trained", "a toy", "none", settings={"training_scenes": ["toy-1"]})
