"""A world model behind HTTP gives the same answers, whatever goes wrong on the way; and nobody else gets any."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import numpy as np
import pytest

from worldloop.core import InputError, ModelError, ServerError
from worldloop.engine.check import check_model
from worldloop.models import MODELS, retrying
from worldloop.models.remote import client, messages
from worldloop.models.remote.client import RemoteModel
from worldloop.models.remote.wire import pack, unpack
from worldloop.serving import ServeConfig, application

from served import Shift, queries, same, serving


@pytest.fixture(scope="module")
def url():
    with serving(Shift()) as address:
        yield address


@pytest.mark.parametrize("encoding", ["raw", "png"])
def test_answers_are_those_of_the_model(url, encoding):
    asked = queries(3, histories=2)
    found = RemoteModel(url, encoding=encoding).simulate(asked)
    assert all(map(same, found, Shift().simulate(asked)))


def test_the_card_is_that_of_the_model(url):
    remote, own = MODELS.create(url), Shift().card
    assert remote.card == own and remote.simulate([]) == []
    assert MODELS.create(f"remote:url={url},lanes=2").lanes == 2


def test_a_remote_model_passes_the_check():
    with serving(MODELS.create("rotate-only")) as address:
        report = check_model(MODELS.create(address))
    assert report.passed, report.items
    assert report.model == "rotate-only"


def test_clients_share_batches():
    model = Shift(seconds=0.1)
    with serving(model) as address, ThreadPoolExecutor(8) as pool:
        remotes = [RemoteModel(address) for _ in range(8)]
        asked = [queries(2, histories=8)[2 * i : 2 * i + 2] for i in range(8)]
        found = list(pool.map(lambda r, q: r.simulate(q), remotes, asked))
    assert all(same(a, b) for f, q in zip(found, asked) for a, b in zip(f, Shift().simulate(q)))
    assert sum(model.batches) == 16 and max(model.batches) > 2


def test_a_question_that_is_asked_again_is_not_simulated_again(url):
    model = Shift()
    with serving(model) as address:
        for _ in range(3):
            RemoteModel(address).simulate(queries(2))
        told = httpx2.get(address + "/v1/metrics").text
    assert model.batches == [2]
    assert "worldloop_cache_hits 4" in told and "worldloop_candidates 6" in told


def test_a_model_that_fails_is_not_asked_again():
    model = Shift(fails=RuntimeError("a weight is missing"))
    with serving(model) as address, pytest.raises(ModelError, match="a weight is missing"):
        RemoteModel(address).simulate(queries(1))
    assert model.batches == [1]


def test_a_question_that_a_model_refuses_is_not_asked_again():
    model = Shift(fails=InputError("it knows no doors"))
    with serving(model) as address, pytest.raises(ModelError, match="it knows no doors"):
        RemoteModel(address).simulate(queries(1))
    assert model.batches == [1]


def test_strangers_are_turned_away(monkeypatch):
    with serving(Shift(), token="open-sesame") as address:
        for header in ({}, {"Authorization": "Bearer wrong-token"}, {"Authorization": "Basic open-sesame"}):
            for path in ("/v1/spec", "/v1/metrics"):
                assert httpx2.get(address + path, headers=header).status_code == 401
            assert httpx2.post(address + "/v1/rollouts", headers=header, content=b"x").status_code == 401
        assert httpx2.get(address + "/v1/health").status_code == 200
        monkeypatch.delenv(client.TOKEN_ENV, raising=False)
        with pytest.raises(ServerError, match=client.TOKEN_ENV):
            RemoteModel(address)
        monkeypatch.setenv(client.TOKEN_ENV, "open-sesame")
        assert len(RemoteModel(address).simulate(queries(1))) == 1


def test_other_machines_need_a_token():
    with pytest.raises(InputError, match="token"):
        ServeConfig(host="0.0.0.0")
    assert ServeConfig(host="0.0.0.0", token="open-sesame").host == "0.0.0.0"


@pytest.mark.parametrize("name", ["none", "oracle"])
def test_models_that_cannot_be_served(name):
    with pytest.raises(InputError, match="cannot be served"):
        application(MODELS.create(name), ServeConfig())


def test_requests_that_are_refused(url):
    assert httpx2.get(url + "/v1/elsewhere").status_code == 404
    assert httpx2.get(url + "/v1/rollouts").status_code == 405
    assert httpx2.get(url + "/v1/../../etc/passwd").status_code == 404
    for body in (b"", b"\xc1", b"{}", pack({"version": 2}), pack([1, 2])):
        reply = httpx2.post(url + "/v1/rollouts", content=body)
        assert reply.status_code == 400 and reply.json()["error"]["kind"] == "message"
    with serving(Shift(), max_request_bytes=1000) as small:
        assert httpx2.post(small + "/v1/rollouts", content=b"x" * 1001).status_code == 413
        pieces = (b"x" * 100 for _ in range(11))
        assert httpx2.post(small + "/v1/rollouts", content=pieces).status_code == 413


def test_too_much_at_once():
    model, bodies = (
        Shift(gate=True),
        [pack(messages.question(queries(2, histories=2)[i : i + 2])) for i in (0, 2)],
    )
    with serving(model, max_waiting=2) as address, ThreadPoolExecutor(1) as pool:
        first = pool.submit(httpx2.post, address + "/v1/rollouts", content=bodies[0], timeout=60)
        assert model.entered.wait(60)
        second = httpx2.post(address + "/v1/rollouts", content=bodies[1], timeout=60)
        model.gate.set()
        assert first.result().status_code == 200
    assert second.status_code == 503 and second.headers["retry-after"] == "1"


def test_too_slow():
    model, body = Shift(gate=True), pack(messages.question(queries(1)))
    with serving(model, time_limit=0.1) as address:
        assert httpx2.post(address + "/v1/rollouts", content=body, timeout=60).status_code == 504
        model.gate.set()


def test_who_leaves_is_not_simulated_for():
    model, bodies = Shift(gate=True), [pack(messages.question([q])) for q in queries(1, histories=2)]
    with serving(model) as address, ThreadPoolExecutor(1) as pool:
        first = pool.submit(httpx2.post, address + "/v1/rollouts", content=bodies[0], timeout=60)
        assert model.entered.wait(60)
        with pytest.raises(httpx2.TimeoutException):
            httpx2.post(address + "/v1/rollouts", content=bodies[1], timeout=0.5)
        while "worldloop_abandoned 1" not in httpx2.get(address + "/v1/metrics").text:
            time.sleep(0.05)
        model.gate.set()
        assert first.result().status_code == 200
        RemoteModel(address).simulate(queries(1))
    assert sum(model.batches) == 1


class Hostile(BaseHTTPRequestHandler):
    """Fails in another way each time, and answers at last."""

    faults: tuple[str, ...] = ()
    asked = 0
    good = b""

    def do_GET(self):
        spec = {"protocol": 1, "card": messages.card_message(Shift().card), "limits": {"max_batch": "many"}}
        self.reply(200, json.dumps(spec).encode())

    def do_POST(self):
        kind = type(self)
        fault = kind.faults[kind.asked] if kind.asked < len(kind.faults) else ""
        kind.asked += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind.good = pack(messages.answer(Shift().simulate(messages.read_question(unpack(body))), {}))
        if fault == "cut off":
            self.send_response(200)
            self.send_header("Content-Length", str(len(kind.good)))
            self.end_headers()
            self.wfile.write(kind.good[: len(kind.good) // 2])
            self.close_connection = True
        elif fault == "hangs up":
            self.close_connection = True
        elif fault == "nonsense":
            self.reply(200, b"\x93\x01")
        elif fault == "one too few":
            self.reply(200, pack({"version": 1, "rollouts": []}))
        elif fault:
            self.reply(int(fault), b"{}", {"Retry-After": "0"})
        else:
            self.reply(200, kind.good)

    def reply(self, status, body, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def hostile(monkeypatch):
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 0.001)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Once", (Hostile,), {}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.RequestHandlerClass, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_what_fails_in_passing_is_asked_again(hostile):
    handler, address = hostile
    handler.faults = ("500", "cut off", "hangs up", "nonsense", "one too few", "429", "503")
    asked = queries(2)
    found = RemoteModel(address, retries=7).simulate(asked)
    assert handler.asked == 8 and all(map(same, found, Shift().simulate(asked)))


def test_what_keeps_failing_is_given_up(hostile):
    handler, address = hostile
    handler.faults = ("500",) * 9
    with pytest.raises(ServerError, match="status 500"):
        RemoteModel(address, retries=2).simulate(queries(1))
    assert handler.asked == 3
    handler.faults, handler.asked = ("400",), 0
    with pytest.raises(ServerError, match="status 400"):
        RemoteModel(address).simulate(queries(1))
    assert handler.asked == 1


def test_a_deadline_is_kept():
    model = Shift(gate=True)
    with serving(model) as address:
        remote = RemoteModel(address, timeout=0.3)
        with pytest.raises(ServerError, match="no answer"):
            remote.simulate(queries(1))
        model.gate.set()


def test_nobody_is_there():
    with pytest.raises(ServerError, match="reachable"):
        RemoteModel("http://127.0.0.1:9", retries=0)
    for wrong in (
        {"url": "ftp://x"},
        {"url": "http://x", "timeout": 0},
        {"url": "http://x", "encoding": "jpeg"},
    ):
        with pytest.raises(InputError):
            RemoteModel(**wrong)


def test_the_command_serves_and_ends_well():
    command = [
        sys.executable,
        "-c",
        "from worldloop.cli.main import entry; entry()",
        "serve",
        "rotate-only",
        "--port",
        "0",
    ]
    environment = {k: v for k, v in os.environ.items() if k != client.TOKEN_ENV}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("rotate-only: http://127.0.0.1:"), (
            line,
            process.stderr.read() if not line else "",
        )
        remote = RemoteModel(line.split()[1])
        assert len(remote.simulate(queries(1, 32))[0].frames) == 4
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.communicate()


def test_latents_survive():
    class Latent(Shift):
        def rollout(self, query):
            made = super().rollout(query)
            return replace(made, latent=np.arange(12, dtype=np.float16).reshape(4, 3))

    with serving(Latent()) as address:
        (found,) = RemoteModel(address).simulate(queries(1))
    assert found.latent.dtype == np.float16 and found.latent.shape == (4, 3)


def test_a_plain_server_without_worldloop_joins():
    path = Path(__file__).parents[2] / "examples" / "plain_server.py"
    source = path.read_text()
    assert "import worldloop" not in source and "from worldloop" not in source
    process = subprocess.Popen([sys.executable, str(path), "0"], stdout=subprocess.PIPE, text=True)
    try:
        report = check_model(MODELS.create(process.stdout.readline().strip()))
        assert report.passed, report.items
        assert ("controls", "note") in [(i.name, i.result) for i in report.items if "different" in i.detail]
    finally:
        process.kill()
        process.communicate()
