"""`worldloop study`: what it prints and what it refuses."""

from __future__ import annotations

import json

import pytest

from worldloop.cli.main import main
from worldloop.models.video import load_checkpoint

pytest.importorskip("peft")


def test_the_command_prints_the_verdict_and_where_it_is(tmp_path, shop, capsys):
    command = [
        "study",
        "data-scaling",
        "--base",
        shop.base,
        "--data",
        shop.data,
        "--sizes",
        "4,8",
        "--batch",
        "4",
    ]
    command += ["--rank", "1", "--sampling-steps", "1", "--trials", "3", "--open-loop-only"]
    command += ["--out", str(tmp_path)]
    assert main([*command, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads((tmp_path / "study.json").read_text()) and said["study"] == "data-scaling"
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert f"Verdict: {said['verdict']}" in printed and "study.svg" in printed and "frozen" in printed
    assert not (tmp_path / "runs").exists()
    adapted = load_checkpoint(tmp_path / "models" / "examples-8" / "adapted.safetensors")
    assert adapted.spec.sampler.steps == 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["data-scaling"], "--base FILE"),
        (["data-scaling", "--base", "b"], "--data DIR"),
        (["data-scaling", "--base", "b", "--data", "d", "--sizes", "many"], "whole numbers"),
        (["controllability-vs-quality", "--episodes", "manipulation=few"], "TASK=N"),
        (["controllability-vs-quality", "--episodes", "manipulation=0"], "at least 1"),
        (["controllability-vs-quality", "--tasks", "image-goal", "--episodes", "cooking=3"], "names cooking"),
        (
            ["data-scaling", "--base", "b", "--data", "d", "--model", "oracle"],
            "--model does not belong to data",
        ),
        (["data-scaling", "--base", "b", "--data", "d"], "no weights at b"),
        (["control-format", "--control", "code"], "--control does not belong to control-format"),
        (["compute-scaling"], "--model SPEC"),
        (["compute-scaling", "--model", "orakel"], "did you mean 'oracle'"),
        (["compute-scaling", "--model", "oracle", "--rollouts", "0,2"], "from 1 upwards"),
        (["compute-scaling", "--model", "oracle", "--tasks", "image-gaol"], "image-goal"),
        (["adaptation-vs-scale", "--models", "small=x"], "small-adapted=FILE"),
        (["adaptation-vs-scale", "--models", "small-adapted"], "ROLE=FILE"),
        (["adaptation-vs-scale", "--models", "small-adapted=x,large-base=y"], "no weights at x"),
        (["style-transfer", "--models", "base=x"], "base=FILE,adapted=FILE"),
        (["style-transfer", "--models", "base=x,adapted=y", "--rank", "2"], "--rank is for training"),
        (["style-transfer", "--models", "base=x,adapted=y"], "no weights at x"),
        (["style-transfer", "--base", "b", "--data", "d", "--trials", "0"], "--trials"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_wrong_commands_end_in_a_sentence(command, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["study", *command]) == 2
    said = capsys.readouterr().err
    assert words in said.replace("\n", " ") and "Traceback" not in said
    assert not list(tmp_path.rglob("*.safetensors"))
