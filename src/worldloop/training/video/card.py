"""Model cards of the video model: what a file is, what it was trained on, how that went, and what it can do.

`card.json` is for programs and `card.md` for people; both hold the same facts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import worldloop
from worldloop.agents.perception import Perception
from worldloop.core import WorldModel
from worldloop.metrics import draw_trials, score_model
from worldloop.models import MODELS
from worldloop.models.video import VideoModel
from worldloop.runs.disk import replace_text
from worldloop.training.dataset.layout import LICENCE as DATA_LICENCE
from worldloop.training.loop import local_device
from worldloop.training.video import table_card

FILES = {
    "vae": "vae.safetensors",
    "video": "base.safetensors",
    "sft": "adapted.safetensors",
    "distil": "distilled.safetensors",
}
WHAT = {
    "vae": "A small convolutional autoencoder for pictures of houses, of which the small video model sees the latents",
    "video": "A small latent video diffusion transformer, trained from scratch on passive video of simulated houses",
    "sft": "A small latent video diffusion transformer, post-trained on actions by low-rank adaptation",
    "distil": "A small latent video diffusion transformer, distilled to few sampling steps",
}
SMALL = (
    "Small means: millions of parameters, pictures of 128 x 128, simulated houses only. It is for experiments with "
    "world models in a loop, not a general video generator."
)
LICENCES = {
    "weights": "Apache-2.0",
    "code": "Apache-2.0",
    "data": DATA_LICENCE,
    "notice": "the pictures show furniture by others; see NOTICE and envs/house/data/CREDITS.md of worldloop",
}
CONTROLS = ("frozen", "rotate-only")
"""Models without training that give the open-loop figures their scale."""
TRIALS, HORIZON = 48, 4
BARS = "▁▂▃▄▅▆▇█"


def open_loop(
    models: Mapping[str, WorldModel], trials: int = TRIALS, horizon: int = HORIZON
) -> dict[str, Any]:
    """Controllability, recovered actions and PSNR of models, beside the controls, on validation scenes.

    Every model gets the same `trials` questions of `horizon` actions, see `metrics.draw_trials`. JSON-serialisable;
    a figure without any step that counts is None.
    """
    drawn, perception = draw_trials(trials, horizon), Perception()
    everything = {**models, **{name: MODELS.create(name) for name in CONTROLS if name not in models}}
    rows = {}
    for name, model in everything.items():
        score = score_model(model, drawn, perception)
        rows[name] = {
            "controllability": _mean(score.controllability, 4),
            "recovered_actions": _mean(score.accuracy, 4),
            "psnr": _mean(score.psnr[score.counted], 2),
        }
    return {
        "trials": trials,
        "actions": horizon,
        "steps_counted": int(score.counted.sum()),
        "split": "val",
        "scenes": len({t.scene for t in drawn}),
        "distance": "ST-LPIPS",
        "chance_of_recovery": round(1 / len(drawn[0].outcomes[0]), 4),
        "models": rows,
    }


def score_file(path: str | Path, trials: int = TRIALS, horizon: int = HORIZON) -> dict[str, Any]:
    """`open_loop` of a checkpoint file under its recommended sampler, as `this model`.

    Of one that knows commands, `table_card.table_open_loop`.
    """
    model = VideoModel(path, device=str(local_device()))
    if model.spec.vocabulary is not None:
        return table_card.table_open_loop(model, table_card.table_trials(trials, horizon))
    return open_loop({"this model": model}, trials, horizon)


def write_card(
    folder: str | Path, kind: str, facts: Mapping[str, Any], score: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write `card.json` and `card.md` into a folder and return the card.

    `kind`: `vae`, `video`, `sft` or `distil`. `facts`: what the training returned; `world` is `house`, where it says
    nothing else, or `tabletop`. `score`: what `open_loop` returned;
    without it the card says that the model was not scored.
    """
    table = facts.get("world") == "tabletop"
    card = {
        "what": (table_card.WHAT if table else WHAT)[kind],
        "kind": kind,
        "small": table_card.SMALL if table else SMALL,
        "file": FILES[kind],
        "licence": {**LICENCES, **(table_card.DATA if table else {})},
        "versions": {"worldloop": worldloop.__version__, "torch": torch.__version__},
        **facts,
    }
    card["trained_share"] = round(facts["trained_parameters"] / facts["parameters"], 5)
    if kind != "vae":
        card["open_loop"] = None if score is None else dict(score)
    card = json.loads(json.dumps(card, allow_nan=False, default=str))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(folder / "card.json", json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    replace_text(folder / "card.md", markdown(card))
    return card


def markdown(card: Mapping[str, Any]) -> str:
    """A card as a page for people."""
    parts = [f"# {card['file']}", f"{card['what']}.", card["small"], _facts_table(card)]
    losses = card["losses"]
    parts += ["## Loss", f"`{sparkline([v for _, v in losses])}` {_loss_ends(losses)}", _loss_table(losses)]
    if "psnr" in card:
        parts += [
            "## Reconstruction of pictures kept aside",
            f"PSNR {card['psnr']} dB, mean error {card['l1']}.",
        ]
    if "distance_to_teacher" in card:
        apart = card["distance_to_teacher"]
        parts += [
            "## Distance to the teacher's many-step samples",
            f"Mean squared error of latents (their variance is 1), on training clips: {apart['student']} for the "
            f"student, {apart['teacher_in_as_many_steps']} for the teacher itself in as few steps.",
        ]
    if card["kind"] != "vae":
        parts += ["## Open loop", _scores(card["open_loop"])]
    return "\n\n".join(parts) + "\n"


def sparkline(values: Sequence[float]) -> str:
    """One block character per value, from the lowest to the highest."""
    low, high = min(values), max(values)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((v - low) * scale)] for v in values)


