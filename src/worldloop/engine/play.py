"""Drive one world model by a long plan and see where its imagination leads, without an agent.

A plan is cut into chunks. Each chunk is imagined from the last frames that were imagined before it, as many as the card's
`history` says: errors add up, as they do when a person plays. A model that reads what it does not imagine (a panorama, depth,
the simulator) could go on only with what was true at the start; it is asked for the whole plan at once instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldloop.actions import usual_translator
from worldloop.core import (
    Environment,
    Episode,
    InputError,
    Observation,
    Plan,
    Query,
    Rollout,
    WorldModel,
    derive_seed,
    generator,
)
from worldloop.core.errors import ModelError
from worldloop.engine.conformance.questions import prepare
from worldloop.engine.guard import check_rollout, only

PLACES, FARTHEST = 32, 4.0
"""Random starts that are looked at, and metres of free way ahead beyond which more does not count."""


@dataclass(frozen=True)
class PlayConfig:
    """Settings of one drive."""

    scene: str = "house/val/A/0000"
    """Any scene of houses, or a file of your own."""
    chunk: int = 8
    """Actions that are imagined in one call, where the model goes on from its own frames."""
    seed: int = 0
    """Where to start, and what the model draws."""
    size: int = 128
    """Side of the picture in pixels."""
    truth: bool = False
    """Whether the true frames are wanted, too."""

    def __post_init__(self) -> None:
        if self.chunk < 1 or not 8 <= self.size <= 4096:
            raise InputError(
                f"a chunk has 1 action or more, a picture 8 to 4096 pixels, not {self.chunk} and {self.size}"
            )


@dataclass(frozen=True)
class Chunk:
    """One call of the model."""

    first: int
    """Index of its first action."""
    actions: int
    seed: int
    seconds: float
    """Of the call."""


@dataclass(frozen=True, eq=False)
class Played:
    """What a model imagined."""

    model: WorldModel
    config: PlayConfig
    plan: Plan
    start: Observation
    """The one real observation that everything grows from."""
    place: dict[str, Any]
    """`position` in metres and `yaw_deg` of the start."""
    frames: tuple[Observation, ...]
    """One for each action."""
    truth: tuple[Observation, ...]
    """The simulator's frames; empty unless wanted."""
    chunks: tuple[Chunk, ...]
    whole: str
    """Why the plan was imagined at once; empty where the model went on from its own frames."""

    @property
    def seconds_per_frame(self) -> float:
        """Model time for each frame."""
        return sum(c.seconds for c in self.chunks) / len(self.frames)


def play(
    model: WorldModel, plan: Plan, config: PlayConfig, told: Callable[[int], None] = lambda done: None
) -> Played:
    """Imagine a plan from one place of a house.

    told: is called with the number of frames so far. InputError for a model that cannot be asked such plans or that reads what a
    house does not show, ModelError when it breaks the contract or fails.
    """
    card = model.card
    if not card.imagines:
        raise InputError(f"model {card.name!r} imagines nothing; play another one")
    if (refuses := getattr(model, "refuses", None)) is not None and (reason := refuses(plan.vocabulary)):
        raise InputError(reason)
    world, episode = _world(model, plan, config)
    now = world.reset(episode)
    shown = {
        "text",
        *(n for n in ("panorama", "depth", "segmentation", "pose") if getattr(now, n) is not None),
        *now.extra,
    }
    if missing := sorted(set(card.reads) - shown - {"rgb"}):
        raise InputError(f"model {card.name!r} reads {', '.join(missing)}, which a house does not show")
    simulator = world.simulator()
    reads = [n for n in card.reads if n not in ("rgb", "text")]
    whole = "it runs the simulator" if "simulator" in card.privileges else ""
    size = len(plan) if whole else min(config.chunk, len(plan))
    history, frames = [only(now, card.reads, card.privileges)], list[Observation]()
    chunks: list[Chunk] = []
    while len(frames) < len(plan):
        first, past = len(frames), card.history - 1
        part = Plan(plan.vocabulary, plan.actions[first : first + size])
        between = plan.actions[max(0, first - past) : first]
        seed = derive_seed(config.seed, "play", first)
        query = Query(tuple(history[-card.history :]), between, part, seed, simulator)
        rollout, seconds = _timed(model, prepare(model, query))
        # Only an answer tells what a model imagines besides pictures, and so whether it can go on from there.
        if not frames and size < len(plan) and (lost := _lost(reads, rollout)):
            whole, size = f"it reads {', '.join(lost)}, which it does not imagine", len(plan)
            continue
        frames += rollout.frames
        history += [only(f, card.reads, card.privileges) for f in rollout.frames]
        chunks.append(Chunk(first, len(part), seed, seconds))
        told(len(frames))
    truth = simulator.rollout(plan) if config.truth else ()
    place = {"scene": config.scene, **episode.start}
    return Played(model, config, plan, now, place, tuple(frames), tuple(truth), tuple(chunks), whole)


def told_as(plan: Plan, kind: str) -> Any:
    """A plan in a control language as JSON: what a model of that control is told, in the usual spelling; None for none."""
    translator = usual_translator(kind, plan.vocabulary)
    if translator is None:
        return None
    value = translator.encode(plan).value
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _timed(model: WorldModel, query: Query) -> tuple[Rollout, float]:
    start = time.perf_counter()
    found = model.simulate([query])
    seconds = time.perf_counter() - start
    if len(found) != 1:
        raise ModelError(f"model {model.card.name!r} gave {len(found)} rollouts for 1 query")
    return check_rollout(query, found[0], model.card.name), seconds


def _lost(reads: list[str], rollout: Rollout) -> list[str]:
    """What the model reads and its last frame does not have."""
    last = rollout.frames[-1]
    return [n for n in reads if last.extra.get(n, getattr(last, n, None)) is None]


def _world(model: WorldModel, plan: Plan, config: PlayConfig) -> tuple[Environment, Episode]:
    """The house, and a start with a free way ahead."""
    from worldloop.envs.house.scenes import load_scene
    from worldloop.envs.house.world import HouseWorld

    if config.scene.startswith("tabletop/"):
        raise InputError("keys walk through houses; give a --scene such as house/val/A/0000")
    reads = model.card.reads
    world = HouseWorld(
        size=config.size,
        panorama_height=128 if any(n.startswith("panorama") for n in reads) else None,
        depth=any("depth" in n for n in reads),
        segmentation=any("segmentation" in n for n in reads),
        vocabulary=plan.vocabulary,
    )
    nav, rng = load_scene(config.scene).nav, generator("play", config.scene, config.seed)
    best: tuple[float, dict[str, Any]] = (-1.0, {})
    for _ in range(PLACES):
        x, y = (float(v) for v in nav.random_free_point(rng))
        yaw = 22.5 * int(rng.integers(16))
        ahead = FARTHEST * np.array([np.cos(np.radians(yaw)), np.sin(np.radians(yaw))])
        (u, v), _ = nav.move((x, y), (float(ahead[0]), float(ahead[1])))
        best = max(
            best, (float(np.hypot(u - x, v - y)), {"position": [x, y], "yaw_deg": yaw}), key=lambda b: b[0]
        )
    return world, Episode("play", "play", config.scene, config.seed, best[1], {}, 1)
