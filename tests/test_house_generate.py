"""Generated houses: the same for ever, walkable, plausible, and consistent with the scene contract."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worldloop.core.errors import InputError, SplitError
from worldloop.envs.house.assets import load_assets
from worldloop.envs.house.generate import (
    CATEGORIES,
    SPLITS,
    STYLES,
    House,
    SceneId,
    build_scene,
    check_disjoint,
    generate_house,
    parse_scene_id,
    scene_ids,
)
from worldloop.envs.house.mesh import TriangleScene
from worldloop.envs.house.navigation import NavGrid
from worldloop.envs.house.placement import PlacedObject
from worldloop.envs.house.plan import CEILING, DOOR_WIDTH

SAMPLE = [s for split in SPLITS for s in scene_ids(split, count=6)]


@cache
def house(scene_id: str) -> House:
    return generate_house(scene_id)


@cache
def scene(scene_id: str) -> TriangleScene:
    return build_scene(house(scene_id))


def overlap(a: PlacedObject, b: PlacedObject, tolerance: float = 0.005) -> bool:
    return all(a.lower[k] < b.upper[k] - tolerance and b.lower[k] < a.upper[k] - tolerance for k in range(3))


def test_the_same_id_gives_the_same_house_and_scene() -> None:
    first, second = generate_house("house/test/A/0003"), generate_house("house/test/A/0003")
    assert first == second
    one, two = build_scene(first), build_scene(second)
    assert one.key == two.key and one.things == two.things
    for name in ("positions", "normals", "uvs", "layers", "colours", "instances", "textures", "lights"):
        assert np.array_equal(getattr(one, name), getattr(two, name))


def test_another_process_gives_the_same_house() -> None:
    code = "from worldloop.envs.house.generate import *; print(repr(generate_house('house/val/C/0001')))"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert told == repr(generate_house("house/val/C/0001"))


def test_splits_and_indices_differ() -> None:
    plans = {tuple(r.rect for r in house(s).rooms) for s in SAMPLE}
    assert len(plans) == len(SAMPLE)
    assert len({scene(s).key for s in SAMPLE[:9]}) == 9


@pytest.mark.parametrize("scene_id", SAMPLE)
def test_scene_keeps_the_contract(scene_id: str) -> None:
    built = scene(scene_id)
    count = len(built.positions)
    assert count <= 60_000
    shapes = {"positions": (3, 3), "normals": (3, 3), "uvs": (3, 2), "colours": (3,)}
    for name, tail in shapes.items():
        array = getattr(built, name)
        assert array.shape == (count, *tail) and array.dtype == np.float32 and np.isfinite(array).all()
    assert built.layers.dtype == built.instances.dtype == np.int32
    assert built.layers.min() >= -1 and built.layers.max() < len(built.textures)
    assert built.colours.min() >= 0 and built.colours.max() <= 1
    assert np.allclose(np.linalg.norm(built.normals, axis=2), 1, atol=1e-3)
    side = built.textures.shape[1]
    assert built.textures.shape[1:] == (side, side, 3) and side & (side - 1) == 0
    assert set(np.unique(built.instances)) == set(built.things)
    for number, thing in built.things.items():
        points = built.positions[built.instances == number].reshape(-1, 3)
        assert thing.id == number
        assert np.allclose(points.min(0), thing.lower) and np.allclose(points.max(0), thing.upper)
        assert thing.room in built.rooms
    assert len({t.name for t in built.things.values()}) == len(built.things)
    furniture = [t for t in built.things.values() if not t.structure]
    assert {t.category for t in furniture} <= set(CATEGORIES)
    assert {t.name for t in furniture} == {o.name for o in house(scene_id).objects}


@pytest.mark.parametrize("scene_id", SAMPLE[:6])
def test_the_building_faces_its_rooms(scene_id: str) -> None:
    built = scene(scene_id)
    edges = built.positions[:, 1:] - built.positions[:, :1]
    flat = np.cross(edges[:, 0], edges[:, 1])
    structure = np.isin(built.instances, [n for n, t in built.things.items() if t.structure])
    assert ((flat * built.normals[:, 0]).sum(1)[structure] > 0).all()
    for number, thing in built.things.items():
        if thing.category == "wall":
            x0, y0, x1, y1 = built.rooms[thing.room]
            middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2, 1.0])
            mine = built.instances == number
            inwards = (middle - built.positions[mine].mean(1)) * built.normals[mine, 0]
            assert (inwards.sum(1) > 0).all()


@pytest.mark.parametrize("scene_id", SAMPLE)
def test_furniture_fits(scene_id: str) -> None:
    described = house(scene_id)
    rooms = {r.name: r.rect for r in described.rooms}
    solid = [o for o in described.objects if o.category != "rug"]
    for placed in described.objects:
        x0, y0, x1, y1 = rooms[placed.room]
        assert x0 - 1e-3 <= placed.lower[0] and placed.upper[0] <= x1 + 1e-3
        assert y0 - 1e-3 <= placed.lower[1] and placed.upper[1] <= y1 + 1e-3
        assert placed.lower[2] >= -1e-3 and placed.upper[2] <= CEILING + 1e-3
    for i, a in enumerate(solid):
        for b in solid[i + 1 :]:
            assert not overlap(a, b) or a.name == b.support or b.name == a.support, (a.name, b.name)


@pytest.mark.parametrize("scene_id", SAMPLE)
def test_bounds_of_the_description_hold_the_triangles(scene_id: str) -> None:
    by_name = {t.name: t for t in scene(scene_id).things.values()}
    for placed in house(scene_id).objects:
        thing = by_name[placed.name]
        assert (np.array(thing.lower) >= np.array(placed.lower) - 2e-3).all()
        assert (np.array(thing.upper) <= np.array(placed.upper) + 2e-3).all()
        assert (thing.category, thing.room) == (placed.category, placed.room)


@pytest.mark.parametrize("scene_id", SAMPLE)
def test_things_on_furniture_touch_it(scene_id: str) -> None:
    described = house(scene_id)
    by_name = {o.name: o for o in described.objects}
    library = load_assets()
    for placed in described.objects:
        if placed.support:
            base = by_name[placed.support]
            assert placed.position[2] == pytest.approx(library.assets[base.asset].support_height, abs=0.01)
            assert base.lower[0] - 0.05 <= placed.position[0] <= base.upper[0] + 0.05
            assert base.lower[1] - 0.05 <= placed.position[1] <= base.upper[1] + 0.05
        elif library.assets[placed.asset].placement.startswith("floor"):
            assert placed.lower[2] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("scene_id", SAMPLE)
def test_doors_stay_clear_and_every_room_can_be_reached(scene_id: str) -> None:
    described = house(scene_id)
    assert 3 <= len(described.rooms) <= 6
    floor = [o for o in described.objects if o.lower[2] < 1.5 and o.category != "rug"]
    for door in described.doors:
        assert door.end - door.start >= DOOR_WIDTH - 1e-6
        x0, y0, x1, y1 = door.rect
        grow = (0.0, 0.7) if door.axis == 0 else (0.7, 0.0)
        zone = (x0 - grow[0], y0 - grow[1], x1 + grow[0], y1 + grow[1])
        for placed in floor:
            clear = placed.upper[0] <= zone[0] or placed.lower[0] >= zone[2]
            assert clear or placed.upper[1] <= zone[1] or placed.lower[1] >= zone[3], (door, placed.name)
    joined, rooms = {described.rooms[0].name}, {r.name for r in described.rooms}
    for _ in described.rooms:
        joined |= {n for d in described.doors if set(d.rooms) & joined for n in d.rooms}
    assert joined == rooms
    grid = NavGrid.from_scene(scene(scene_id))
    for x0, y0, x1, y1 in scene(scene_id).rooms.values():
        (i, j), (k, m) = grid.cell_of((x0, y0)), grid.cell_of((x1, y1))
        assert grid.free[i:k, j:m].mean() > 0.1


def test_styles_share_no_asset_and_no_material() -> None:
    used: dict[str, set[str]] = {style: set() for style in STYLES}
    papers: dict[str, set[str]] = {style: set() for style in STYLES}
    for scene_id in SAMPLE:
        described = house(scene_id)
        used[described.style] |= {o.asset for o in described.objects}
        papers[described.style] |= {
            n for m in described.materials.values() for n in (m.floor, m.wall, m.ceiling, m.trim)
        }
    for first, second in (("A", "B"), ("A", "C"), ("B", "C")):
        assert not used[first] & used[second]
        assert not papers[first] & papers[second]


def test_every_category_occurs_regularly() -> None:
    seen: Counter[str] = Counter()
    sizes = []
    for scene_id in scene_ids("train", count=60):
        objects = generate_house(scene_id).objects
        seen.update({o.category for o in objects})
        sizes.append(len(objects))
    assert set(seen) == set(CATEGORIES)
    assert min(seen.values()) >= 5
    assert min(sizes) >= 20 and max(sizes) <= 45 and np.median(sizes) >= 30


def test_lights_hang_in_every_room() -> None:
    for scene_id in SAMPLE[:6]:
        for x0, y0, x1, y1 in scene(scene_id).rooms.values():
            inside = [p for p in house(scene_id).lights if x0 < p[0] < x1 and y0 < p[1] < y1]
            assert 1 <= len(inside) <= 2 and all(1.5 < p[2] < CEILING for p in inside)


def test_scene_ids_are_parsed_and_listed() -> None:
    assert parse_scene_id("house/test/B/0042") == SceneId("test", "B", 42)
    assert str(SceneId("val", "C", 7)) == "house/val/C/0007"
    assert scene_ids("train", "A", 2) == ["house/train/A/0000", "house/train/A/0001"]
    assert scene_ids("val", count=4) == [f"house/val/{s}" for s in ("A/0000", "B/0000", "C/0000", "A/0001")]
    for arguments in (("dev", None, 3), ("test", "D", 3), ("test", "A", -1), ("test", "A", 10_001)):
        with pytest.raises(InputError):
            scene_ids(*arguments)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(), st.from_regex(r"house/[a-z]{1,5}/[A-E]/\d{1,5}\n?"), st.integers(), st.none()))
@example("house/test/A/0003\n")
@example("house/test/A/٠٠٠٣")
@example("house/test/A/3")
@example("House/test/A/0003")
@example("house/test/A/0003/")
def test_malformed_ids_raise_input_error(text: object) -> None:
    try:
        parsed = parse_scene_id(text)  # type: ignore[arg-type]
    except InputError as error:
        assert "house" in str(error)
    else:
        assert str(parsed) == text


def test_generating_from_a_malformed_id_raises_input_error() -> None:
    with pytest.raises(InputError, match="house/SPLIT/STYLE/NUMBER"):
        generate_house("house/test/Z/0000")


def test_training_and_evaluation_scenes_are_kept_apart() -> None:
    check_disjoint(scene_ids("train", count=5), scene_ids("test", count=5))
    check_disjoint(["a.glb"], ["b.glb"])
    with pytest.raises(SplitError, match="both"):
        check_disjoint(["a.glb", "house/train/A/0001"], ["house/train/A/0001"])
    with pytest.raises(SplitError, match="held out"):
        check_disjoint(["house/test/A/0001"], ["house/test/A/0002"])
