"""What a model card says of a table: words, and how well commands of held-out demonstrations are imagined.

Trials are moments of noisy demonstrations on validation layouts, at which something is left to do, with the commands
that followed and the true pictures. Pictures of a table hardly change, so what counts is how much better a model is
than copying the present, and what wrong commands do to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.core import Observation, Plan, Query, WorldModel, derive_seed
from worldloop.envs.tabletop.cameras import THIRD
from worldloop.envs.tabletop.commands import VOCABULARIES
from worldloop.training.collect_config import FAMILIES, CollectConfig, plan_shards
from worldloop.training.collect_table import table_episodes
from worldloop.training.dataset.layout import ARM_LICENCE, EpisodeData

WHAT = {
    "vae": "A small convolutional autoencoder for pictures of a table, of which the small video model sees the latents",
    "video": "A small latent video diffusion transformer, trained on passive video of a simulated arm at a table",
    "sft": "A small latent video diffusion transformer, post-trained on 7-DoF commands of a simulated arm",
    "distil": "A small latent video diffusion transformer of a simulated arm, distilled to few sampling steps",
}
SMALL = (
    "Small means: millions of parameters, pictures of 128 x 128, one simulated table, arm and camera only. It is for "
    "experiments with world models in a loop, not a general video generator."
)
DATA = {"data": ARM_LICENCE, "notice": "see envs/tabletop/data/CREDITS.md of worldloop"}
TRIALS, HORIZON, LENGTH = 48, 4, 12
CHANGED = 24
"""Of 255, in any colour: by how much a pixel differs that counts as changed."""
ASKED = 12
"""Queries at once."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A moment of a demonstration."""

    scene: str
    now: Observation
    plan: Plan
    truth: np.ndarray
    """uint8 [L,H,W,3]"""
    seed: int


def table_trials(count: int = TRIALS, horizon: int = HORIZON, size: int = 128) -> list[Trial]:
    """Trials of validation layouts, one for each of `count` noisy demonstrations; families take turns.

    horizon: commands in a plan, at most `LENGTH - 1`.
    """
    config = CollectConfig(
        Path(),
        LENGTH * count,
        env="tabletop",
        split="val",
        policy="noisy",
        size=size,
        wrist=False,
        evaluation=True,
    )
    return [_moment(e, horizon) for shard in plan_shards(config) for e in table_episodes(config, shard)]


def _moment(episode: EpisodeData, horizon: int) -> Trial:
    shown = episode.demonstration
    assert shown is not None
    box, over = VOCABULARIES["waypoint"], shown.reached | shown.lost
    first_over = int(np.argmax(over)) if over.any() else len(over)
    last = min(first_over - 1, len(shown.commands) - horizon)
    seed = derive_seed("trial", episode.scene)
    at = int(np.random.default_rng(seed).integers(last + 1))
    now = Observation(
        episode.frames[at],
        pose=THIRD.matrix,
        hfov_deg=THIRD.hfov_deg,
        extra={"gripper": np.asarray(episode.states[at], float)},
    )
    plan = box.plan(shown.commands[at : at + horizon].tolist())
    return Trial(episode.scene, now, plan, episode.frames[at + 1 : at + 1 + horizon], seed % 2**31)


def table_open_loop(model: WorldModel, trials: Sequence[Trial]) -> dict[str, Any]:
    """PSNR in dB of imagined against true frames, JSON-serialisable.

    For the model, for the same model asked with the commands of another trial of the same family, and for copying the
    present picture: over all frames, in the last frame, and in those pixels of the last frame that truly changed. A figure
    without any such pixel is None.
    """
    others = _shuffled(trials)
    rows = {
        "this model": _asked(model, trials, [t.plan for t in trials]),
        "shuffled commands": _asked(model, trials, [t.plan for t in others]),
        "copying the present": [np.repeat(t.now.rgb[None], len(t.truth), 0) for t in trials],
    }
    return {
        "world": "tabletop",
        "trials": len(trials),
        "actions": len(trials[0].plan),
        "split": "val",
        "scenes": len({t.scene for t in trials}),
        "changed": CHANGED,
        "models": {name: _scores(trials, frames) for name, frames in rows.items()},
    }


def _shuffled(trials: Sequence[Trial]) -> list[Trial]:
    """For each trial another one of its family, where there is any."""
    out = list(trials)
    for family in FAMILIES:
        mine = [i for i, t in enumerate(trials) if t.scene.split("/")[2] == family]
        for a, b in zip(mine, mine[1:] + mine[:1]):
            out[a] = trials[b]
    return out


def _asked(model: WorldModel, trials: Sequence[Trial], plans: Sequence[Plan]) -> list[np.ndarray]:
    queries = [Query((t.now,), (), plan, t.seed) for t, plan in zip(trials, plans)]
    out: list[np.ndarray] = []
    for start in range(0, len(queries), ASKED):
        for rollout in model.simulate(queries[start : start + ASKED]):
            out.append(np.stack([f.rgb for f in rollout.frames]))
    return out


def _scores(trials: Sequence[Trial], imagined: Sequence[np.ndarray]) -> dict[str, float | None]:
    every: list[float] = []
    last: list[float] = []
    changed: list[float] = []
    for trial, frames in zip(trials, imagined):
        errors = (frames.astype(float) - trial.truth.astype(float)) ** 2
        every.append(float(np.mean([_decibels(e) for e in errors])))
        last.append(_decibels(errors[-1]))
        moved = np.abs(trial.truth[-1].astype(int) - trial.now.rgb.astype(int)).max(-1) > CHANGED
        if moved.any():
            changed.append(_decibels(errors[-1][moved]))
    names = {"psnr": every, "psnr_last": last, "psnr_changed": changed}
    return {n: round(float(np.mean(v)), 2) if v else None for n, v in names.items()}


def _decibels(squared: np.ndarray) -> float:
    """PSNR of squared errors of values in 0..255; at most 99."""
    return float(min(99.0, 10 * np.log10(255**2 / max(float(squared.mean()), 1e-9))))


def markdown(score: Mapping[str, Any]) -> str:
    """The figures as a table for people."""
    names = ("psnr", "psnr_last", "psnr_changed")
    rows = ["| PSNR, dB | all frames | last frame | where it changed |", "|---|---:|---:|---:|"]
    for name, row in score["models"].items():
        rows.append(
            f"| {name} | " + " | ".join("-" if row[n] is None else f"{row[n]:g}" for n in names) + " |"
        )
    note = (
        f"{score['trials']} moments of noisy scripted demonstrations on {score['scenes']} layouts of the split "
        f"{score['split']}, {score['actions']} commands each, against the true frames. Shuffled: the commands of another "
        "demonstration of the same family. Where it changed: pixels of the last frame that truly differ from the present "
        f"by more than {score['changed']} of 255."
    )
    return "\n".join(rows) + "\n\n" + note
