"""Training the policy of the table on demonstrations.

Every frame of a demonstration, steady or noisy, is labelled with what the expert would do from there on
(`action.expert`), as in DAgger (Ross et al. 2011, arXiv 1011.0686); frames after the end of the task are left out. The
loss is the squared error of the clean chunk, seen from noisy ones at times drawn evenly from 0 (noise) to 1 (clean).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import worldloop
from worldloop.agents.policy import DiffusionPolicy, PolicyConfig, load_policy, save_policy
from worldloop.agents.policy.files import policy_hash
from worldloop.agents.policy.network import as_tensor
from worldloop.agents.policy.waypoints import PARTS, goal_numbers, to_commands, to_numbers
from worldloop.agents.table_sight import read_goal
from worldloop.core import Goal, InputError
from worldloop.runs.disk import replace_text
from worldloop.training.dataset import ActionClips, open_meta
from worldloop.training.dataset.layout import AHEAD
from worldloop.training.loop import LoopConfig, StepInput, train

WEIGHTS = "policy.safetensors"
SHIFT = 6
"""Pixels by which pictures are moved at most, each way; where their cells lie on the table moves along."""
MEASURED = 600
"""Held-out frames that are measured at most."""


@dataclass(frozen=True)
class PolicyTraining:
    """Settings of `train_policy`."""

    data: tuple[str, ...]
    out: Path
    loop: LoopConfig
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    start: Path | None = None
    """A policy to train further, with its sizes."""
    held_out: float = 0.05
    """Share of the demonstrations that are only measured on; at least one."""
    noises: int = 6
    """Noisy chunks for each picture of a step: pictures cost more than chunks."""


@dataclass(frozen=True, eq=False)
class Moments:
    """N frames at which something is left to do."""

    pictures: np.ndarray
    """uint8 [N,H,W,3]."""
    states: np.ndarray
    """float32 [N,7]: the hand, in metres, degrees and 0..1."""
    goals: np.ndarray
    """float32 [N,15]."""
    experts: np.ndarray
    """float32 [N,4,7]: what the expert would do."""
    families: np.ndarray
    """str [N]."""
    held_out: np.ndarray
    """bool [N]."""
    scenes: tuple[str, ...]


def load_moments(folders: Sequence[str], share: float, seed: int) -> Moments:
    """All frames of demonstrations that are worth learning. `share` of the demonstrations of each folder is held out.

    SplitError for held-out scenes, InputError for walks, for no data and for pictures of different sizes.
    """
    if not folders:
        raise InputError(
            "no training data: give at least one --data folder (`worldloop collect --env tabletop`)"
        )
    opened = [ActionClips(f) for f in folders]
    if any(c.vocabulary.discrete for c in opened):
        raise InputError("a policy learns from demonstrations: `worldloop collect --env tabletop` makes them")
    if len({c.spec.size for c in opened}) > 1:
        raise InputError("these datasets have pictures of different sizes")
    parts = [_moments(clips, share, seed) for clips in opened]
    pictures, states, goals, experts, families, apart = (np.concatenate(column) for column in zip(*parts))
    scenes = tuple(sorted({s for c in opened for s in c.scenes}))
    return Moments(pictures, states, goals, experts, families, apart, scenes)


def _moments(clips: ActionClips, share: float, seed: int) -> tuple[np.ndarray, ...]:
    pictures, _ = clips.to_memory()
    of = np.repeat(np.arange(len(clips)), clips.lengths)
    order = np.random.default_rng(seed).permutation(len(clips))
    apart = np.isin(of, order[: max(1, round(share * len(clips)))])
    goals = np.array([goal_numbers(read_goal(Goal(text))) for text in clips.spec.tasks])
    families = np.array(clips.meta.families)[of]
    found = (pictures, clips.states, goals[clips.tasks], clips.experts, families, apart)
    return tuple(values[clips.unfinished] for values in found)


def train_policy(
    settings: PolicyTraining, progress: Callable[[int, float], None] | None = None
) -> dict[str, Any]:
    """Train, measure on demonstrations kept aside, and write `policy.safetensors` and `card.json`; returns the card."""
    moments = load_moments(settings.data, settings.held_out, settings.loop.seed)
    rows = np.flatnonzero(~moments.held_out)
    size = moments.pictures.shape[1]
    if not len(rows):
        raise InputError(
            "there is nothing to train on beside the held-out demonstrations; collect more frames"
        )
    torch.manual_seed(settings.loop.seed)
    policy, before = _beginning(settings)
    if policy.config.size != size or policy.config.length != AHEAD:
        raise InputError(f"the data has pictures of {size} pixels and chunks of {AHEAD} waypoints")
    hands, wanted = to_numbers(moments.states), to_numbers(moments.experts).reshape(len(moments.states), -1)
    batch, noises = settings.loop.batch, settings.noises

    def loss(model: nn.Module, given: StepInput) -> Tensor:
        random, mine = given.random, given.rows
        chosen = rows[random.integers(len(rows), size=batch)][mine]
        paint, bias = colour_changes(random, batch)
        shifts = random.integers(-SHIFT, SHIFT + 1, (batch, 2))[mine]
        noise = random.standard_normal((batch, noises, AHEAD * PARTS), np.float32)[mine]
        times = random.random((batch, noises), np.float32)[mine]
        pictures = as_tensor(torch.from_numpy(moments.pictures[chosen]))
        pictures = changed(pictures, torch.from_numpy(paint[mine]), torch.from_numpy(bias[mine]), shifts)
        goal, hand, chunk = (torch.from_numpy(v[chosen]) for v in (moments.goals, hands, wanted))
        clean, made, at = chunk[:, None], torch.from_numpy(noise), torch.from_numpy(times)
        noisy = at[..., None] * clean + (1 - at[..., None]) * made
        inputs = (pictures, hand, goal, torch.from_numpy(shifts.astype(np.float32)), noisy, at)
        guess = model(*(v.to(given.device) for v in inputs))
        return F.mse_loss(guess, clean.to(given.device).expand_as(guess))

    about = {"data": [Path(d).name for d in settings.data], "frames": len(rows), "noises": noises, **before}
    facts = train(policy, loss, settings.loop, settings.out, progress, about=about)
    # Files carry it in half precision: whatever is measured from here on is what it will do.
    policy.cpu().eval().half().float()
    card = {
        "what": "A small policy for a Franka arm at a simulated table: flow matching over chunks of four waypoints",
        "small": "It is for experiments with plans and world models in a loop, and knows one table, one arm and four "
        "kinds of goals.",
        "labels": "what a scripted expert would do, from the simulator's truth",
        **facts,
        "data": about["data"],
        "collected": [open_meta(d).info["worldloop"].get("request") for d in settings.data],
        "split": "train",
        "scenes": len(moments.scenes),
        "frames": len(rows),
        "parameters": sum(p.numel() for p in policy.parameters()),
        "policy": asdict(policy.config),
        **before,
        "held_out": held_out_errors(policy, moments, settings.loop.seed),
        "licence": "Apache-2.0",
        "versions": {"worldloop": worldloop.__version__, "torch": torch.__version__},
    }
    card["weights_hash"] = save_policy(settings.out / WEIGHTS, policy, card)
    replace_text(settings.out / "card.json", json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    return card


def _beginning(settings: PolicyTraining) -> tuple[DiffusionPolicy, dict[str, Any]]:
    """The policy to train, and what it was before."""
    if settings.start is None:
        return DiffusionPolicy(settings.policy), {}
    policy, card = load_policy(settings.start)
    known = {k: card[k] for k in ("what", "data", "steps", "seconds", "start") if k in card}
    return policy.train(), {"start": {"weights_hash": policy_hash(settings.start), **known}}


def colour_changes(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 [B,3,3] and [B,3]: turns of hue (up to 8 degrees), strength, brightness and tint.

    Splits have other shades of the same colour names and another table.
    """
    luma = np.array([0.299, 0.587, 0.114])
    grey = np.ones((3, 1)) @ luma[None]
    # The generator of turns about the grey axis that keep it; small angles need no more than sine and cosine.
    turn = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    angle = np.radians(random.uniform(-8, 8, (count, 1, 1)))
    strength = random.uniform(0.8, 1.2, (count, 1, 1))
    spin = np.eye(3) + np.sin(angle) * turn + (1 - np.cos(angle)) * (turn @ turn)
    gain = random.uniform(0.8, 1.2, (count, 1, 1)) * random.uniform(0.93, 1.07, (count, 3, 1))
    paint = gain * ((grey + strength * (np.eye(3) - grey)) @ spin)
    return paint.astype(np.float32), random.uniform(-0.06, 0.06, (count, 3)).astype(np.float32)


