"""Controllability against quality: the verdict follows the numbers, whichever way they point."""

from __future__ import annotations

import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from worldloop.cli.study import _correlations
from worldloop.core import InputError
from worldloop.engine.measure import measure
from worldloop.stats import Outcomes
from worldloop.studies import ControllabilityVsQuality, Evaluation, controllability_vs_quality
from worldloop.studies.controllability_vs_quality import HOUSE, _Work
from worldloop.studies.correlations import CONTROL, QUALITY, CorrelationTable, MeasuredModel, summary
from worldloop.studies.result import NOT_MEASURED, NOT_SHOWN, OPPOSITE, SHOWN, Finding
from worldloop.studies.verdicts import Sample

controllability_vs_quality_module = sys.modules["worldloop.studies.controllability_vs_quality"]
"""The function of the same name hides the module as an attribute of its package."""

CHEAP = (
    "oracle",
    *(f"oracle-blur:sigma={s}" for s in (2, 8)),
    *(f"oracle-wrong:share={s}" for s in (0.25, 0.5, 1.0)),
    "blind",
    "frozen",
)


def planted(control: float, quality: float, count: int = 14, episodes: int = 90) -> CorrelationTable:
    """Models whose success is drawn by how much of either metric they have."""
    random, models = np.random.default_rng(3), {}
    for i in range(count):
        c, q = random.uniform(size=2)
        odds = np.clip(0.5 + control * (c - 0.5) + quality * (q - 0.5), 0, 1)
        scenes = tuple(f"scene-{k % 9}" for k in range(episodes))
        success = Sample((random.random(episodes) < odds).astype(float), scenes)
        clips = {
            n: Outcomes(v + 0.05 * random.normal(size=24), scenes[:24])
            for n, v in ((CONTROL, c), (QUALITY, q))
        }
        models[f"model-{i}"] = MeasuredModel({"image-goal": success}, {"image-goal": clips})
    group = SimpleNamespace(group="some")
    return CorrelationTable("image-goal", {CONTROL: group, QUALITY: group}, models)


@pytest.mark.parametrize(
    ("control", "quality", "status"),
    [(0.9, 0.0, SHOWN), (0.0, 0.9, OPPOSITE), (0.5, 0.5, NOT_SHOWN)],
)
def test_the_verdict_follows_what_success_was_drawn_by(control, quality, status):
    table = planted(control, quality)
    (finding,) = table.findings()
    assert finding.status == status, finding.sentence
    assert f"{len(table.models)} models" in finding.sentence
    rows = {r["metric"]: r for r in table.rows()}
    assert rows[CONTROL]["models"] == 14 and len(rows[CONTROL]["pearson"]) == 3


def test_a_closer_tie_alone_is_not_the_claim():
    """Quality goes against success and controllability has nothing to do with it: closer, and yet no tie."""
    (finding,) = planted(0.0, -0.9).findings()
    assert finding.status == NOT_SHOWN and "closer with controllability" in finding.sentence


def test_every_correlation_is_printed_and_those_beyond_0_are_bold():
    rows = [
        {"task": "image-goal", "metric": "psnr", "pearson": [0.7, 0.4, 0.9]},
        {"task": "manipulation", "metric": "psnr", "pearson": [0.1, -0.6, 0.8]},
        {"task": "image-goal", "metric": "ate", "pearson": [None, None, None]},
    ]
    table = _correlations(rows, ["image-goal", "manipulation"])
    console = Console(width=120, force_terminal=True, color_system="standard")
    with console.capture() as kept:
        console.print(table)
    text = kept.get()
    assert "\x1b[1m+0.70 [+0.40, +0.90]\x1b[0m" in text
    assert "+0.10 [-0.60, +0.80]" in text and "\x1b[1m+0.10" not in text
    assert "ate" in text and "None" not in text


