"""A question that hangs is asked a second time, and costs the model nothing more; without the option, never."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from worldloop.core import InputError, ServerError
from worldloop.models import retrying
from worldloop.models.remote.client import RemoteModel

from served import Shift, queries, same, serving


class Hanging:
    """An application that lets some requests hang, by their number, until the client leaves."""

    def __init__(self, app, hang: tuple[int, ...], status: int = 0) -> None:
        self.app, self.hang, self.status = app, hang, status
        self.asked, self.left = 0, threading.Event()

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        self.asked += 1
        if self.asked not in self.hang:
            await self.app(scope, receive, send)
            return
        while (await receive())["type"] != "http.disconnect":
            await asyncio.sleep(0)
        self.left.set()


def hanging(made: list, *numbers: int):
    def wrap(app):
        made.append(Hanging(app, numbers))
        return made[0]

    return wrap


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 0.01)


def test_a_request_that_hangs_is_overtaken_and_called_off():
    model, made, asked = Shift(), [], queries(2)
    with serving(model, wrap=hanging(made, 1)) as url:
        found = RemoteModel(url, hedge=0.1).simulate(asked)
        assert made[0].left.wait(30)
    assert all(map(same, found, Shift().simulate(asked)))
    assert made[0].asked == 2 and model.batches == [2]


def test_both_requests_are_one_question_to_the_model():
    model, asked = Shift(gate=True), queries(3)
    with serving(model) as url, ThreadPoolExecutor(1) as pool:
        found = pool.submit(RemoteModel(url, hedge=0.05).simulate, asked)
        while '"waiting":6' not in httpx2.get(url + "/v1/health").text:
            time.sleep(0.01)
        model.gate.set()
        assert all(map(same, found.result(), Shift().simulate(asked)))
    assert model.batches == [3]


def test_it_is_off_by_default_and_not_used_for_what_is_quick():
    made, asked = [], queries(1)
    with serving(Shift(seconds=0.3), wrap=hanging(made)) as url:
        RemoteModel(url).simulate(asked)
        assert made[0].asked == 1
        RemoteModel(url, hedge=30).simulate(queries(1, histories=2)[1:])
        assert made[0].asked == 2


def test_when_both_hang_the_deadline_holds():
    made = []
    with serving(Shift(), wrap=hanging(made, 1, 2)) as url:
        started = time.monotonic()
        with pytest.raises(ServerError, match="no answer"):
            RemoteModel(url, hedge=0.1, timeout=0.5, retries=0).simulate(queries(1))
        assert time.monotonic() - started < 20
    assert made[0].asked == 2


def test_hedging_goes_on_with_fresh_connections():
    made, asked = [], queries(1, histories=8)
    with serving(Shift(), wrap=hanging(made, 2, 5, 8)) as url:
        remote = RemoteModel(url, hedge=0.05)
        for query in asked:
            assert same(remote.simulate([query])[0], Shift().simulate([query])[0])


def test_a_hedge_is_a_number_of_seconds():
    with pytest.raises(InputError, match="hedge"):
        RemoteModel("http://127.0.0.1:9", hedge=-1)