def changed(pictures: Tensor, paint: Tensor, bias: Tensor, shifts: np.ndarray) -> Tensor:
    """Pictures [B,3,H,W] in -1..1 in other colours, and moved left and up by shifts [B,2]; edges are drawn out."""
    count, _, height, width = pictures.shape
    light = (pictures + 1) / 2
    light = torch.einsum("bij,bjhw->bihw", paint, light) + bias[:, :, None, None]
    around = F.pad(light.clamp(0, 1) * 2 - 1, (SHIFT,) * 4, mode="replicate")
    rows, columns = SHIFT + shifts[:, 1], SHIFT + shifts[:, 0]
    parts = [around[i, :, r : r + height, c : c + width] for i, (r, c) in enumerate(zip(rows, columns))]
    return torch.stack(parts) if count else pictures


def held_out_errors(policy: DiffusionPolicy, moments: Moments, seed: int) -> dict[str, Any]:
    """Errors of one sample at held-out frames, in mm and degrees: of the first waypoint, and of all that follow.

    `mm` is the mean distance along the table, `median_mm` its median, `height_mm` the mean error of the height,
    `grip` the share of the waypoints whose grip is on the right side of a half.
    """
    rows = np.flatnonzero(moments.held_out)
    random = np.random.default_rng(seed)
    if len(rows) > MEASURED:
        rows = np.sort(random.choice(rows, MEASURED, replace=False))
    noise = random.standard_normal((len(rows), policy.config.length * PARTS)).astype(np.float32)
    found = []
    for part in np.array_split(np.arange(len(rows)), max(1, len(rows) // 64)):
        some = rows[part]
        picture = as_tensor(torch.from_numpy(moments.pictures[some]))
        hand, goal = torch.from_numpy(to_numbers(moments.states[some])), torch.from_numpy(moments.goals[some])
        chunks = policy.sample(picture, hand, goal, torch.from_numpy(noise[part])).numpy()
        found += [to_commands(c, float(s[5])) for c, s in zip(chunks, moments.states[some])]
    given, truth = np.array(found), moments.experts[rows]
    flat = 1000 * np.linalg.norm(given[..., :2] - truth[..., :2], axis=-1)
    height = 1000 * np.abs(given[..., 2] - truth[..., 2])
    grip = (given[..., 6] > 0.5) == (truth[..., 6] > 0.5)

    def measured(which: np.ndarray) -> dict[str, float]:
        return {
            "frames": int(which.sum()),
            "first_mm": round(float(flat[which, 0].mean()), 2),
            "first_median_mm": round(float(np.median(flat[which, 0])), 2),
            "mm": round(float(flat[which].mean()), 2),
            "median_mm": round(float(np.median(flat[which])), 2),
            "height_mm": round(float(height[which].mean()), 2),
            "grip": round(float(grip[which].mean()), 4),
        }

    families = moments.families[rows]
    by_family = {str(f): measured(families == f) for f in np.unique(families)}
    return {**measured(np.ones(len(rows), bool)), "by_family": by_family}
