"""The client against a server that misbehaves in every way it can."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from worldloop.agents.vlm.calls import Place, read_calls
from worldloop.agents.vlm.client import Client, Ledger, UnusableReplyError
from worldloop.agents.vlm.config import VlmConfig
from worldloop.agents.vlm.forms import grade_form
from worldloop.core import InputError, LimitExceededError, ServerError

from hostile import HostileServer

KEY = 'canary-/+key"5f3a\\9z'
QUICK = {"model": "fake", "retries": 2, "timeout": 20, "retry_after_cap": 0.3, "max_reply_bytes": 100_000}


def ask(server, times=1, folder=None, ledger=None, **options):
    """The replies to `times` requests that are sent at once."""
    config = VlmConfig(base_url=server.url, **{**QUICK, **options})

    async def go():
        client = Client(config)
        await client.open(folder, {})
        try:
            return await asyncio.gather(
                *[
                    client.ask(
                        Place("e", i, "judge"),
                        ledger or Ledger(),
                        [("user", (f"grade {i}",))],
                        grade_form(),
                        i,
                    )
                    for i in range(times)
                ]
            )
        finally:
            await client.close()

    return asyncio.run(go())


@pytest.mark.parametrize(
    "fault",
    ["500", "503", "408", "silence", "drip", "hang up", "half a body", "half a JSON", "no choices", "429 0"],
)
def test_a_passing_fault_is_tried_again(fault, tmp_path):
    with HostileServer(lambda number, body: fault if number == 0 else None) as server:
        (reply,) = ask(server, folder=tmp_path, timeout=1.5 if fault in ("silence", "drip") else 20)
    assert reply.value == 4 and reply.turns == 1 and len(server.bodies) == 2
    assert server.bodies[0] == server.bodies[1]
    first, second = read_calls(tmp_path)
    assert first["error"] and first["reply"] is None and (first["attempt"], second["attempt"]) == (0, 1)
    assert second["error"] is None and second["request"]["messages"] == server.bodies[1]["messages"]


@pytest.mark.parametrize("fault", ["500", "hang up", "half a JSON"])
def test_attempts_are_bounded(fault, tmp_path):
    with (
        HostileServer(lambda number, body: fault) as server,
        pytest.raises(ServerError, match="gave up after 3"),
    ):
        ask(server, folder=tmp_path)
    assert len(server.bodies) == 3
    assert "gave up" in read_calls(tmp_path)[-1]["failed"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("401", "is the key in OPENAI_API_KEY right"),
        ("404", "are base_url and model right"),
        ("422", "structured=none"),
        ("redirect", "status 307"),
        ("html", "text/html, not JSON"),
        ("huge", "longer than 100000 bytes"),
        ("gzip", "compressed its reply"),
    ],
)
def test_a_lasting_fault_is_not_tried_again(fault, words):
    with HostileServer(lambda number, body: fault) as server, pytest.raises(ServerError, match=words):
        ask(server)
    assert len(server.bodies) == 1


def test_no_server_at_all():
    with HostileServer() as server:
        pass
    with pytest.raises(
        ServerError, match="gave up after 3 attempts: the connection to the model server failed"
    ):
        ask(server)


def test_retry_after_is_kept_for_all_lanes_and_capped():
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    for asked, least, most in (("0.25", 0.25, 2), ("3600", 0.3, 2), (date, 0.3, 2), ("soon", 0.2, 2)):
        fault = f"429 {asked}"
        with HostileServer(lambda number, body, fault=fault: fault if number == 0 else None) as server:
            ask(server, times=3, lanes=1)
        gaps = [b - a for a, b in zip(server.times, server.times[1:])]
        # "soon" is no time: only the request itself waits.
        assert least <= (gaps[0] if asked != "soon" else server.times[-1] - server.times[0]) < most, (
            asked,
            gaps,
        )


def test_requests_a_minute_and_at_once():
    with HostileServer(delay=0.05) as server:
        ask(server, times=6, lanes=2)
        assert server.most_flying == 2
    with HostileServer() as server:
        ask(server, times=4, rpm=600)
    gaps = [b - a for a, b in zip(server.times, server.times[1:])]
    assert sum(gaps) > 0.25 and len(server.times) == 4


@pytest.mark.parametrize("fault", ["chatter", "empty", "cut content", "wrong content", "refusal"])
def test_an_unusable_reply_is_asked_again_with_what_is_wrong(fault):
    with HostileServer(lambda number, body: fault if number < 2 else None) as server:
        (reply,) = ask(server, ledger=(ledger := Ledger()))
    assert reply.value == 4 and reply.turns == 3 and ledger.calls == 3
    said = [m["role"] for m in server.bodies[2]["messages"]]
    assert said == ["user", "assistant", "user", "assistant", "user"]
    complaint = server.bodies[1]["messages"][-1]["content"]
    words = {
        "wrong content": "grade: Input should be less than or equal to 5",
        "refusal": "I would rather not",
    }
    assert words.get(fault, "holds no complete JSON object") in complaint
    with HostileServer(lambda number, body: fault) as server, pytest.raises(UnusableReplyError):
        ask(server, reask=1)
    assert len(server.bodies) == 2


def test_limits_of_an_episode():
    with HostileServer() as server:
        ledger = Ledger()
        ask(server, ledger=ledger, max_calls=1, price_in=10, price_out=100)
        used = ledger.completion_tokens
        assert ledger.prompt_tokens == 100 and used > 0
        assert ledger.cost == pytest.approx((100 * 10 + used * 100) / 1e6)
        for limit in ({"max_calls": 1}, {"max_episode_tokens": 100}, {"max_cost": 0.001, "price_in": 10}):
            with pytest.raises(LimitExceededError, match=next(iter(limit))):
                ask(server, ledger=ledger, **limit)
        assert len(server.bodies) == 1
    with HostileServer(lambda number, body: "no usage") as server:
        ask(server)
        with pytest.raises(ServerError, match="reports no usage"):
            ask(server, max_episode_tokens=10)


def everything(folder):
    return b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file()).decode("utf-8", "replace")


@pytest.mark.parametrize("fault", ["401", "500", "429 0", "echo", "redirect"])
def test_the_key_is_nowhere(fault, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("CANARY", KEY)
    caplog.set_level(logging.DEBUG)
    with HostileServer(lambda number, body: fault) as server:
        try:
            said = str(ask(server, folder=tmp_path, key_env="CANARY", retries=1))
        except ServerError as error:
            said = f"{error!r} {error.__cause__!r} {error.__context__!r}"
    assert {h["Authorization"] for h in server.headers} == {f"Bearer {KEY}"}  # it was sent, and came back
    for text in (said, everything(tmp_path), caplog.text):
        assert "canary" not in text and "5f3a" not in text
    assert fault == "redirect" or "[key]" in everything(tmp_path)


def test_a_key_that_cannot_be_kept_is_refused(monkeypatch):
    with HostileServer() as server:
        for key in ("short", "with space in it", "new\nline-in-it", "schlüssel-schlüssel"):
            monkeypatch.setenv("CANARY", key)
            with pytest.raises(InputError) as caught:
                ask(server, key_env="CANARY")
            assert key not in str(caught.value)
        monkeypatch.setenv("CANARY", "long-enough-key")
        with pytest.raises(InputError, match="holds the key of CANARY") as caught:
            ask(server, key_env="CANARY", model="long-enough-key")
        assert "long-enough-key" not in str(caught.value)
        ask(server, key_env="")
        assert "Authorization" not in server.headers[-1] and len(server.bodies) == 1
    server.url = "http://example.org/v1"
    with pytest.raises(InputError, match="unencrypted"):
        ask(server, key_env="CANARY")


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "ftp://x/v1"},
        {"base_url": "http://user:hush-hush@x/v1"},
        {"base_url": "http://x/v1?key=hush-hush"},
        {"base_url": "http://x:99999/v1"},
        {"temperature": 3},
        {"temperature": "warm"},
        {"retries": 1.5},
        {"retries": True},
        {"structured": "please"},
        {"max_cost": 1},
        {"api_key": "hush-hush"},
        {"timeout": float("nan")},
    ],
)
def test_options_are_checked(options):
    with pytest.raises(InputError) as caught:
        VlmConfig.of(options)
    assert "hush-hush" not in str(caught.value)


def test_a_request_has_what_was_asked_for():
    with HostileServer() as server:
        ask(server, temperature=None, token_field="max_completion_tokens", max_tokens=77, key_env="")
        ask(server, key_env="", logprobs=False)
    first, second = server.bodies
    assert "temperature" not in first and first["max_completion_tokens"] == 77 and first["logprobs"] is True
    assert second["temperature"] == 0.0 and second["max_tokens"] == 600 and "logprobs" not in second
    schema = first["response_format"]["json_schema"]
    assert schema["strict"] and schema["schema"]["additionalProperties"] is False
    assert schema["schema"]["required"] == ["why", "grade"]
    assert json.dumps(first)
