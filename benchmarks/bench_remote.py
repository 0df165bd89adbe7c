"""What it costs to ask a world model over HTTP, beside the barest way: pickles over a TCP socket.

    python benchmarks/bench_remote.py [--repeats 15] [--out FILE]

One decision: three rollouts of 14 frames of 480 x 480 over the loopback, from a model that takes no time. Both ways take
turns in one run; the figures are medians. The baseline has no checks, no token and no errors, and would run whatever
it is sent.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import socket
import statistics
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from worldloop.actions import NAVIGATION
from worldloop.core import ModelCard, Observation, Query, Rollout
from worldloop.models.remote.client import TOKEN_ENV, RemoteModel
from worldloop.serving import ServeConfig, application

PLANS, LENGTH, SIDE = 3, 14, 480
TOKEN = "bench-token"


class Ready:
    """Has its frames already."""

    card = ModelCard("ready", "answers at once", "code")

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        shape = (PLANS, LENGTH, SIDE, SIDE, 3)
        self.frames = [
            tuple(Observation(f) for f in plan) for plan in rng.integers(0, 255, shape, dtype=np.uint8)
        ]

    def simulate(self, queries: list[Query]) -> list[Rollout]:
        """The same frames for every question."""
        return [Rollout(self.frames[i % PLANS]) for i in range(len(queries))]


def questions(seed: int) -> list[Query]:
    """A decision that has not been asked before."""
    now = Observation(np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8))
    plan = NAVIGATION.plan(["move_forward"] * LENGTH)
    return [Query((now,), (), plan, seed * PLANS + i) for i in range(PLANS)]


def http_server(model: Ready) -> str:
    """The URL of a server in a thread."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = application(model, ServeConfig(token=TOKEN, cache_megabytes=64))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, lifespan="on"))
    threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


def pickle_server(model: Ready) -> socket.socket:
    """A connection to a server of pickles in a thread."""
    listening = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        connection, _ = listening.accept()
        while True:
            asked = received(connection)
            found = model.simulate(asked)
            send(connection, [np.stack([f.rgb for f in r.frames]) for r in found])

    threading.Thread(target=answer, daemon=True).start()
    return socket.create_connection(listening.getsockname())


def send(connection: socket.socket, value: Any) -> None:
    """A length and a pickle."""
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    connection.sendall(struct.pack("<Q", len(data)))
    connection.sendall(data)


def received(connection: socket.socket) -> Any:
    """What was sent."""
    size = struct.unpack("<Q", _exactly(connection, 8))[0]
    return pickle.loads(_exactly(connection, size))  # noqa: S301 - the baseline is that careless


def _exactly(connection: socket.socket, size: int) -> bytearray:
    data, got = bytearray(size), 0
    while got < size:
        got += connection.recv_into(memoryview(data)[got:])
    return data


def timed(call: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Take turns and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "remote.json"))
    options = parser.parse_args()
    os.environ[TOKEN_ENV] = TOKEN
    model = Ready()
    remote, connection = RemoteModel(http_server(model)), pickle_server(model)

    def by_pickle(asked: list[Query]) -> None:
        send(connection, asked)
        received(connection)

    before, http, plain = os.getloadavg(), [], []
    for i in range(options.repeats + 2):
        asked = questions(i)
        if i < 2:
            remote.simulate(asked)
            by_pickle(asked)
            continue
        http.append(timed(lambda: remote.simulate(asked)))  # noqa: B023 - called at once
        plain.append(timed(lambda: by_pickle(asked)))  # noqa: B023
    result = {
        "megabytes": round(PLANS * LENGTH * SIDE * SIDE * 3 / 2**20, 1),
        "http_ms": round(1e3 * statistics.median(http), 1),
        "pickle_ms": round(1e3 * statistics.median(plain), 1),
        "fastest_http_ms": round(1e3 * min(http), 1),
        "fastest_pickle_ms": round(1e3 * min(plain), 1),
        "ratio": round(statistics.median(http) / statistics.median(plain), 2),
        "repeats": options.repeats,
        "load": {"before": before, "after": os.getloadavg()},
    }
    text = json.dumps(result, indent=2)
    Path(options.out).write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
