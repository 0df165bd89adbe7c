"""Sessions under load: wrong and lost replies, the time of a step, and what a kept state saves.

    python benchmarks/bench_sessions.py [--sessions 200] [--seconds 60] [--out FILE]

A server in a process of its own keeps a picture and a number for each session; clients step all sessions at once, fork
some of them, and check every reply against what it must be. Then the packaged video model walks in clips of four
actions, once from the keys and values that it keeps and once by looking at the history again.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldloop.actions import NAVIGATION
from worldloop.core import Action, ModelCard, Observation, Plan, Query, Rollout, Vocabulary, derive_seed
from worldloop.models import MODELS
from worldloop.models.remote.client import RemoteModel

SIDE, CLIENTS = 64, 4
NAMES = ("move_forward", "turn_left", "turn_right")


@dataclass(frozen=True, eq=False)
class Place:
    """A state of the model that is served."""

    rgb: np.ndarray
    by: int

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        return self.rgb.nbytes + 8


class Rolling:
    """Rolls the picture by a number that depends on all actions and seeds so far. A batch takes two milliseconds."""

    card = ModelCard("rolling", "rolls the picture", "code")

    def simulate(self, queries: Sequence[Query]) -> list[Rollout]:
        """Rollouts from the present."""
        return [r for r, _ in self.advance([(Place(q.history[-1].rgb, 0), q.plan, q.seed) for q in queries])]

    def begin(
        self, vocabulary: Vocabulary, history: Sequence[Observation], actions: Sequence[Action]
    ) -> Place:
        """The first state."""
        return Place(history[-1].rgb, len(actions))

    def advance(self, steps: Sequence[tuple[Place, Plan, int]]) -> list[tuple[Rollout, Place]]:
        """One step of each."""
        time.sleep(0.002)
        return [rolled(*step) for step in steps]


def rolled(place: Place, plan: Plan, seed: int) -> tuple[Rollout, Place]:
    """What must come out of a step."""
    by, frames = place.by, []
    for action in plan.actions:
        by = (31 * by + seed + plan.vocabulary.index(action)) % 1009
        frames.append(Observation(np.roll(place.rgb, by, axis=1)))
    return Rollout(tuple(frames)), Place(place.rgb, by)


def serve(sessions: int) -> None:
    """Serve on a free port, whose address is printed, until stdin closes."""
    import uvicorn

    from worldloop.serving import ServeConfig, application

    listening = socket.create_server(("127.0.0.1", 0))
    config = ServeConfig(max_sessions=2 * sessions + 8, sessions_per_client=sessions + 8)
    server = uvicorn.Server(uvicorn.Config(application(Rolling(), config), log_level="error", lifespan="on"))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)

    def ended() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=ended, daemon=True).start()
    server.run(sockets=[listening])


@dataclass
class Tally:
    """What one session saw."""

    steps: int = 0
    wrong: int = 0
    lost: int = 0
    forks: int = 0


def walk(remote: RemoteModel, number: int, ends: float, tally: Tally, times: list[float]) -> None:
    """Step one session until the time is over; each twentieth step goes on in a fork."""
    rng = np.random.default_rng(number)
    rgb = rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    session, place, done = remote.session(NAVIGATION, [Observation(rgb)], (), number), Place(rgb, 0), 0
    while time.monotonic() < ends:
        if tally.steps % 20 == 19:
            other = session.fork()
            session.close()
            session, tally.forks = other, tally.forks + 1
        plan = NAVIGATION.plan([NAMES[i] for i in rng.integers(3, size=rng.integers(1, 5))])
        start = time.perf_counter()
        try:
            found = session.step(plan)
        except Exception:  # noqa: BLE001 - counted, whatever it is
            tally.lost += 1
            continue
        times.append(time.perf_counter() - start)
        must, place = rolled(place, plan, derive_seed(number, "step", done))
        done, tally.steps = done + len(plan), tally.steps + 1
        same = len(found.frames) == len(must.frames)
        tally.wrong += not (
            same and all(np.array_equal(a.rgb, b.rgb) for a, b in zip(found.frames, must.frames))
        )
    session.close()


def load(sessions: int, seconds: float) -> dict[str, object]:
    """All sessions at once against a server in another process."""
    command = [sys.executable, __file__, "--serve", "--sessions", str(sessions)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None and server.stdin is not None
    url = server.stdout.readline().strip()
    remotes = [RemoteModel(url) for _ in range(CLIENTS)]
    tallies, times = [Tally() for _ in range(sessions)], [[] for _ in range(sessions)]
    before, ends = os.getloadavg(), time.monotonic() + seconds
    threads = [
        threading.Thread(target=walk, args=(remotes[i % CLIENTS], i, ends, tallies[i], times[i]))
        for i in range(sessions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for remote in remotes:
        remote.close()
    server.stdin.close()
    server.wait(30)
    flat = sorted(t for mine in times for t in mine)
    return {
        "sessions": sessions,
        "seconds": seconds,
        "steps": sum(t.steps for t in tallies),
        "fewest_steps_of_a_session": min(t.steps for t in tallies),
        "forks": sum(t.forks for t in tallies),
        "wrong": sum(t.wrong for t in tallies),
        "lost": sum(t.lost for t in tallies),
        "p50_ms": round(1e3 * flat[len(flat) // 2], 1),
        "p99_ms": round(1e3 * flat[int(0.99 * len(flat))], 1),
        "load": {"before": before, "after": os.getloadavg()},
    }


def kept(repeats: int) -> dict[str, object]:
    """Milliseconds of a step of the packaged model: from what it keeps, and from its history each time."""
    model = MODELS.create("video-lora")
    rng = np.random.default_rng(0)
    side = 128
    now = Observation(
        rng.integers(0, 255, (side, side, 3), dtype=np.uint8),
        panorama=rng.integers(0, 255, (side, 2 * side, 3), dtype=np.uint8),
    )
    out: dict[str, object] = {}
    for length in (1, 4):
        plan = NAVIGATION.plan((NAMES * length)[:length])
        begin, again, step = [], [], []
        for i in range(repeats):
            start = time.perf_counter()
            state = model.begin(NAVIGATION, (now,), ())
            begin.append(time.perf_counter() - start)
            start = time.perf_counter()
            model.simulate([Query((now,), (), plan, i)])
            again.append(time.perf_counter() - start)
            start = time.perf_counter()
            model.advance([(state, plan, i)])
            step.append(time.perf_counter() - start)
        timed = {"begin_ms": begin, "from_history_ms": again, "from_state_ms": step}
        out[f"{length}_actions"] = {k: round(1e3 * statistics.median(v), 1) for k, v in timed.items()}
        out["state_megabytes"] = round(state.nbytes / 2**20, 2)
    return out


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "sessions.json"))
    options = parser.parse_args()
    if options.serve:
        serve(options.sessions)
        return
    result = {**load(options.sessions, options.seconds), "packaged_model": kept(options.repeats)}
    text = json.dumps(result, indent=2)
    Path(options.out).write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
