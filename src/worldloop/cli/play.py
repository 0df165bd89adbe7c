"""Drive a world model by keys and look at what it imagines: frames, a contact sheet, and a JSON file with the times."""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from worldloop.actions import (
    WASD,
    WORLDMARK,
    KeyboardTranslator,
    key_script,
    keys_plan,
    parse_key_script,
    script_plan,
    vocabulary_for,
)
from worldloop.cli.console import out, print_json, progress
from worldloop.core import InputError, MissingExtraError, Observation, Plan
from worldloop.engine.check import usable
from worldloop.engine.play import PlayConfig, Played, play, told_as
from worldloop.models import MODELS
from worldloop.runs.disk import replace_text
from worldloop.view.contact_sheet import contact_sheet

SLOWEST = 4
"""Frames a second of a video, at least: nobody wants to watch one a second."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `worldloop play`."""
    add = parser.add_argument
    add(
        "model",
        metavar="MODEL",
        help="a name from `worldloop list`, package.module.Class, or http://HOST:PORT",
    )
    drive = parser.add_mutually_exclusive_group(required=True)
    drive.add_argument("--script", help=f"one of WorldMark's: {', '.join(WORLDMARK)}")
    drive.add_argument(
        "--keys", help='keys of your own, such as "W*10 R*4": W S walk, A D step aside, L R turn, - waits'
    )
    add(
        "--step-seconds",
        type=float,
        default=1.0,
        metavar="S",
        help="seconds that an action of --script takes; a key is held for 20 (default: %(default)s)",
    )
    add("--scene", default=PlayConfig.scene, help="a house, or a file of your own (default: %(default)s)")
    add(
        "--chunk",
        type=int,
        default=PlayConfig.chunk,
        metavar="L",
        help="actions imagined in one call (default: %(default)s)",
    )
    add("--seed", type=int, default=PlayConfig.seed)
    add("--compare-oracle", action="store_true", help="put the true frames under the imagined ones")
    add("--video", action="store_true", help="write an mp4, too")
    add("--out", required=True, metavar="DIR", help="a new folder")


def main(options: argparse.Namespace) -> int:
    """Imagine the drive and write what it looks like."""
    if options.video and importlib.util.find_spec("av") is None:
        raise MissingExtraError("--video", "train")
    folder = Path(options.out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already; choose another --out, or remove it")
    plan = _plan(options)
    model = usable(MODELS.create(options.model), options.model)
    config = PlayConfig(options.scene, options.chunk, options.seed, truth=options.compare_oracle)
    with progress(quiet=options.json) as bar:
        line = bar.add_task(f"play {model.card.name}", total=len(plan), note="frames")
        played = play(model, plan, config, lambda done: bar.update(line, completed=done))
    facts = _facts(options, played)
    _write(folder, options, played, facts)
    if options.json:
        print_json({**facts, "out": str(folder)})
    else:
        each = f"{1e3 * played.seconds_per_frame:.1f} ms each"
        out.print(
            f"{len(played.frames)} frames, {each}: {folder / 'contact.png'}", highlight=False, soft_wrap=True
        )
        if played.whole:
            out.print(f"The plan was imagined at once: {played.whole}.", highlight=False, soft_wrap=True)
    return 0


def _plan(options: argparse.Namespace) -> Plan:
    if options.script is not None:
        script = key_script(options.script)
        return script_plan(script, vocabulary_for(script.keys), options.step_seconds)
    keys = parse_key_script(options.keys)
    return keys_plan(keys, vocabulary_for(keys))


def _keys(plan: Plan) -> tuple[str, ...]:
    return tuple(KeyboardTranslator(plan.vocabulary, WASD).encode(plan).value)


def _facts(options: argparse.Namespace, played: Played) -> dict[str, Any]:
    """Everything that says how the frames came about, JSON-ready."""
    card, plan, script = played.model.card, played.plan, None
    if options.script is not None:
        chosen = key_script(options.script)
        script = {**asdict(chosen), "keys": list(chosen.keys), "step_seconds": options.step_seconds}
    return {
        "model": options.model,
        "card": json.loads(json.dumps(asdict(card), default=str)),
        "script": script,
        "keys": list(_keys(plan)),
        "vocabulary": plan.vocabulary.name,
        "actions": list(plan.names),
        "control": {"kind": card.control, "told": told_as(plan, card.control)},
        "start": played.place,
        "seed": played.config.seed,
        "size": played.config.size,
        "imagined_at_once": played.whole,
        "chunks": [asdict(c) for c in played.chunks],
        "seconds_per_frame": played.seconds_per_frame,
    }


def _write(folder: Path, options: argparse.Namespace, played: Played, facts: dict[str, Any]) -> None:
    pictures = [played.start.rgb, *(f.rgb for f in played.frames)]
    rows: list[tuple[str, Sequence[np.ndarray]]] = [("imagined", pictures)]
    _save(folder / "frames", [played.start, *played.frames])
    if played.truth:
        rows.append(("true", [played.start.rgb, *(f.rgb for f in played.truth)]))
        _save(folder / "true", [played.start, *played.truth])
    captions = ["0 start", *(f"{i} {key}" for i, key in enumerate(_keys(played.plan), 1))]
    drive = options.script.upper() if options.script else options.keys
    card = played.model.card
    title = f"{card.name} ({card.control}), {drive}, {played.config.scene}, seed {played.config.seed}"
    if played.whole:
        title += ", imagined at once"
    contact_sheet(title, captions, rows).save(folder / "contact.png")
    if options.video:
        _film(folder / "film.mp4", rows, options.step_seconds)
    replace_text(folder / "play.json", json.dumps(facts, indent=1, sort_keys=True, allow_nan=False) + "\n")


def _save(folder: Path, seen: Sequence[Observation]) -> None:
    folder.mkdir(parents=True)
    for i, observation in enumerate(seen):
        Image.fromarray(observation.rgb).save(folder / f"{i:04d}.png", compress_level=1)


def _film(path: Path, rows: Sequence[tuple[str, Sequence[np.ndarray]]], step_seconds: float) -> None:
    """A video, the true frames under the imagined ones."""
    from worldloop.training.dataset.video import VideoWriter

    stacked = np.stack([np.concatenate(frames) for frames in zip(*(f for _, f in rows))])
    # The codec wants even numbers of rows and columns.
    odd = [(0, n % 2) for n in stacked.shape[1:3]]
    stacked = np.pad(stacked, ((0, 0), *odd, (0, 0)), mode="edge")
    fps = max(SLOWEST, round(1 / step_seconds))
    with VideoWriter(path, (stacked.shape[1], stacked.shape[2]), fps, lossless=False) as writer:
        writer.write(stacked)
