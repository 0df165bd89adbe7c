"""Training of inverse dynamics: which move lies between two views of a training house."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from worldloop.core import InputError, Primitive, generator
from worldloop.envs.house.render import camera_pose
from worldloop.envs.house.scenes import load_scene
from worldloop.envs.house.splits import check_disjoint, scene_ids
from worldloop.envs.house.world import Place
from worldloop.metrics.shared.inverse import InverseDynamics, load_inverse, read_moves, small
from worldloop.training.loop import LoopConfig, StepInput, train

STEP_M, TURN_DEG = 0.2, 22.5
SIGNS = (
    *(2 * [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]),
    (0, 0, 0),
    *((f, 0, t) for f in (1, -1) for t in (1, -1)),
    *((0, s, t) for s in (1, -1) for t in (1, -1)),
)
"""Moves that are drawn, those of one key twice as often as the others."""
FILE = "inverse-dynamics.safetensors"


@dataclass(frozen=True)
class InverseTraining:
    """Settings of `train_inverse`."""

    out: Path
    scenes: int = 30
    """Training houses, of all styles in turn."""
    pairs: int = 250
    """Pairs of views in each."""
    held_out: int = 6
    """Houses of the split `val` on which the card's accuracy is measured."""
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(1000, 48, 2e-3, average=0.998, precision="fp32")
    )


@dataclass(frozen=True, eq=False)
class Pairs:
    """N moves."""

    before: np.ndarray
    """uint8 [N,3,64,64]"""
    after: np.ndarray
    signs: np.ndarray
    """int64 [N,3], -1, 0 or 1: forward, left, turn to the left."""


def view_pairs(scenes: Sequence[str], count: int, seed: int, spread: float = 0.25) -> Pairs:
    """`count` moves in each scene, none of them blocked, their lengths within a share `spread` of a usual step's."""
    before, after, signs = list[np.ndarray](), list[np.ndarray](), list[tuple[int, int, int]]()
    for scene in scenes:
        random, loaded = generator(seed, "inverse dynamics", scene), load_scene(scene)
        made = 0
        while made < count:
            x, y = (float(v) for v in loaded.nav.random_free_point(random))
            place = Place(x, y, 22.5 * int(random.integers(16)))
            forward, left, turn = SIGNS[int(random.integers(len(SIGNS)))]
            length, angle = random.uniform(1 - spread, 1 + spread, size=2)
            move = Primitive(
                "move", forward * STEP_M * length, left * STEP_M * length, turn * TURN_DEG * angle
            )
            there, blocked = place.moved(move, loaded)
            if blocked:
                continue
            for place_, into in ((place, before), (there, after)):
                pose = camera_pose(place_.x, place_.y, place_.yaw_deg)
                into.append(small(loaded.renderer.pinhole(pose, 128, 90.0).rgb))
            signs.append((forward, left, turn))
            made += 1
    return Pairs(np.stack(before), np.stack(after), np.array(signs, np.int64))


def train_inverse(
    settings: InverseTraining, progress: Callable[[int, float], None] | None = None
) -> dict[str, Any]:
    """Render, train, measure on held-out houses and write `inverse-dynamics.safetensors` and its card, which is returned."""
    if settings.scenes < 1 or settings.pairs < 1 or settings.held_out < 1:
        raise InputError("inverse dynamics needs at least 1 scene, 1 pair and 1 held-out scene")
    scenes = scene_ids("train", None, settings.scenes)
    unseen = scene_ids("val", None, settings.held_out)
    check_disjoint(scenes, unseen)
    started = time.perf_counter()
    seed = settings.loop.seed
    pairs = view_pairs(scenes, settings.pairs, seed)
    collected = time.perf_counter() - started
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = InverseDynamics()

    def loss(model: nn.Module, now: StepInput) -> Tensor:
        rows = now.random.integers(len(pairs.signs), size=settings.loop.batch)
        images, signs = _spoilt(pairs, rows, now.random)
        logits = model(torch.from_numpy(images[now.rows]).to(now.device))
        goal = torch.from_numpy(signs[now.rows] + 1).to(now.device)
        return F.cross_entropy(logits.flatten(0, 1), goal.flatten())

    about = {"what": "inverse dynamics", "scenes": settings.scenes, "pairs": settings.pairs}
    facts = train(network, loss, settings.loop, settings.out, progress, about=about)
    path = settings.out / FILE
    save_file({k: v.detach().cpu().half().contiguous() for k, v in network.state_dict().items()}, path)
    card = {
        "data": f"{len(pairs.signs)} moves in {settings.scenes} houses of the split train, mirrored at random",
        "collect_seconds": round(collected, 1),
        **facts,
        "held_out": _accuracy(load_inverse(path), view_pairs(unseen, settings.pairs, seed, spread=0.0)),
        "held_out_scenes": settings.held_out,
        "settings": asdict(settings.loop),
    }
    (settings.out / "inverse-dynamics.json").write_text(json.dumps(card, indent=1) + "\n")
    return card


def _spoilt(pairs: Pairs, rows: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pairs float32 [B,6,64,64] in [-1,1] as a model might imagine them, and their moves.

    Half of them mirrored; each picture by itself a little brighter or darker, softer, and noisier.
    """
    signs = pairs.signs[rows].copy()
    images = np.stack([pairs.before[rows], pairs.after[rows]], axis=1).astype(np.float32) / 127.5 - 1
    mirrored = random.random(len(rows)) < 0.5
    images[mirrored] = images[mirrored, ..., ::-1]
    signs[mirrored, 1:] *= -1
    images *= random.uniform(0.85, 1.15, size=(len(rows), 2, 1, 1, 1)).astype(np.float32)
    images += random.uniform(-0.1, 0.1, size=(len(rows), 2, 1, 1, 1)).astype(np.float32)
    # A binomial blur by half a pixel either way, as much of it as is drawn.
    soft = (images + np.roll(images, 1, axis=-1)) / 2
    soft = (soft + np.roll(soft, -1, axis=-2)) / 2
    images += random.choice([0, 0.5, 1], size=(len(rows), 2, 1, 1, 1)).astype(np.float32) * (soft - images)
    noise = random.uniform(0, 0.08, size=(len(rows), 2, 1, 1, 1)).astype(np.float32)
    images += noise * random.standard_normal(images.shape, dtype=np.float32)
    return images.reshape(len(rows), 6, *images.shape[-2:]), signs


def _accuracy(network: InverseDynamics, pairs: Pairs) -> dict[str, float]:
    """Share of moves read right in all their parts: of all, of one key, of several at once, and of none."""
    right = (
        read_moves(pairs.before.transpose(0, 2, 3, 1), pairs.after.transpose(0, 2, 3, 1), network)
        == pairs.signs
    ).all(axis=1)
    keys = np.abs(pairs.signs).sum(axis=1)
    kinds = {"all": keys >= 0, "one key": keys == 1, "several keys": keys > 1, "none": keys == 0}
    return {name: round(float(right[rows].mean()), 4) for name, rows in kinds.items() if rows.any()}
