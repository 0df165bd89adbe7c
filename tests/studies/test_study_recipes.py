"""Each study end to end with untrained models: what it writes, what it refuses, and that it repeats nothing."""

from __future__ import annotations

import json
import shutil
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from worldloop.core import InputError, RunFolderError
from worldloop.runs import find_runs, read_run
from worldloop.studies import (
    AdaptationVsScale,
    ComputeScaling,
    ControlFormat,
    DataScaling,
    Ready,
    StyleTransfer,
    adaptation_vs_scale,
    adapters,
    compute_scaling,
    control_format,
    data_scaling,
    open_loop,
    style_transfer,
)
from worldloop.studies.result import CONTROLLABILITY, RECOVERED, success_in

pytest.importorskip("peft")
GOAL = success_in("image-goal")


def untimed(data: Any) -> Any:
    """Without what a clock says, and where it ran."""
    if isinstance(data, Mapping):
        timed = ("seconds", "runs", "weights")
        return {k: untimed(v) for k, v in data.items() if k not in timed}
    return [untimed(v) for v in data] if isinstance(data, list | tuple) else data


def stored(out: Path) -> dict[str, Any]:
    data = json.loads((out / "study.json").read_text())
    ET.fromstring((out / "study.svg").read_text())
    return data


@pytest.fixture(scope="module")
def scaling(shop, tmp_path_factory):
    """A finished data-scaling study, and its settings."""
    from worldloop.studies import Adaptation, Evaluation

    config = DataScaling(
        Adaptation(shop.base, (shop.data,), batch=4, rank=1),
        tmp_path_factory.mktemp("scaling") / "study",
        (4, 12),
        Evaluation(("image-goal",), shop.lists["image-goal"], trials=6, horizon=1, scenes=1),
    )
    return config, data_scaling(config)


def test_data_scaling_measures_the_base_and_each_size(scaling):
    config, result = scaling
    assert [(a.name, a.x) for a in result.arms] == [("base", 0), ("examples-4", 4), ("examples-12", 12)]
    assert result.measures == (CONTROLLABILITY, RECOVERED, GOAL)
    for arm in result.arms:
        assert arm.estimates[GOAL].n == 3 and 4 <= arm.estimates[CONTROLLABILITY].n <= 6
        assert arm.facts["parameters"] > 0 and arm.facts["weights_hash"] and not arm.facts["not_finished"]
    assert len({a.facts["weights_hash"] for a in result.arms}) == 3
    assert [a.facts.get("examples") for a in result.arms] == [None, 4, 12]
    assert [a.facts.get("steps") for a in result.arms] == [None, 1, 3]
    assert {(r.name, r.measure) for r in result.references} == {
        ("none", GOAL), ("oracle", GOAL), ("frozen", CONTROLLABILITY), ("frozen", RECOVERED), ("chance", RECOVERED),
    }  # fmt: skip
    deciding = [f for f in result.findings if f.deciding]
    assert [f.measure for f in deciding] == [GOAL] and deciding[0].sentence in result.verdict
    data = stored(config.out)
    assert (
        data == result.to_dict() and data["asked"]["sizes"] == [4, 12] and data["verdict"] == result.verdict
    )


def test_its_runs_are_ordinary_ones(scaling):
    config, _ = scaling
    runs = [read_run(f) for f in find_runs(config.out / "runs")]
    assert [r.folder.name for r in runs] == ["base", "examples-12", "examples-4", "none", "oracle"]
    assert all(r.complete and r.header.status == "complete" for r in runs)


def test_the_same_call_repeats_nothing(scaling, monkeypatch):
    config, result = scaling
    before = {p: p.stat().st_mtime_ns for p in (config.out / "models").rglob("*.safetensors")}
    for module, name in ((adapters, "train_sft"), (open_loop, "score_model"), (open_loop, "draw_trials")):
        monkeypatch.setattr(module, name, lambda *a, **k: pytest.fail("done already"))
    monkeypatch.setattr(sys.modules["worldloop.engine.run"], "_all", lambda *a: pytest.fail("done already"))
    assert data_scaling(config).to_dict() == result.to_dict()
    assert before == {p: p.stat().st_mtime_ns for p in (config.out / "models").rglob("*.safetensors")}


