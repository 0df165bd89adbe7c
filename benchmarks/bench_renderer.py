"""Rendering, stepping and baking speed on a furnished house, as JSON.

    python benchmarks/bench_renderer.py [--scene ID] [--seconds 2] [--out FILE]

Every figure is from one process; `threads` are threads within it. Frames come from free places all over the
house, since the view decides the cost. Light is baked afresh, not read from a cache.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.core import Episode
from worldloop.envs.house.embree import RayScene, library
from worldloop.envs.house.generate import build_scene, generate_house
from worldloop.envs.house.light import bake, bake_light, sample_grid
from worldloop.envs.house.navigation import NavGrid
from worldloop.envs.house.render import Renderer, camera_pose
from worldloop.envs.house.scenes import register_scene
from worldloop.envs.house.world import HouseWorld

VIEWS = 64


def rate(call: Callable[[int], object], seconds: float) -> float:
    """Calls per second: the best of five slices, because other programs can only slow a slice down."""
    call(0)
    best = 0.0
    for _ in range(5):
        start, done = time.perf_counter(), 0
        while time.perf_counter() - start < seconds / 5:
            call(done)
            done += 1
        best = max(best, done / (time.perf_counter() - start))
    return round(best, 1)


def timed(call: Callable[[], Any], repeats: int = 3) -> float:
    """Seconds of the fastest of a few calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return round(min(times), 4)


def threaded(call: Callable[[int], object], threads: int) -> Callable[[int], object]:
    """One call that makes eight, spread over threads."""
    pool = ThreadPoolExecutor(threads)
    return lambda k: list(pool.map(call, range(8 * k, 8 * k + 8)))


def miniworld(seconds: float) -> dict[str, Any]:
    """RGB frames per second of MiniWorld's four bare rooms at 128 x 128, where it is installed and can draw."""
    os.environ.setdefault("PYGLET_HEADLESS", "True")
    try:
        import gymnasium
        import miniworld  # noqa: F401
    except ImportError:
        return {"skipped": "not installed"}
    try:
        env = gymnasium.make("MiniWorld-FourRooms-v0", obs_width=128, obs_height=128).unwrapped
        env.reset(seed=0)
        return {"rgb_128_per_s": rate(lambda k: env.step(k % 2), seconds)}
    except Exception as error:  # noqa: BLE001 (no display, no GL, no driver: each fails in its own way)
        return {"skipped": f"does not run here: {type(error).__name__}: {error}"}


def measure(scene_id: str, seconds: float) -> dict[str, Any]:
    """All figures of one scene."""
    start = time.perf_counter()
    scene = build_scene(generate_house(scene_id))
    generation = time.perf_counter() - start
    objects = sum(not thing.structure for thing in scene.things.values())
    rays = RayScene(scene.positions)
    grid = sample_grid(scene)
    bake(scene, grid, rays, workers=2)  # compile, or load what was compiled
    with tempfile.TemporaryDirectory() as folder:
        light = bake_light(scene, folder, rays=rays)
        cached = timed(lambda: bake_light(scene, folder, rays=rays))
    nav = NavGrid.from_scene(scene)
    rng = np.random.default_rng(0)
    poses = [camera_pose(*nav.random_free_point(rng), 22.5 * int(rng.integers(16))) for _ in range(VIEWS)]
    single, split = Renderer(scene, light, rays=rays), Renderer(scene, light, rays=rays, workers=2)

    def pictures(renderer: Renderer, size: int, **settings: bool) -> Callable[[int], object]:
        return lambda k: renderer.pinhole(poses[k % VIEWS], size, **settings)

    def panoramas(renderer: Renderer, height: int) -> Callable[[int], object]:
        return lambda k: renderer.panorama(poses[k % VIEWS], height)

    render = {
        "pinhole_128_per_s": rate(pictures(single, 128), seconds),
        "pinhole_128_antialiased_per_s": rate(pictures(single, 128, antialias=True), seconds),
        "pinhole_256_per_s": rate(pictures(single, 256), seconds),
        "panorama_64_per_s": rate(panoramas(single, 64), seconds),
        "panorama_128_per_s": rate(panoramas(single, 128), seconds),
        "pinhole_128_two_threads_per_s": 8 * rate(threaded(pictures(single, 128), 2), seconds),
        "panorama_64_two_threads_per_s": 8 * rate(threaded(panoramas(single, 64), 2), seconds),
        "pinhole_128_rows_on_two_threads_per_s": rate(pictures(split, 128), seconds),
    }
    field_from = nav.random_free_point(rng)
    nav.distance_field(field_from)
    return {
        "scene": scene_id,
        "objects": objects,
        "triangles": len(scene.positions),
        "generate_s": round(generation, 4),
        "bake_s": {f"{n}_threads": timed(lambda n=n: bake(scene, grid, rays, workers=n)) for n in (1, 2)},
        "light_grid_s": timed(lambda: sample_grid(scene)),
        "light_from_cache_s": cached,
        "ray_tree_s": timed(lambda: RayScene(scene.positions)),
        "navigation_grid_s": timed(lambda: NavGrid.from_scene(scene)),
        "distance_field_s": timed(lambda: nav.distance_field(field_from), 20),
        "render": render,
        "environment": steps(scene, nav, seconds),
    }


def steps(scene: Any, nav: NavGrid, seconds: float) -> dict[str, float]:
    """Environment steps per second: walk, turn, picture, depth, ids; with and without the panorama."""
    with tempfile.TemporaryDirectory() as folder:
        register_scene("bench", scene)
        start = {"position": nav.random_free_point(np.random.default_rng(1)), "yaw_deg": 0.0}
        found = {}
        for name, height in (("steps_per_s", None), ("steps_with_panorama_per_s", 64)):
            world = HouseWorld(panorama_height=height, cache_dir=folder)
            world.reset(Episode("bench", "bench", "bench", 0, start, {}, 1))
            actions = itertools.cycle(["move_forward"] * 3 + ["turn_left"])
            found[name] = rate(lambda k, w=world, a=actions: w.step(next(a)), seconds)
        return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scene", default="house/train/A/0000")
    parser.add_argument("--seconds", type=float, default=2.0, help="time per figure")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "renderer.json")
    options = parser.parse_args(arguments)
    result = {
        "machine": {"processor": platform.processor() or platform.machine(), "ray_packet": library().lanes},
        **measure(options.scene, options.seconds),
        "miniworld": miniworld(options.seconds),
    }
    text = json.dumps(result, indent=2)
    if options.out:
        options.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
