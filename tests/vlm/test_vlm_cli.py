"""`worldloop run --agent vlm`: both tasks of the house, from the command line to the leaderboard and back."""

from __future__ import annotations

import json

import pytest

from worldloop.agents.vlm.calls import read_calls
from worldloop.cli.main import main
from worldloop.runs import read_run, table_digest

from hostile import HostileServer

KEY = "canary-0123456789"


def command(out, agent):
    tasks = ["--task", "image-goal,active-recognition", "--model", "none,frozen", "--episodes", "1"]
    return ["run", *tasks, "--agent", agent, "--horizon", "3", "--out", str(out), "--json"]


def test_both_tasks_and_their_replay(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CANARY", KEY)
    with HostileServer(lambda number, body: "echo" if number % 5 == 0 else None) as server:
        agent = f"vlm:base_url={server.url},model=fake,key_env=CANARY"
        assert main(command(tmp_path / "live", agent)) == 0
    tables = {t["task"]: t for t in json.loads(capsys.readouterr().out)["leaderboard"]["tasks"]}
    assert set(tables) == {"image-goal", "active-recognition"}
    assert main(command(tmp_path / "again", f"vlm:replay={tmp_path / 'live'}")) == 0
    for task in tables:
        for model in ("none", "frozen"):
            live = tmp_path / "live" / task / model
            assert table_digest(live) == table_digest(tmp_path / "again" / task / model)
            purposes = {c["place"]["purpose"] for c in read_calls(live)}
            assert ("revise" in purposes) == (model == "frozen")
            assert ("answer" in purposes) == (task == "active-recognition")
            assert ("answer imagined" in purposes) == (task == "active-recognition" and model == "frozen")
    recognition = read_run(tmp_path / "live" / "active-recognition" / "none").records()[0]
    belief = json.loads(recognition.decisions[0].details_json)["belief"]
    assert belief["confidence_from"] in ("token probability", "stated")
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("vlm", "needs a server"),
        (
            "vlm:base_url=http://127.0.0.1:1/v1,model=x,api_key=hush-hush",
            "has no option 'api_key'; the key belongs",
        ),
        ("vlm:replay=nowhere", "does not exist"),
        ("vlm:base_url=http://u:hush-hush@h/v1,model=x", "no user, password"),
    ],
)
def test_what_is_refused_before_it_starts(agent, words, tmp_path, capsys):
    assert main(command(tmp_path, agent)) == 2
    said = "".join(capsys.readouterr().err.split("\n"))
    assert words in said and "hush-hush" not in said
    assert not list(tmp_path.iterdir())