@pytest.mark.parametrize(
    ("stage", "count"),
    [
        ("train examples-12", 2),
        ("open loop: examples-4", 6),
        ("image-goal: examples-12", 1),
        ("image-goal: oracle", 2),
    ],
)
def test_a_killed_study_ends_the_same(scaling, tmp_path, monkeypatch, stage, count):
    config, result = scaling
    again, trained, scored = replace(config, out=tmp_path / "study"), [], []

    def kill(what: str, done: int, total: int) -> None:
        if (what, done) == (stage, count):
            raise KeyboardInterrupt

    real_train, real_score = adapters.train_sft, open_loop.score_model

    def train(settings, *rest):
        trained.append(settings.out.name)
        return real_train(settings, *rest)

    def score(model, *rest):
        scored.append(model.card.weights_hash)
        return real_score(model, *rest)

    monkeypatch.setattr(adapters, "train_sft", train)
    monkeypatch.setattr(open_loop, "score_model", score)
    with pytest.raises(KeyboardInterrupt):
        data_scaling(again, kill)
    assert not (again.out / "study.json").exists()
    assert untimed(data_scaling(again).to_dict()) == untimed(result.to_dict())
    doubled = {"examples-12"} if stage.startswith("train") else set()
    assert {n for n in trained if trained.count(n) > 1} == doubled
    extra = 1 if stage.startswith("open loop") else 0
    assert len(scored) == 4 + extra


def test_more_sizes_use_the_models_that_are_there(scaling, tmp_path, monkeypatch):
    config, _ = scaling
    shutil.copytree(config.out, tmp_path / "study")
    trained = []
    real = adapters.train_sft
    monkeypatch.setattr(
        adapters,
        "train_sft",
        lambda settings, *rest: (trained.append(settings.out.name), real(settings, *rest))[1],
    )
    open_only = replace(config.evaluation, closed_loop=False)
    more = replace(config, out=tmp_path / "study", sizes=(4, 8, 12), evaluation=open_only)
    result = data_scaling(more)
    assert trained == ["examples-8"] and result.measures == (CONTROLLABILITY, RECOVERED)
    assert all(f.deciding for f in result.findings) and "(open loop only)" in result.verdict


def test_other_settings_or_damage_are_noticed(scaling, tmp_path):
    config, result = scaling
    out = tmp_path / "study"
    shutil.copytree(config.out, out)
    with pytest.raises(InputError, match="learning_rate"):
        data_scaling(replace(config, out=out, adaptation=replace(config.adaptation, learning_rate=0.5)))
    with pytest.raises(RunFolderError, match="episode"):
        data_scaling(replace(config, out=out, evaluation=replace(config.evaluation, episodes=2)))
    with pytest.raises(InputError, match="data-scaling"):
        compute_scaling(ComputeScaling("frozen", out, (1, 2), config.evaluation))
    weights = out / "models" / "examples-4" / "adapted.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])
    (out / "open_loop" / "base.json").write_text("{}")
    assert untimed(data_scaling(replace(config, out=out)).to_dict()) == untimed(result.to_dict())
    (out / "models" / "examples-4" / "asked.json").unlink()
    with pytest.raises(InputError, match="unknown settings"):
        data_scaling(replace(config, out=out))


def test_reference_runs_are_taken_when_the_lists_agree(scaling, tmp_path, evaluation):
    config, result = scaling
    given = replace(evaluation, reference_runs=str(config.out / "runs"))
    study = ComputeScaling("frozen", tmp_path / "c", (1, 3), given)
    with pytest.raises(InputError, match=r"spec\.rollouts"):
        compute_scaling(study)
    other = replace(config, out=tmp_path / "d", sizes=(4,), evaluation=replace(given, trials=3))
    again = data_scaling(other)
    found = {r.name: r for r in again.references if r.measure == GOAL}
    for name in ("oracle", "base"):
        assert not (tmp_path / "d" / "runs" / "image-goal" / name).exists()
    assert again.arms[0].estimates[GOAL] == result.arms[0].estimates[GOAL]
    assert found["oracle"].estimate == next(
        r.estimate for r in result.references if (r.name, r.measure) == ("oracle", GOAL)
    )
    shorter = data_scaling(
        replace(other, out=tmp_path / "e", evaluation=replace(given, episodes={"image-goal": 2}))
    )
    estimate = shorter.arms[0].estimates[GOAL]
    (kept,) = [r for r in map(read_run, find_runs(config.out / "runs")) if r.folder.name == "base"]
    assert estimate.n == 2 and estimate.value == sum(kept.episodes["success"].to_pylist()[:2]) / 2
    assert not (tmp_path / "e" / "runs" / "image-goal" / "base").exists()
    with pytest.raises(InputError, match="differs in"):
        data_scaling(replace(other, evaluation=replace(given, split="mini")))
    with pytest.raises(InputError, match="no run of 'none' in active-recognition"):
        data_scaling(replace(other, evaluation=replace(given, tasks=("active-recognition",), split="mini")))