def _facts_table(card: Mapping[str, Any]) -> str:
    kinds = "families" if card.get("world") == "tabletop" else "styles"
    scenes = f"{card['scenes']} scenes of the split train, {kinds} {', '.join(card['styles'])}"
    rows = {
        "hash": f"`{card['weights_hash']}`",
        "data": f"{', '.join(card['data'])}: {scenes}",
        "steps": f"{card['steps']}, each of {card['batch']} examples",
        "seconds": f"{card['seconds']} on {card['device']}, precision {'fp32' if card['precision'] == 'no' else card['precision']}",
        "trained": f"{card['trained_parameters']} of {card['parameters']} parameters "
        f"({100 * card['trained_share']:.2f} %)",
        "licence of weights and code": card["licence"]["weights"],
        "licence of the data": f"{card['licence']['data']}; {card['licence']['notice']}",
        "versions": ", ".join(f"{name} {version}" for name, version in card["versions"].items()),
    }
    names = (
        "method",
        "control",
        "base",
        "examples",
        "epochs",
        "rank",
        "teacher",
        "student_steps",
        "teacher_steps",
    )
    rows |= {
        name.replace("_", " "): card[name] for name in (*names, "levels", "flow", "loop") if name in card
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {k} | {_cell(v)} |" for k, v in rows.items())])


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        value = ", ".join(f"{k} {v}" for k, v in value.items())
    elif isinstance(value, list):
        value = ", ".join(f"{v:.4g}" for v in value)
    # A folder's name may hold what ends a cell or a row.
    return " ".join(str(value).replace("|", "\\|").split())


def _loss_ends(losses: Sequence[Sequence[float]]) -> str:
    return f"from {losses[0][1]:.4g} to {losses[-1][1]:.4g}, means over equal spans of steps"


def _loss_table(losses: Sequence[Sequence[float]], columns: int = 8) -> str:
    chosen = sorted({round(i) for i in np.linspace(0, len(losses) - 1, min(columns, len(losses)))})
    steps, values = zip(*(losses[i] for i in chosen))
    return "\n".join(
        [
            "| step | " + " | ".join(map(str, steps)) + " |",
            "|---" * (len(steps) + 1) + "|",
            "| loss | " + " | ".join(f"{v:.4g}" for v in values) + " |",
        ]
    )


def _scores(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return "Not scored."
    if score.get("world") == "tabletop":
        return table_card.markdown(score)
    rows = ["| | controllability | recovered actions | PSNR, dB |", "|---|---:|---:|---:|"]
    for name, row in score["models"].items():
        cells = (row["controllability"], row["recovered_actions"], row["psnr"])
        rows.append(f"| {name} | " + " | ".join("-" if v is None else f"{v:g}" for v in cells) + " |")
    note = (
        f"{score['trials']} random plans of {score['actions']} actions in {score['scenes']} validation scenes, "
        f"{score['steps_counted']} steps that were not blocked. Controllability is 1 - {score['distance']} to the true "
        f"frame; an action is recovered when its true frame is the closest (chance {score['chance_of_recovery']:g}); "
        "PSNR is against the true frame. Frozen repeats the present frame, rotate-only cuts turns from the panorama."
    )
    return "\n".join(rows) + "\n\n" + note


def _mean(values: np.ndarray, digits: int) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(known.mean()), digits) if len(known) else None
