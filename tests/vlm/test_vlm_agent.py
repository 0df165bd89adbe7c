"""The agent in the loop: transcripts, resume, replay, kill, and tasks of any kind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from worldloop.actions import NAVIGATION
from worldloop.actions.gripper import gripper_vocabulary
from worldloop.agents import AGENTS
from worldloop.agents.vlm.calls import read_calls
from worldloop.agents.vlm.prompts import parse_prompt, prompt
from worldloop.core import Action, Candidate, Goal, InputError, Observation, Rollout, Situation, generator
from worldloop.engine import RunSettings, run
from worldloop.runs import read_run, table_digest

from fakes import FakeModel, FakeTask
from hostile import HostileServer

SETTINGS = RunSettings("fake", "fake", concurrency=3, keep_frames=0)


def agent(server, task="fake", **options):
    url = server if isinstance(server, str) else server.url
    spec = ",".join(f"{k}={json.dumps(v) if not isinstance(v, str) else v}" for k, v in options.items())
    return AGENTS.create(f"vlm:base_url={url},model=fake,retries=1,key_env=,{spec}".rstrip(","), task=task)


def play(folder, playing, count=3, model=None, settings=SETTINGS, delay=0.0, **options):
    task = FakeTask(count=count, delay=delay)
    return run(task, model or FakeModel(), playing, settings, folder, **options)


def test_a_run_its_transcript_and_its_replay(tmp_path):
    with HostileServer() as server:
        play(tmp_path / "live", agent(server))
    live = read_run(tmp_path / "live")
    assert [e.episode.status for e in live.records()] == ["finished"] * 3
    lines = read_calls(tmp_path / "live")
    assert len(lines) == len(server.bodies)
    purposes = {(line["place"]["purpose"]) for line in lines}
    assert purposes == {"propose", "revise"}
    frames = re.findall(r'"frame": "(\w+)"', json.dumps(lines))
    assert frames and all(live.frame(f).shape == (8, 8, 3) for f in set(frames))
    assert "data:image" not in json.dumps(lines) and "data:image/png;base64," in json.dumps(server.bodies)
    last = live.records()[0].decisions[-1]
    spent = json.loads(last.details_json)["vlm"]
    assert (
        spent["calls"] == 2 * len(live.records()[0].decisions)
        and spent["prompt_tokens"] == 100 * spent["calls"]
    )
    assert last.reason == "the language model's choice"

    play(tmp_path / "again", AGENTS.create(f"vlm:replay={tmp_path / 'live'}", task="fake"))
    assert table_digest(tmp_path / "again") == table_digest(tmp_path / "live")
    assert read_run(tmp_path / "again").header.spec_hash == live.header.spec_hash
    with pytest.raises(InputError, match="give none besides it"):
        AGENTS.create(f"vlm:replay={tmp_path / 'live'},temperature=1", task="fake")
    # Another world model shows other pictures: the proposals are known, what follows is not.
    blurred = FakeModel(name="other", privileges=())
    play(tmp_path / "other", AGENTS.create(f"vlm:replay={tmp_path / 'live'}", task="fake"), model=blurred)
    errors = {e.episode.error for e in read_run(tmp_path / "other").records()}
    assert len(errors) == 3 and all(
        "revise (turn 0) at decision 0" in e and "another request" in e for e in errors
    )


def test_a_lost_server_is_a_crash_and_a_retry_asks_only_what_is_lacking(tmp_path):
    with HostileServer(lambda number, body: "500" if number >= 4 else None) as server:
        play(tmp_path, agent(server), count=1)
    (lost,) = read_run(tmp_path).records()
    assert lost.episode.status == "crashed" and "gave up after 2 attempts" in lost.episode.error
    with HostileServer() as server:
        play(tmp_path, agent(server), count=1, retry_failed=True)
        asked = len(server.bodies)
    (again,) = read_run(tmp_path).records()
    assert again.episode.status == "finished" and asked == 2 * len(again.decisions) - 4
    with HostileServer() as server:
        play(tmp_path.parent / f"{tmp_path.name}-whole", agent(server), count=1)
    assert table_digest(tmp_path) == table_digest(tmp_path.parent / f"{tmp_path.name}-whole")


def test_unusable_replies_by_the_declared_rule(tmp_path):
    with HostileServer(lambda number, body: "chatter") as server:
        play(tmp_path / "crash", agent(server, reask=1), count=1)
        asked = len(server.bodies)
        play(tmp_path / "on", agent(server, reask=1, on_failure="continue"), count=1)
    (crash,), (on,) = read_run(tmp_path / "crash").records(), read_run(tmp_path / "on").records()
    assert crash.episode.status == "crashed" and "no usable reply in 2" in crash.episode.error and asked == 2
    assert on.episode.status == "finished"
    for decision in on.decisions:
        assert decision.reason == "first proposal: the language model failed"
        assert "no usable reply" in json.loads(decision.details_json)["vlm_failed"]
    assert "no usable reply" in json.loads(on.candidates[0].details_json)["vlm_failed"]
    for name in ("crash", "on"):
        replayed = AGENTS.create(f"vlm:replay={tmp_path / name}", task="fake")
        play(tmp_path / f"{name}-again", replayed, count=1)
        assert table_digest(tmp_path / f"{name}-again") == table_digest(tmp_path / name)


def test_an_episode_that_spends_too_much_is_timed_out(tmp_path):
    with HostileServer() as server:
        play(tmp_path, agent(server, max_calls=3), count=1)
    (entry,) = read_run(tmp_path).records()
    assert (
        entry.episode.status == "timed_out"
        and "max_calls=3" in entry.episode.error
        and len(server.bodies) == 3
    )


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="needs fork and SIGKILL")
def test_killed_and_resumed_no_answered_call_is_sent_twice(tmp_path):
    with HostileServer(delay=0.02) as server:
        play(tmp_path / "whole", agent(server), count=4)
        whole, kills = len(server.bodies), 0
        server.bodies.clear()
        folder = tmp_path / "killed"
        for least in (8, 16, 28):  # at most three of them are in flight
            child = os.fork()
            if child == 0:
                try:
                    play(folder, agent(server), count=4, delay=0.01)
                finally:
                    os._exit(0)
            deadline = time.monotonic() + 300
            while len(server.bodies) < least and time.monotonic() < deadline:
                time.sleep(0.005)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills += 1
            answered = {json.dumps(c["place"]) for c in read_calls(folder) if c["reply"]}
            before = len(server.bodies)
        with (folder / "calls.jsonl").open("ab") as file:  # as a crash of the machine leaves it
            file.write(b'{"place": {"episode": "fake-0')
        play(folder, agent(server), count=4)
        after = [json.dumps(c["place"]) for c in read_calls(folder)]
    assert kills == 3 and len(answered) > 12
    assert len(after) == len(set(after)) == whole  # what was answered before a kill was not asked again
    # What was in flight when killed (at most one for each of three episodes, three times) had to be.
    assert whole <= len(server.bodies) <= whole + 9 and before < len(server.bodies)
    assert table_digest(folder) == table_digest(tmp_path / "whole")


async def inline(function, *args):
    return function(*args)


def situation(vocabulary=NAVIGATION, goal=None, **more) -> Situation:
    black = np.zeros((16, 16, 3), np.uint8)
    seen = Observation(
        black, extra={"target_box": np.array([2, 2, 9, 9], np.float32), "grip": np.array([0.5])}
    )
    fields = {
        "goal": goal or Goal("look", image=black),
        "vocabulary": vocabulary,
        "budget": 10,
        "rollouts": 2,
        "horizon": 4,
        "execute": 2,
        "compute": inline,
        "draw": lambda purpose, *more: generator(0, purpose, *more),
        "history": [seen],
        "episode": "e",
    }
    return Situation(**{**fields, **more})


def asked(server, work, task="fake", **options):
    """Open the agent outside a run, let `work(agent)` ask, and close it."""

    async def go():
        playing = agent(server, task, **options)
        await playing.resources[0].open(None, {})
        try:
            return await work(playing)
        finally:
            await playing.resources[0].close()

    return asyncio.run(go())


def test_a_continuous_vocabulary_and_small_numbers():
    with HostileServer() as server:
        found = asked(server, lambda a: a.proposer.propose(situation(gripper_vocabulary())))
    assert len(found) == 2 and all(len(c.plan) == 4 and len(c.plan.actions[0].values) == 7 for c in found)
    said = json.dumps(server.bodies[0]["messages"])
    assert "roll: from -180 to 180" in said and "grip: 0.5" in said


def test_stops_and_words_of_its_own():
    plans = [["Turn Left", "move-forward", "STOP"], ["stop"]]
    with HostileServer(lambda number, body: {"why": "", "plans": plans}) as server:
        first, second = asked(server, lambda a: a.proposer.propose(situation()))
    assert first.plan.names == ("turn_left", "move_forward", "stop", "stop") and set(second.plan.names) == {
        "stop"
    }
    # An agent that answers has no stop.
    with HostileServer(lambda number, body: {"why": "", "plans": plans} if number == 0 else None) as server:
        again = asked(server, lambda a: a.proposer.propose(situation()), task="active-recognition")
    assert "'stop' is no action" in server.bodies[1]["messages"][-1]["content"]
    assert not any("stop" in c.plan.names for c in again)


def test_equal_proposals_are_one():
    same = ["turn_left"] * 4
    with HostileServer(lambda number, body: {"why": "", "plans": [same, same]}) as server:
        (only,) = asked(server, lambda a: a.proposer.propose(situation()))
    assert only.details == {"proposed": 2}


def test_a_plan_of_its_own_and_the_first_one_without_imagination():
    now = situation()
    frame = Observation(np.full((16, 16, 3), 99, np.uint8))
    bare = [Candidate(NAVIGATION.plan([n] * 4)) for n in ("turn_left", "turn_right")]
    shown = [replace(c, rollout=Rollout((frame,) * 4)) for c in bare]
    own = {"why": "", "scores": [10, 20], "choice": None, "plan": ["move_forward", "turn_left"]}
    with HostileServer(lambda number, body: own) as server:
        decision = asked(server, lambda a: a.reviser.revise(now, shown))
        assert decision.chosen is None and decision.scores == (10, 20)
        assert decision.actions == (Action("move_forward"), Action("turn_left"))
        assert len(server.bodies) == 1
        first = asked(server, lambda a: a.reviser.revise(now, bare))
        assert first.chosen == 0 and first.actions == bare[0].plan.actions and len(server.bodies) == 1
    images = [p for p in server.bodies[0]["messages"][1]["content"] if p["type"] == "image_url"]
    assert len(images) == 1 + 1 + 2 * 3  # goal, now, three of the four frames of each plan


@pytest.mark.parametrize(
    ("fault", "source", "sure"),
    [(None, "token probability", 0.9**2), ("no logprobs", "stated", 0.6), ("other logprobs", "stated", 0.6)],
)
def test_confidence_says_where_it_comes_from(fault, source, sure):
    goal = Goal("What is in the box?", classes=("arm chair", "table"))
    with HostileServer(lambda number, body: fault) as server:
        belief = asked(server, lambda a: a.answerer.answer(situation(goal=goal)), task="active-recognition")
    assert belief.answer == "arm chair" and belief.details == {
        "confidence_from": source,
        "stated_confidence": 0.6,
    }
    content = json.dumps({"why": "so", "answer": "arm chair", "confidence": 0.6})
    start = content.index("arm chair")
    pieces = (start + len("arm chair") - 1) // 5 - start // 5 + 1
    assert belief.confidence == pytest.approx(0.9**pieces if source != "stated" else sure, abs=1e-5)


def test_words_alone_for_a_model_without_eyes():
    with HostileServer() as server:
        asked(server, lambda a: a.proposer.propose(situation()), images=False)
    assert all(isinstance(m["content"], str) for m in server.bodies[0]["messages"])


def test_prompts_say_what_they_are():
    for name in ("propose", "revise", "answer", "judge"):
        assert "2510.18135" in prompt(name).source and prompt(name).version == "1"
    changed = parse_prompt("x", "version: 1\nsource: y\n---\n[user]\nsay {{word}}\n")
    assert changed.fill({"word": "hi"}) == [("user", ("say hi",))]
    assert changed.digest != parse_prompt("x", "version: 1\nsource: y\n---\n[user]\nsay {{word}}!\n").digest
    with pytest.raises(InputError, match="lacks word"):
        changed.fill({})
    for broken in ("", "version: 1\n---\n[user]\nx", "version: 1\nsource: y\n[user]\nx"):
        with pytest.raises(InputError, match="needs a header"):
            parse_prompt("x", broken)


def test_another_prompt_or_option_is_another_agent():
    with HostileServer() as server:
        one, other = agent(server), agent(server, temperature=0.5)
        moved = agent("http://127.0.0.1:9/v1", timeout=9)
    assert one.settings != other.settings and one.settings == moved.settings
    assert one.settings["prompts"]["propose"] == f"1 {prompt('propose').digest}"
    for spec in ("vlm", "vlm:model=x", "vlm:base_url=http://127.0.0.1:1/v1"):
        with pytest.raises(InputError, match="needs a server"):
            AGENTS.create(spec, task="fake")