@pytest.mark.parametrize("task", ["active-recognition", "image-goal"])
def test_compute_scaling_pairs_with_the_fewest_rollouts(tmp_path, shop, evaluation, task):
    listed = replace(evaluation, tasks=(task,), split=shop.lists[task], episodes=2)
    result = compute_scaling(ComputeScaling("frozen", tmp_path, (1, 2, 5), listed))
    assert result.measures == (success_in(task),)
    (finding,) = result.findings
    assert [(c.minuend, c.subtrahend) for c in finding.contrasts] == [("M = 5", "M = 1"), ("M = 2", "M = 1")]
    imagined = [arm.facts["imagined_per_decision"][task] for arm in result.arms]
    assert all(count in (0, arm.x) for count, arm in zip(imagined, result.arms)) and any(imagined)
    assert {r.name for r in result.references} == {"none (M = 1)", "oracle (M = 5)"}
    assert any("nothing to choose" in note for note in result.notes)
    assert stored(tmp_path)["asked"]["rollouts"] == [1, 2, 5]


def test_adaptation_vs_scale_compares_small_adapted_with_large(scaling, tmp_path, shop, evaluation):
    config, _ = scaling
    adapted = str(config.out / "models" / "examples-12" / "adapted.safetensors")
    models = {"large-base": shop.large, "small-base": shop.base, "small-adapted": adapted}
    result = adaptation_vs_scale(AdaptationVsScale(models, tmp_path / "a", evaluation))
    assert [a.name for a in result.arms] == ["small-base", "small-adapted", "large-base"]
    assert result.arms[2].facts["parameters"] > result.arms[1].facts["parameters"]
    (main,) = [f for f in result.findings if f.deciding]
    assert main.measure == GOAL
    assert (main.contrasts[0].minuend, main.contrasts[0].subtrahend) == ("small-adapted", "large-base")
    assert [f.contrasts[0].subtrahend for f in result.findings].count("small-base") == 3
    swapped = {"small-adapted": adapted, "large-base": shop.base}
    with pytest.raises(InputError, match="must be larger"):
        adaptation_vs_scale(AdaptationVsScale(swapped, tmp_path / "b", evaluation))
    with pytest.raises(InputError, match="was not post-trained"):
        models = {"small-adapted": shop.base, "large-base": shop.large}
        adaptation_vs_scale(AdaptationVsScale(models, tmp_path / "c", evaluation))
    with pytest.raises(InputError, match="small-adapted=FILE"):
        AdaptationVsScale({"large-base": shop.large})


def test_style_transfer_decides_on_unseen_styles(tmp_path, adaptation, evaluation):
    settings = replace(evaluation, trials=9)
    result = style_transfer(StyleTransfer(adaptation, tmp_path, 8, settings))
    assert [a.name for a in result.arms] == [f"{m}/{s}" for s in "ABC" for m in ("base", "adapted")]
    assert [a.label for a in result.arms[::2]] == ["A", "B (unseen)", "C (unseen)"]
    for arm in result.arms:
        assert arm.estimates[GOAL].n == 1 and arm.estimates[CONTROLLABILITY].n <= 3
    deciding = [f for f in result.findings if f.deciding]
    assert (
        len(deciding) == 2 and all("(unseen)" in f.sentence for f in deciding) and len(result.findings) == 9
    )
    assert {r.label for r in result.references if r.name == "none"} == {"A", "B", "C"}
    with pytest.raises(InputError, match="no episode in style"):
        style_transfer(StyleTransfer(adaptation, tmp_path / "few", 8, replace(settings, episodes=1)))
    there = str(tmp_path / "models" / "adapted" / "adapted.safetensors")
    given = replace(settings, reference_runs=str(tmp_path / "runs"))
    again = style_transfer(StyleTransfer(Ready(adaptation.base, there), tmp_path / "there", evaluation=given))
    assert again.findings == result.findings and not (tmp_path / "there" / "runs").exists()
    with pytest.raises(InputError, match="was not adapted from"):
        style_transfer(StyleTransfer(Ready(there, there), tmp_path / "wrong", evaluation=given))


