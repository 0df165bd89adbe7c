"""Cases as files, for those who make videos elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from worldloop.actions import intended_path, path_matrices
from worldloop.core import InputError, Plan
from worldloop.engine.measure.videos import TWIN
from worldloop.engine.play import told_as
from worldloop.metrics.cases import Case, CaseSpec, build_case
from worldloop.runs.disk import replace_text

LANGUAGES = ("text", "camera", "code", "keys", "vector")
STILL = 1e-9
"""Up to which a pose's numbers may differ for a camera that stands still."""


def export_case(spec: CaseSpec, folder: Path) -> dict[str, Any]:
    """Write what one case asks into `folder/ID/`: the start pictures and `case.json`; returns what is in that file.

    The truth is not written, nor where obstacles stop the camera: whoever makes the videos must not see it.
    """
    case = build_case(spec)
    place, query = folder / spec.id, case.query
    try:
        place.mkdir(parents=True, exist_ok=True)
        for i, seen in enumerate(query.history):
            # The last one is what is seen before the first action; the others came before it.
            back = len(query.history) - 1 - i
            Image.fromarray(seen.rgb).save(place / ("start.png" if back == 0 else f"before-{back}.png"))
    except OSError as error:
        raise InputError(f"could not write {place}: {error.strerror or error}") from None
    length, height, width = case.truth.frames.shape[:3]
    told = {
        "id": spec.id,
        **spec.to_dict(),
        "frames": length,
        "height": height,
        "width": width,
        "fps": case.truth.fps,
        "hfov_deg": case.truth.hfov_deg,
        "prompt": case.prompt,
        "vocabulary": query.plan.vocabulary.name,
        **told_plan(query.plan),
        "camera_to_world": None if (path := commanded(case)) is None else path.tolist(),
        "twin": None if (twin := case.twin) is None else told_plan(twin),
        "before": [str(a) for a in query.actions],
        "videos": [f"{spec.id}.mp4", *([f"{spec.id}{TWIN}.mp4"] if case.twin is not None else [])],
    }
    replace_text(place / "case.json", json.dumps(told, indent=1, allow_nan=False) + "\n")
    return told


def export_cases(
    specs: Sequence[CaseSpec], folder: Path, progress: Any = lambda what, done, total: None
) -> Path:
    """Write all cases and `cases.json`, which lists them; the path of that file."""
    listed = []
    for i, spec in enumerate(specs):
        told = export_case(spec, folder)
        listed.append(
            {k: told[k] for k in ("id", "domain", "kind", "script", "scene", "seed", "frames", "videos")}
        )
        progress("write cases", i + 1, len(specs))
    path = folder / "cases.json"
    note = "One video for each case, called as `videos` says: a frame after each action, without the start picture."
    replace_text(path, json.dumps({"note": note, "cases": listed}, indent=1) + "\n")
    return path


def commanded(case: Case) -> np.ndarray | None:
    """float64 [T+1,4,4], camera-to-world: where the plan leads the camera if nothing is in its way, from where it stands.

    None where that is not known.
    """
    truth = case.truth
    if truth.poses is None:
        return None
    if truth.motion is None:
        still = np.ptp(truth.poses, axis=0).max() < STILL
        return np.repeat(truth.poses[:1], len(truth.poses), axis=0) if still else None
    path = path_matrices(intended_path(case.query.plan), 0.0)
    return truth.poses[0] @ np.linalg.inv(path[0]) @ path


def told_plan(plan: Plan) -> dict[str, Any]:
    """The names of a plan's actions, and the plan in control languages."""
    return {"actions": [str(a) for a in plan.actions], "plan": languages(plan)}


def languages(plan: Plan) -> dict[str, Any]:
    """The plan in every control language that can tell it."""
    told = {}
    for kind in LANGUAGES:
        try:
            value = told_as(plan, kind)
        except InputError:  # two of its actions would be told alike
            continue
        if value is not None:
            told[kind] = json.loads(json.dumps(value, default=_plain))
    return told


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")
