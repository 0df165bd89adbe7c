"""Speed of the tabletop world, as JSON: commands of 25 physics steps, pictures, both together, states.

    python benchmarks/bench_tabletop.py [--seconds 2] [--out FILE]

One process, one thread. `per_s` is wall time; `per_cpu_s` counts the process's own processor time, which other
programs on a busy machine do not change.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from worldloop.core import Episode
from worldloop.envs.house.embree import library
from worldloop.envs.tabletop.cameras import THIRD, WRIST
from worldloop.envs.tabletop.layout import load_layout, scene_id
from worldloop.envs.tabletop.physics import Physics
from worldloop.envs.tabletop.render import TableRenderer
from worldloop.envs.tabletop.world import TabletopWorld


def rate(call: Callable[[int], object], seconds: float) -> dict[str, float]:
    """Calls per second: the best of five slices, because other programs can only slow a slice down."""
    call(0)
    best, best_cpu = 0.0, 0.0
    for _ in range(5):
        start, cpu, done = time.perf_counter(), time.process_time(), 0
        while done < 3 or time.process_time() - cpu < seconds / 5:
            call(done)
            done += 1
        best = max(best, done / (time.perf_counter() - start))
        best_cpu = max(best_cpu, done / (time.process_time() - cpu))
    return {"per_s": round(best, 1), "per_cpu_s": round(best_cpu, 1)}


def measure(seconds: float) -> dict[str, object]:
    """All figures, on a table with three blocks and a stand."""
    layout = load_layout(scene_id("train", "pick-place", 0))
    physics, renderer = Physics(layout), TableRenderer(layout)
    _, turn = physics.setpoint

    def tick(k: int) -> None:
        physics.tick(
            np.array([0.5 + 0.1 * np.sin(k / 9), 0.2 * np.cos(k / 7), 0.15]), turn, float(k % 40 < 20)
        )

    def picture(antialias: bool, pose: np.ndarray, hfov: float) -> Callable[[int], object]:
        def draw(_: int) -> None:
            renderer.move(physics)
            renderer.draw(pose, 128, hfov, antialias)

        return draw

    world = TabletopWorld("absolute", segmentation=False)
    world.reset(Episode("bench", "bench", layout.key, 0, {}, {}, 1))
    plan = world.vocabulary.plan([(0.5, 0.1, 0.2, 0, 0, 0, 1), (0.5, -0.1, 0.2, 0, 0, 0, 0)])
    state = physics.state()
    wrist = physics.body_pose("hand") @ WRIST.matrix
    return {
        "triangles": sum(len(p.surface.corners) for p in renderer._parts),
        "commands_of_25_physics_steps": rate(tick, seconds),
        "third_128": rate(picture(False, THIRD.matrix, THIRD.hfov_deg), seconds),
        "third_128_antialiased": rate(picture(True, THIRD.matrix, THIRD.hfov_deg), seconds),
        "wrist_128_antialiased": rate(picture(True, wrist, WRIST.hfov_deg), seconds),
        "command_and_picture": rate(lambda k: world.step(plan.actions[k // 8 % 2]), seconds),
        "restore_state": rate(lambda _: physics.restore(state), seconds),
        "reset": rate(lambda _: world.reset(Episode("bench", "bench", layout.key, 0, {}, {}, 1)), seconds),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=2.0, help="processor time per figure")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "tabletop.json")
    options = parser.parse_args(arguments)
    machine = {"processor": platform.processor() or platform.machine(), "ray_packet": library().lanes}
    text = json.dumps({"machine": machine, **measure(options.seconds)}, indent=2)
    if options.out:
        options.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
