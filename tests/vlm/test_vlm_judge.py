"""The LLM judge: grades, bad servers, and a memory of what was graded."""

from __future__ import annotations

import asyncio
import json

import pytest

from worldloop.agents.vlm.calls import read_calls
from worldloop.agents.vlm.judge import JUDGED_NAME, llm
from worldloop.cli.main import main
from worldloop.core import InputError, ServerError
from worldloop.tasks.embodied_qa import EmbodiedQa

from hostile import HostileServer

KEY = "canary-0123456789"


def test_it_grades_once_and_never_guesses(tmp_path):
    with HostileServer(lambda number, body: {"why": "", "grade": 7} if number == 0 else None) as server:
        judge = llm(base_url=server.url, model="fake", key_env="", retries=0)
        asyncio.run(judge.open(tmp_path, {}, lambda picture: ""))
        assert judge.judge("What is it?", ["a chair", "a seat"], "a stool") == 4
        assert len(server.bodies) == 2  # 7 is no grade
        asyncio.run(judge.close())
        asyncio.run(judge.open(tmp_path, {}, lambda picture: ""))
        assert judge.judge("What is it?", ["a chair", "a seat"], "a stool") == 4
        assert judge.judge("What is it?", ["a chair"], " ") == 1
        assert len(server.bodies) == 2
        said = server.bodies[0]["messages"][-1]["content"]
        assert "a chair; or: a seat" in said and "Given: a stool" in said
        with pytest.raises(InputError, match="no accepted answer"):
            judge.judge("What is it?", [], "a stool")
    with pytest.raises(ServerError):
        judge.judge("What else?", ["a chair"], "a stool")


def test_its_name_tells_what_grades_depend_on():
    address = {"base_url": "http://127.0.0.1:1/v1", "model": "fake", "key_env": ""}
    name = llm(**address).name
    assert name.startswith("llm:fake:") and name == llm(**{**address, "retries": 9}).name
    assert name != llm(**address, temperature=1.0).name
    task = EmbodiedQa("llm", **address)
    assert task.version == f"1+{name}" and task.resources == (task.judge,)
    assert EmbodiedQa().resources == ()
    for options, words in (
        ({"model": "x"}, "needs base_url"),
        ({**address, "color": 1}, "no option 'color'"),
    ):
        with pytest.raises(InputError, match=words):
            EmbodiedQa("llm", **options)
    with pytest.raises(InputError, match="belong to a judge that is named"):
        EmbodiedQa(task.judge, model="x")


def test_a_run_keeps_what_its_judge_was_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CANARY", KEY)
    with HostileServer(lambda number, body: "echo" if number == 0 else None) as server:
        task = f"embodied-qa:judge=llm,base_url={server.url},model=fake,key_env=CANARY,retries=1"
        asked = ["--agent", "blind", "--model", "none", "--split", "mini", "--episodes", "2"]
        command = ["run", "--task", task, *asked]
        assert main([*command, "--out", str(tmp_path), "--json"]) == 0
        table = json.loads(capsys.readouterr().out)["leaderboard"]["tasks"][0]
        assert table["rows"][0]["score"]["value"] == 75.0
        folder = next(tmp_path.glob("**/none"))
        assert len(server.bodies) == len(read_calls(folder, JUDGED_NAME)) > 1
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes()
