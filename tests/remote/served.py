"""A server in a thread, and models to put behind it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from dataclasses import dataclass

import numpy as np
import uvicorn

from worldloop.actions import NAVIGATION
from worldloop.core import ModelCard, Observation, Query, Rollout, derive_seed
from worldloop.serving import ServeConfig, application


class Shift:
    """Moves the picture by the seed and the number of the action; remembers how it was asked."""

    def __init__(
        self, seconds: float = 0.0, fails: Exception | None = None, history: int = 2, gate: bool = False
    ) -> None:
        self.card = ModelCard("shift", "a test model", "code", reads=("panorama",), history=history)
        self.seconds, self.fails = seconds, fails
        self.batches: list[int] = []
        self.entered, self.gate = threading.Event(), threading.Event()
        if not gate:
            self.gate.set()

    def simulate(self, queries):
        self.batches.append(len(queries))
        self.entered.set()
        self.gate.wait(60)
        time.sleep(self.seconds)
        if self.fails is not None:
            raise self.fails
        return [self.rollout(q) for q in queries]

    def rollout(self, query: Query) -> Rollout:
        box, frames = query.plan.vocabulary, []
        for i, action in enumerate(query.plan.actions):
            by = query.seed + i + box.index(action) + len(query.history)
            rgb = np.roll(query.history[-1].rgb, by, axis=1)
            pose = np.eye(4) if i % 2 else None
            frames.append(Observation(rgb, pose=pose, text=f"{i}", extra={"collided": np.array(i == 1)}))
        return Rollout(tuple(frames), reward=np.arange(len(frames), dtype=np.float32))


class Faulty:
    """An application whose every n-th answers fail: with status 500, cut off in the middle, or late."""

    def __init__(self, app) -> None:
        self.app, self.asked = app, 0
        self.faults: list[str] = []

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        self.asked += 1
        fault = "500" if self.asked % 7 == 3 else "cut off" if self.asked % 11 == 5 else ""
        fault = fault or ("late" if self.asked % 13 == 2 else "")
        if fault:
            self.faults.append(fault)
        if fault == "500":
            while (await receive()).get("more_body"):
                pass
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b"oh"})
            return
        if fault == "late":
            await asyncio.sleep(0.3)

        async def halved(message):
            if fault == "cut off" and message["type"] == "http.response.body":
                await send(
                    {**message, "body": message["body"][: len(message["body"]) // 2], "more_body": False}
                )
            else:
                await send(message)

        await self.app(scope, receive, halved)


@contextlib.contextmanager
def serving(model, port: int = 0, wrap=lambda app: app, **settings):
    """The URL of a server."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    app = wrap(application(model, ServeConfig(**settings)))
    config = uvicorn.Config(
        app, log_level="critical", access_log=False, lifespan="on", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


def queries(count: int = 3, size: int = 16, histories: int = 1) -> list[Query]:
    """Questions with `count` plans for each of some histories."""
    rng, out = np.random.default_rng(0), []
    for h in range(histories):

        def seen() -> Observation:
            rgb = rng.integers(0, 255, (size, size, 3), dtype=np.uint8)
            around = rng.integers(0, 255, (size, 2 * size, 3), dtype=np.uint8)
            return Observation(rgb, panorama=around, text="a house")

        history = (seen(), seen())
        for i in range(count):
            names = rng.choice(["move_forward", "turn_left", "turn_right"], 4)
            plan = NAVIGATION.plan([str(n) for n in names])
            out.append(Query(history, NAVIGATION.plan(["turn_left"]).actions, plan, 10 * h + i))
    return out


def same(a: Rollout, b: Rollout) -> bool:
    """Whether two rollouts agree in all but the time they took."""

    def equal(x, y) -> bool:
        if x is None or y is None:
            return x is y
        return np.asarray(x).dtype == np.asarray(y).dtype and np.array_equal(x, y)

    names = ("rgb", "panorama", "depth", "segmentation", "pose")
    return (
        len(a.frames) == len(b.frames)
        and all(equal(getattr(a, n), getattr(b, n)) for n in ("reward", "done", "latent"))
        and all(
            all(equal(getattr(f, n), getattr(g, n)) for n in names)
            and (f.text, f.hfov_deg) == (g.text, g.hfov_deg)
            and f.extra.keys() == g.extra.keys()
            and all(equal(v, g.extra[k]) for k, v in f.extra.items())
            for f, g in zip(a.frames, b.frames)
        )
    )


class Stepped(Shift):
    """The same, and it goes on from a state: a picture and the sum of the shifts so far."""

    def __init__(self, **settings) -> None:
        super().__init__(**settings)
        self.begun, self.advanced = 0, []

    def begin(self, vocabulary, history, actions):
        self.begun += 1
        return Place(history[-1].rgb, len(actions))

    def advance(self, steps):
        self.advanced.append(len(steps))
        self.entered.set()
        self.gate.wait(60)
        time.sleep(self.seconds)
        if self.fails is not None:
            raise self.fails
        return [self.gone(*step) for step in steps]

    @staticmethod
    def gone(place, plan, seed):
        by, frames = place.by, []
        for action in plan.actions:
            by = (31 * by + seed + plan.vocabulary.index(action)) % 1009
            frames.append(Observation(np.roll(place.rgb, by, axis=1)))
        return Rollout(tuple(frames)), Place(place.rgb, by)


@dataclass(frozen=True, eq=False)
class Place:
    """A state."""

    rgb: np.ndarray
    by: int

    @property
    def nbytes(self) -> int:
        return self.rgb.nbytes + 8


def walked(query: Query, seed: int, walks: list[list[str]]) -> list[np.ndarray]:
    """What `Stepped` shows along the steps of a session."""
    place, out, steps = Place(query.history[-1].rgb, len(query.actions)), [], 0
    for names in walks:
        plan = query.plan.vocabulary.plan(names)
        rollout, place = Stepped.gone(place, plan, derive_seed(seed, "step", steps))
        out.append(np.stack([f.rgb for f in rollout.frames]))
        steps += len(names)
    return out