def test_control_format_trains_all_formats_alike(tmp_path, adaptation, evaluation):
    open_only = replace(evaluation, closed_loop=False)
    result = control_format(ControlFormat(adaptation, tmp_path, 8, evaluation=open_only))
    assert [a.facts["control"] for a in result.arms] == ["text", "text", "code", "camera"]
    assert {(a.facts["examples"], a.facts["steps"]) for a in result.arms[1:]} == {(8, 2)}
    assert not (tmp_path / "runs").exists()
    (first, _) = result.findings
    assert first.sentence in result.verdict and len(first.contrasts) == 3
    assert stored(tmp_path)["asked"]["control"] == ["text", "code", "camera"]


def test_a_model_that_always_fails_is_not_a_finding(tmp_path, evaluation, monkeypatch):
    (tmp_path / "failing_model.py").write_text(
        "from worldloop.core import ModelCard\n"
        "class Failing:\n"
        "    card = ModelCard('failing', 'never answers', 'code')\n"
        "    def simulate(self, queries):\n"
        "        raise RuntimeError('no memory')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    result = compute_scaling(
        ComputeScaling("failing_model.Failing", tmp_path / "out", (1, 2), replace(evaluation, episodes=1))
    )
    assert (
        result.verdict.startswith("not measured: ") and "no memory" in result.verdict and not result.measured
    )
    assert result.arms[0].facts["not_finished"]["image-goal"]


def test_what_cannot_be_studied_is_refused_before_any_training(
    tmp_path, shop, adaptation, evaluation, monkeypatch
):
    monkeypatch.setattr(adapters, "train_sft", lambda *a: pytest.fail("must not train"))
    monkeypatch.setattr(open_loop, "draw_trials", lambda *a: pytest.fail("must not measure"))
    study = DataScaling(adaptation, tmp_path, (4,), evaluation)
    wrong = {
        "the data has 76 clips, not 5000": replace(study, sizes=(5000,)),
        "at least one batch": replace(study, sizes=(2,)),
        "no weights at": replace(study, adaptation=replace(adaptation, base="nowhere.safetensors")),
        "is no dataset": replace(study, adaptation=replace(adaptation, data=("nowhere",))),
        "--control": replace(study, adaptation=replace(adaptation, control="thought")),
        "no task": replace(study, evaluation=replace(evaluation, tasks=("fly",), split="mini")),
        "no split": replace(study, evaluation=replace(evaluation, split="moon")),
        "3 episodes": replace(study, evaluation=replace(evaluation, episodes=4)),
        "does not exist": replace(
            study, evaluation=replace(evaluation, reference_runs=str(tmp_path / "none"))
        ),
    }
    for words, config in wrong.items():
        with pytest.raises(InputError, match=words):
            data_scaling(config)
    for settings, words in (
        (lambda: replace(study, sizes=(8, 4)), "smallest first"),
        (lambda: replace(adaptation, data=()), "--data"),
        (lambda: replace(evaluation, trials=2), "--trials"),
        (lambda: replace(evaluation, tasks=("a", "b")), "episode file"),
        (lambda: ComputeScaling("frozen", rollouts=(3,)), "at least two"),
        (lambda: ComputeScaling("frozen", evaluation=replace(evaluation, closed_loop=False)), "closed loop"),
        (lambda: ControlFormat(adaptation, formats=("code",)), "two different"),
    ):
        with pytest.raises(InputError, match=words):
            settings()
    with pytest.raises(InputError, match="imagines nothing"):
        compute_scaling(ComputeScaling("none", tmp_path, (1, 2), evaluation))
