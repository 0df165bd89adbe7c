"""How the shipped episodes were drawn: difficulty is measured in the scene, not guessed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from worldloop.core import Episode, InputError, Observation, derive_seed, generator
from worldloop.envs.house.generate import CATEGORIES
from worldloop.envs.house.mesh import Instance
from worldloop.envs.house.navigation import NavGrid
from worldloop.envs.house.scenes import LoadedScene, load_scene
from worldloop.envs.house.world import HouseWorld
from worldloop.tasks.active_recognition import ActiveRecognition
from worldloop.tasks.image_goal import ImageGoal

TURN = 22.5
TRIES = 4000
REACH = 0.8
"""Metres of walking from which a target must be well seen: ten actions bring no one much farther."""
Sampler = Callable[[str, np.random.Generator], Iterator[tuple[dict, dict]]]


def sample_episodes(task: str, scenes: Sequence[str], count: int, seed: int = 0) -> list[Episode]:
    """`count` episodes spread evenly over scenes. Deterministic; InputError when a scene yields too few."""
    samplers: dict[str, tuple[Sampler, int]] = {
        ActiveRecognition.name: (_recognition, ActiveRecognition.budgets.budget),
        ImageGoal.name: (_image_goal, ImageGoal.budgets.budget),
    }
    if task not in samplers:
        raise InputError(f"episodes can be drawn for {', '.join(samplers)}, not for {task!r}")
    sampler, budget = samplers[task]
    short = {ActiveRecognition.name: "ar", ImageGoal.name: "ig"}[task]
    out = []
    for i, scene in enumerate(scenes):
        wanted = count // len(scenes) + (i < count % len(scenes))
        drawn = sampler(scene, generator(seed, task, scene))
        for k in range(wanted):
            pair = next(drawn, None)
            if pair is None:
                raise InputError(f"{scene} has no further {task} episode of the wanted difficulty")
            start, goal = pair
            name = f"{short}-{scene.removeprefix('house/').replace('/', '-')}-{k}"
            out.append(Episode(name, task, scene, derive_seed(seed, name) % 2**31, start, goal, budget))
    return out


def _recognition(scene: str, rng: np.random.Generator) -> Iterator[tuple[dict, dict]]:
    """Targets that are hidden for the most part at the start, or far or at the edge of the view, and that
    can be seen well from somewhere within reach."""
    world = _world(scene)
    loaded = world.loaded
    by_category: dict[str, list[Instance]] = {}
    for thing in loaded.things.values():
        if not thing.structure and thing.category in CATEGORIES:
            by_category.setdefault(thing.category, []).append(thing)
    if not by_category:
        return
    categories, extremes = sorted(by_category), 0
    used: set[int] = set()
    for _ in range(TRIES):
        category = categories[rng.integers(len(categories))]
        things = by_category[category]
        thing = things[rng.integers(len(things))]
        if thing.id in used:
            continue
        start = _start_near(loaded, thing, rng)
        if start is None:
            continue
        x, y, yaw = start
        pose = world.pose(x, y, yaw)
        if world.project_box(thing.id, pose) is None:
            continue
        whole, seen = world.unoccluded_pixels(thing.id, pose), world.visible_pixels(thing.id, pose)
        hidden = 1 - seen / whole if whole else 1.0
        occluded = whole >= 80 and seen >= 4 and hidden >= 0.75
        extreme = 6 <= seen <= 40 and hidden < 0.75 and extremes < 0.25 * (1 + len(used))
        if not (occluded or extreme) or not _side_matters(world, thing, (x, y), seen, rng, occluded):
            continue
        extremes += extreme
        used.add(thing.id)
        kind = "occluded" if occluded else "extreme"
        goal = {"target": thing.id, "category": category, "difficulty": kind, "hidden": round(hidden, 3)}
        yield {"position": [round(x, 4), round(y, 4)], "yaw_deg": yaw}, goal


def _start_near(
    loaded: LoadedScene, thing: Instance, rng: np.random.Generator
) -> tuple[float, float, float] | None:
    """A place 0.8 to 3.5 m from a thing, facing it within 35 degrees; None when the draw misses."""
    lower, upper = np.array(thing.lower), np.array(thing.upper)
    cx, cy = (lower + upper)[:2] / 2
    for _ in range(20):
        x, y = (round(v, 4) for v in loaded.nav.random_free_point(rng))
        if 0.8 <= math.hypot(cx - x, cy - y) <= 3.5 and loaded.nav.is_free((x, y)):
            towards = math.degrees(math.atan2(cy - y, cx - x)) + rng.uniform(-30, 30)
            return x, y, TURN * round(towards / TURN) % 360.0
    return None


def _side_matters(
    world: HouseWorld,
    thing: Instance,
    start: tuple[float, float],
    seen: int,
    rng: np.random.Generator,
    occluded: bool,
) -> bool:
    """Whether some place within reach shows a thing well, and for an occluded thing also whether
    the way round matters: from one side of the line of sight it must stay mostly hidden."""
    nav = world.loaded.nav
    field = nav.distance_field(start)
    centre = (np.array(thing.lower) + np.array(thing.upper)) / 2
    near = np.argwhere(np.isfinite(field) & (field <= REACH))
    share = {True: 0.0, False: 0.0}
    pixels = 0
    for cell in near[rng.permutation(len(near))[:60]]:
        x, y = nav.centre_of(cell)
        pose = world.pose(x, y, math.degrees(math.atan2(centre[1] - y, centre[0] - x)))
        visible, whole = world.visible_pixels(thing.id, pose), world.unoccluded_pixels(thing.id, pose)
        across = (centre[0] - start[0]) * (y - start[1]) - (centre[1] - start[1]) * (x - start[0])
        share[across > 0] = max(share[across > 0], visible / max(whole, 1))
        pixels = max(pixels, visible)
    if pixels < max(2 * seen, 60) or max(share.values()) < 0.5:
        return False
    return not occluded or min(share.values()) <= 0.6 * max(share.values())


def _image_goal(scene: str, rng: np.random.Generator) -> Iterator[tuple[dict, dict]]:
    """Goals 0.7 to 2 m of walking away that lie roughly the way their picture looks, whose view shows
    furniture, and of which enough can be seen from the start when turning around."""
    world = _world(scene)
    nav = world.loaded.nav
    for _ in range(TRIES):
        a, b = _point(nav, rng), _point(nav, rng)
        yaw_a, yaw_b = (TURN * int(rng.integers(16)) for _ in range(2))
        if not (nav.is_free(a) and nav.is_free(b)) or not 0.7 <= math.dist(a, b) <= 1.8:
            continue
        towards = math.degrees(math.atan2(b[1] - a[1], b[0] - a[0]))
        if abs((towards - yaw_b + 180) % 360 - 180) > 30 or not 0.7 <= (length := nav.geodesic(a, b)) <= 2.0:
            continue
        goal = world.view(world.pose(*b, yaw_b))
        assert goal.depth is not None and goal.segmentation is not None
        things = {i for i in np.unique(goal.segmentation) if i in world.loaded.things}
        furniture = sum(not world.loaded.things[i].structure for i in things)
        if furniture < 2 or np.median(goal.depth) < 1.0 or (shared := shared_view(world, goal, a)) < 0.5:
            continue
        yield (
            {"position": list(a), "yaw_deg": yaw_a},
            {"position": list(b), "yaw_deg": yaw_b, "geodesic": round(length, 3), "shared": round(shared, 3)},
        )


def _point(nav: NavGrid, rng: np.random.Generator) -> tuple[float, float]:
    x, y = nav.random_free_point(rng)
    return round(x, 4), round(y, 4)


def shared_view(world: HouseWorld, goal: Observation, place: tuple[float, float], step: int = 8) -> float:
    """Share, 0 to 1, of the points in a view that can be seen from a place when turning around."""
    assert goal.depth is not None and goal.pose is not None
    rows, columns = goal.depth.shape
    focal = columns / 2 / math.tan(math.radians(goal.hfov_deg) / 2)
    i, j = np.mgrid[step // 2 : rows : step, step // 2 : columns : step]
    z = goal.depth[i, j].ravel()
    local = np.stack(
        [(j.ravel() + 0.5 - columns / 2) / focal * z, (i.ravel() + 0.5 - rows / 2) / focal * z, z]
    )
    points = goal.pose[:3, :3] @ local + goal.pose[:3, 3:]
    eye = world.view(world.pose(place[0], place[1], 0.0))
    assert eye.pose is not None
    ranges = eye.extra["panorama_depth"]
    away = points.T - eye.pose[:3, 3]
    distance = np.linalg.norm(away, axis=1)
    azimuth, elevation = (
        np.arctan2(away[:, 1], away[:, 0]),
        np.arcsin(away[:, 2] / np.maximum(distance, 1e-9)),
    )
    height, width = ranges.shape
    u = np.floor((0.5 - azimuth / (2 * np.pi)) * width).astype(int) % width
    v = np.clip(np.floor((0.5 - elevation / np.pi) * height).astype(int), 0, height - 1)
    return float(np.mean((z > 0) & (ranges[v, u] >= 0.93 * distance - 0.05)))


def _world(scene: str) -> HouseWorld:
    world = HouseWorld(panorama_height=64)
    start = {"position": list(load_scene(scene).nav.random_free_point(generator(scene))), "yaw_deg": 0.0}
    world.reset(Episode("sampling", "sampling", scene, 0, start, {}, 1))
    return world
