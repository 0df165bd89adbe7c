"""What `worldloop run` says when a model fails, and what it refuses before it starts."""

from __future__ import annotations

import json

import pytest

from worldloop.cli.main import main

BAD = """
from worldloop.core import ModelCard, Observation, Rollout

class Short:
    card = ModelCard("short", "forgets frames", "code")
    def simulate(self, queries):
        return [Rollout(()) for q in queries]

class Nameless:
    def simulate(self, queries):
        return []

class Magic(Short):
    card = ModelCard("magic", "asks for too much", "code", privileges=("magic",))

class Same(Short):
    pass

class Misspelt:
    card = ModelCard("misspelt", "reads nothing", "code", reads=("panorma",))
    def simulate(self, queries):
        return [Rollout((Observation(q.history[-1].rgb),) * len(q.plan)) for q in queries]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad_models.py").write_text(BAD)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_run_in_which_everything_fails_says_why_and_is_no_success(here, capsys):
    command = [
        "run",
        "--task",
        "image-goal",
        "--model",
        "bad_models.Short",
        "--episodes",
        "1",
        "--out",
        "runs",
    ]
    assert main(command) == 1
    said = capsys.readouterr()
    assert "predicted 0 frames for a plan of 5" in said.err and "1 did not finish" in said.err
    assert main([*command, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["leaderboard"]["tasks"][0]["rows"][0]["not_finished"]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("bad_models.Nameless", "card = ModelCard"),
        ("bad_models.Magic", "unknown privileges: magic"),
        ("bad_models.Short,bad_models.Same", "call themselves 'short'"),
    ],
)
def test_what_cannot_work_is_refused_before_it_starts(here, capsys, model, words):
    assert main(["run", "--task", "image-goal", "--model", model, "--episodes", "1"]) == 2
    assert words in capsys.readouterr().err
    assert not (here / "runs").exists()


def test_the_conformance_check_knows_what_can_be_read(here, capsys):
    assert main(["check", "bad_models.Misspelt"]) == 1
    assert "panorma" in capsys.readouterr().out


def test_models_are_left_out_of_tasks_that_cannot_show_them_what_they_read(here, capsys):
    pytest.importorskip("mujoco")
    command = [
        "run",
        "--task",
        "manipulation,image-goal",
        "--model",
        "rotate-only",
        "--episodes",
        "1",
        "--json",
    ]
    assert main([*command, "--out", "runs"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["left_out"] == [
        "rotate-only is left out of manipulation, which has no panorama for it to read"
    ]
    assert [t["task"] for t in said["leaderboard"]["tasks"]] == ["image-goal"]
    assert not (here / "runs" / "manipulation").exists()
    command[2] = "manipulation"
    assert main([*command, "--out", "others"]) == 2
    assert "no task that was named can show it that" in capsys.readouterr().err
