"""Drive one world model by a long plan and see where its imagination leads, without an agent.

How a plan that is longer than a model's reach goes on from imagined frames is said in `onward`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldloop.actions import usual_translator
from worldloop.core import Environment, Episode, InputError, Observation, Plan, Query, WorldModel, generator
from worldloop.engine.onward import Chunk, imagine, unread

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
    if missing := unread(card, now):
        raise InputError(f"model {card.name!r} reads {', '.join(missing)}, which a house does not show")
    simulator = world.simulator()
    query = Query((now,), (), plan, config.seed, simulator)
    imagined = imagine(model, [query], config.chunk, "play", told)[0]
    truth = simulator.rollout(plan) if config.truth else ()
    place = {"scene": config.scene, **episode.start}
    frames, chunks = imagined.frames, imagined.chunks
    return Played(model, config, plan, now, place, frames, tuple(truth), chunks, imagined.whole)


def told_as(plan: Plan, kind: str) -> Any:
    """A plan in a control language as JSON: what a model of that control is told, in the usual spelling; None for none."""
    translator = usual_translator(kind, plan.vocabulary)
    if translator is None:
        return None
    value = translator.encode(plan).value
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


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