def test_the_verdict_names_the_tasks():
    found = [Finding(f"{t} success", s, "") for t, s in (("a", SHOWN), ("b", NOT_SHOWN), ("c", NOT_SHOWN))]
    assert summary(found) == "reproduced in part: shown in a; not shown in b and c"
    assert summary(found[:1]) == "reproduced: shown in a"
    assert summary([*found, Finding("d success", OPPOSITE, "")]).startswith(
        "mixed: shown in a; the opposite in d;"
    )


def test_few_models_give_no_verdict():
    table = planted(0.9, 0.0, count=7)
    (finding,) = table.findings()
    assert finding.status == NOT_MEASURED and "7 models" in finding.sentence
    assert not table.rows()


def test_from_models_to_verdict_and_plot(shop, tmp_path):
    evaluation = Evaluation(("image-goal",), split=shop.lists["image-goal"], concurrency=2)
    config = ControllabilityVsQuality(
        CHEAP, tmp_path / "study", 1, ("quality", "controllability"), evaluation
    )
    result = controllability_vs_quality(config)
    kept = json.loads((tmp_path / "study" / "study.json").read_text())
    found = {row["metric"]: row for row in kept["asked"]["correlations"]}
    assert {CONTROL, QUALITY, "psnr"} <= found.keys()
    assert found["psnr"]["models"] == len(CHEAP)
    assert [a.name for a in result.arms] == list(CHEAP)
    metrics = {a.name: a.facts["metrics_better_upwards"]["image-goal"] for a in result.arms}
    assert metrics["oracle"][CONTROL] > metrics["frozen"][CONTROL]
    assert metrics["oracle"][CONTROL] > metrics["oracle-wrong:share=1.0"][CONTROL]
    svg = (tmp_path / "study" / "study.svg").read_text()
    assert svg.count('class="model"') == 2 * len(CHEAP)
    again = controllability_vs_quality(config)
    assert again.to_dict() == result.to_dict()


def test_models_without_weights_are_measured_together_and_score_as_alone(shop, tmp_path, monkeypatch):
    calls = []

    def counted(subjects, *rest, **options):
        calls.append([folder.name for _, folder in subjects])
        return measure(subjects, *rest, **options)

    monkeypatch.setattr(controllability_vs_quality_module, "measure", counted)
    evaluation = Evaluation(("image-goal",), split=shop.lists["image-goal"])
    specs = (*CHEAP[1:], "video-base")
    together, alone = (
        _Work(
            ControllabilityVsQuality(specs, tmp_path / name, 1, ("controllability",), evaluation),
            lambda *_: None,
        )
        for name in ("together", "alone")
    )
    together.measure_together()
    assert calls == [[re.sub(r"[^\w.=-]+", "-", s) for s in CHEAP[1:]]]
    model, name = alone._model("frozen")
    alone._measure({name: model}, HOUSE)
    ours, theirs = (w._scores(name, HOUSE) for w in (together, alone))
    assert ours.keys() == theirs.keys() and CONTROL in ours
    for metric in ours:
        np.testing.assert_array_equal(ours[metric].values, theirs[metric].values)


def test_a_model_that_imagines_nothing_is_refused_before_anything_runs(shop, tmp_path):
    evaluation = Evaluation(("image-goal",), split=shop.lists["image-goal"])
    with pytest.raises(InputError, match="imagines nothing"):
        controllability_vs_quality(
            ControllabilityVsQuality((*CHEAP, "none"), tmp_path, evaluation=evaluation)
        )
    assert not (tmp_path / "metrics").exists() and not (tmp_path / "runs").exists()


def test_what_cannot_be_correlated_is_refused_before_anything_runs():
    with pytest.raises(InputError, match="fewer than 8"):
        ControllabilityVsQuality(CHEAP[:5])
    with pytest.raises(InputError, match="twice"):
        ControllabilityVsQuality((*CHEAP, "frozen"))
    with pytest.raises(InputError, match="closed loop"):
        ControllabilityVsQuality(CHEAP, evaluation=Evaluation(closed_loop=False))
