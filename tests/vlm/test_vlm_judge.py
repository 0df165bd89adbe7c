"""The LLM judge: grades, bad servers, and a memory of what was graded."""

from __future__ import annotations

import pytest

from worldloop.agents.vlm.judge import LlmJudge
from worldloop.core import InputError, ServerError

from hostile import HostileServer


def test_it_grades_once_and_never_guesses(tmp_path):
    with HostileServer(lambda number, body: {"why": "", "grade": 7} if number == 0 else None) as server:
        judge = LlmJudge.of(tmp_path, base_url=server.url, model="fake", key_env="", retries=0)
        assert judge("What is it?", ["a chair", "a seat"], "a stool") == 4
        assert len(server.bodies) == 2  # 7 is no grade
        assert judge("What is it?", ["a chair", "a seat"], "a stool") == 4
        assert len(server.bodies) == 2
        assert judge("What is it?", ["a chair"], " ") == judge("What is it?", ["a chair"], None) == 1
        assert len(server.bodies) == 2
        said = server.bodies[0]["messages"][-1]["content"]
        assert "a chair; or: a seat" in said and "Given: a stool" in said
        with pytest.raises(InputError, match="no accepted answer"):
            judge("What is it?", [], "a stool")
    with pytest.raises(ServerError):
        judge("What else?", ["a chair"], "a stool")
    with pytest.raises(InputError, match="needs base_url"):
        LlmJudge.of(model="x")
    assert judge.settings["judge"]["prompts"]["judge"].startswith("1 ")
