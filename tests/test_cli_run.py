"""What `worldloop run` says when a model fails, and what it refuses before it starts."""

from __future__ import annotations

import json

import pytest

from worldloop.cli.main import main
from worldloop.runs import read_run, table_digest

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


def test_tasks_may_have_numbers_of_episodes_of_their_own(here, capsys):
    command = [
        "run",
        "--task",
        "image-goal,active-recognition",
        "--model",
        "none",
        "--split",
        "mini",
        "--json",
    ]
    command += ["--time-limit", "0.001", "--out", "runs", "--episodes"]
    for numbers, words in (
        ("manipulation=3", "names manipulation; the tasks of this run are image-goal, active-recognition"),
        ("image-goal=x", "TASK=N"),
        ("image-goal=0", "at least 1"),
        ("many", "TASK=N"),
    ):
        assert main([*command, numbers]) == 2
        assert words in " ".join(capsys.readouterr().err.split())
    assert not (here / "runs").exists()
    main([*command, "image-goal=2,active-recognition=1"])
    run = {p.parent.parent.name: read_run(p.parent) for p in here.glob("runs/*/*/run.json")}
    assert {task: r.episodes.num_rows for task, r in run.items()} == {
        "image-goal": 2,
        "active-recognition": 1,
    }


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


WORLDS = """
from dataclasses import replace
from fakes import FakeTask, fake_agent
from worldloop.core import Budgets

class Pairs(FakeTask):
    def __init__(self):
        super().__init__(count=120, budgets=Budgets(rollouts=8, horizon=6, execute=2, budget=8))
        self.default_agent = "worlds.agent"
    def episodes(self, split):
        return [replace(e, scene=f"scene-{i // 2}") for i, e in enumerate(super().episodes(split))]

def agent(task):
    return fake_agent()
"""


def test_models_are_run_until_they_are_decided(here, capsys):
    """An early verdict is the one that the finished runs give when they are looked at in the same order."""
    (here / "worlds.py").write_text(WORLDS)
    command = ["run", "--task", "worlds.Pairs", "--model", "none,oracle,frozen", "--keep-frames", "0"]
    assert main([*command, "--until-decided", "--out", "runs", "--json"]) == 0
    (board,) = json.loads(capsys.readouterr().out)["sequential"]["tasks"]
    oracle, frozen = (next(r for r in board["rows"] if r["model"] == m) for m in ("oracle", "frozen"))
    assert oracle["found"]["verdict"] == "better" and oracle["found"]["episodes"] <= 100
    # What shows the same for all plans decides nothing, so it was run to the end, and `none` beside it.
    assert frozen["found"]["verdict"] == "undecided" and frozen["done"] == 120
    assert oracle["done"] < 120
    assert board["saved"] == pytest.approx(1 - (oracle["found"]["episodes"] + 120) / 240), (
        "undecided needs all"
    )
    headers = {f.parent.name: json.loads(f.read_text()) for f in (here / "runs").rglob("run.json")}
    assert {m: h["status"] for m, h in headers.items()} == {
        "none": "complete",
        "oracle": "running",
        "frozen": "complete",
    }
    assert not any(h["resumed"] for h in headers.values())
    # Killed or not, the same command says the same; without the option, it finishes.
    assert main([*command, "--until-decided", "--out", "runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sequential"]["tasks"] == [board]
    assert main([*command, "--out", "runs"]) == 0 and main([*command, "--out", "whole"]) == 0
    for model in ("none", "oracle", "frozen"):
        folder = f"worlds.Pairs/{model}"
        assert table_digest(here / "runs" / folder) == table_digest(here / "whole" / folder)
    capsys.readouterr()
    assert main(["compare", "whole", "--sequential", "--json"]) == 0
    (again,) = json.loads(capsys.readouterr().out)["tasks"]
    assert {r["model"]: r["found"] for r in again["rows"]} == {r["model"]: r["found"] for r in board["rows"]}
    assert main(["compare", "whole", "--sequential", "--margin", "0.3"]) == 0
    assert "better" in capsys.readouterr().out
    assert main(["compare", "whole", "--sequential", "--markdown"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("### fake: 120 episodes") and "| oracle | better |" in shown
    # The first scene of the order is missing, so what is done says nothing yet, and nothing was saved.
    for journal in (here / "whole").rglob("journal.jsonl"):
        journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:3]))
        header = json.loads((journal.parent / "run.json").read_text())
        (journal.parent / "run.json").write_text(json.dumps(header | {"status": "running"}))
    assert main(["compare", "whole", "--sequential"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "undecided 0 of 120" in shown and "more episodes are done" in shown and "not needed" not in shown


def test_a_verdict_needs_a_baseline_and_something_to_compare(here, capsys):
    (here / "worlds.py").write_text(WORLDS)
    run = ["run", "--task", "worlds.Pairs", "--out", "runs"]
    assert main([*run, "--model", "oracle,frozen", "--until-decided"]) == 2
    assert "compares models with `none`" in capsys.readouterr().err
    assert main([*run, "--model", "none,oracle", "--margin", "0.1"]) == 2
    assert "--margin belongs to" in capsys.readouterr().err
    for margin in ("0", "1.5"):
        assert main([*run, "--model", "none,oracle", "--until-decided", "--margin", margin]) == 2
        assert f"margin is {float(margin)}" in capsys.readouterr().err and not (here / "runs").exists()
    assert main([*run, "--model", "oracle", "--episodes", "2"]) == 0
    assert main(["compare", "runs", "--sequential"]) == 2
    assert "has 0 runs of 'none'" in capsys.readouterr().err


def test_runs_of_before_scenes_were_noted_are_read_and_resumed(here, capsys):
    (here / "worlds.py").write_text(WORLDS)
    command = ["run", "--task", "worlds.Pairs", "--model", "none", "--episodes", "4", "--out", "runs"]
    assert main(command) == 0
    path = here / "runs" / "worlds.Pairs" / "none" / "run.json"
    header = json.loads(path.read_text())
    assert header.pop("scenes") == ["scene-0", "scene-0", "scene-1", "scene-1"]
    path.write_text(json.dumps({**header, "status": "running"}))
    assert main(command) == 0 and len(read_run(path.parent).header.resumed) == 1
