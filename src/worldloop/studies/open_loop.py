"""Open-loop scores of world models on fixed trials, each model scored once."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.core import SplitError, WorldModel, derive_seed
from worldloop.engine.check import prepare, usable
from worldloop.envs.house.splits import STYLES
from worldloop.metrics import Trial, draw_trials, score_model
from worldloop.studies.evaluation import Evaluation, Progress
from worldloop.studies.result import CONTROLLABILITY, RECOVERED, write_text
from worldloop.studies.verdicts import Sample

BATCH = 24
"""Trials drawn or scored at once: their pictures are large."""
HISTORY = 4
"""Observations in a trial, the same for all models: each reads as many of them as it can."""


@dataclass(eq=False)
class OpenLoop:
    """The trials of a study, and the folder with the scores so far."""

    settings: Evaluation
    out: Path
    progress: Progress = field(default=lambda what, done, total: None)

    def score(self, name: str, model: WorldModel) -> tuple[dict[str, Sample], float]:
        """Controllability and recovered actions of each trial, and the seconds it took."""
        card, s = usable(model, name).card, self.settings
        overlap = sorted(set(card.settings.get("training_scenes", ())) & set(self._trial_scenes))
        if overlap:
            raise SplitError(
                f"{name!r} was trained on {len(overlap)} of these scenes, such as {overlap[0]!r}"
            )
        asked = {
            "model": card.name,
            "weights_hash": card.weights_hash,
            "settings": {k: v for k, v in card.settings.items() if k != "training_scenes"},
            "trials": [s.trials, s.horizon, s.scenes, s.seed, HISTORY, self._trial_split],
        }
        asked = json.loads(json.dumps(asked))
        path = self.out / "open_loop" / f"{name}.json"
        kept = _read_scores(path, asked)
        if kept is None:
            kept = {"asked": asked, **self._score(name, model)}
            write_text(path, json.dumps(kept) + "\n")
        scenes = tuple(kept["scenes"])
        samples = {m: Sample(np.array(kept[m], np.float64), scenes) for m in (CONTROLLABILITY, RECOVERED)}
        return samples, float(kept["seconds"])

    @property
    def _trial_split(self) -> str:
        return "val" if self.settings.split == "val" else "test"

    @property
    def _trial_scenes(self) -> list[str]:
        numbers = range(self.settings.scenes)
        return [f"house/{self._trial_split}/{style}/{i:04d}" for style in STYLES for i in numbers]

    @cached_property
    def _trials(self) -> list[Trial]:
        """The trials of all styles; of their outcomes the pictures alone are kept."""
        s, trials = self.settings, []
        for style, count in zip(STYLES, split_evenly(s.trials, len(STYLES))):
            for start in range(0, count, BATCH):
                size, seed = min(BATCH, count - start), derive_seed("study trials", s.seed, style, start)
                part = draw_trials(size, s.horizon, self._trial_split, (style,), s.scenes, HISTORY, seed=seed)
                trials += [_slim(t) for t in part]
                self.progress("draw open-loop trials", len(trials), s.trials)
        return trials

    def _score(self, name: str, model: WorldModel) -> dict[str, Any]:
        from worldloop.agents.build import shared_perception

        trials = self._trials
        begun, rows = time.perf_counter(), []
        for start in range(0, len(trials), BATCH):
            part = trials[start : start + BATCH]
            queries = [prepare(model, t.query) for t in part]
            rows.append(score_model(model, part, shared_perception(), queries))
            self.progress(f"open loop: {name}", start + len(part), len(trials))
        values = {
            CONTROLLABILITY: np.concatenate([r.controllability for r in rows]),
            RECOVERED: np.concatenate([r.accuracy for r in rows]),
        }
        lists = {k: [None if np.isnan(x) else round(float(x), 9) for x in v] for k, v in values.items()}
        return {
            **lists,
            "scenes": [t.scene for t in trials],
            "seconds": round(time.perf_counter() - begun, 1),
        }


def split_evenly(count: int, parts: int) -> list[int]:
    """`count` as a sum of `parts` numbers that differ by at most one, the larger ones first."""
    return [count // parts + (i < count % parts) for i in range(parts)]


def _slim(trial: Trial) -> Trial:
    rows = tuple(
        tuple(o.without("panorama", "depth", "panorama_depth") for o in row) for row in trial.outcomes
    )
    return replace(trial, outcomes=rows)


def _read_scores(path: Path, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """Stored scores of the same question; None where there are none, or they are of another one."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        sizes = {len(kept[k]) for k in (CONTROLLABILITY, RECOVERED, "scenes")}
        return kept if kept["asked"] == asked and len(sizes) == 1 and kept["seconds"] >= 0 else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
