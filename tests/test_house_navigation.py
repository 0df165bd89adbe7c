"""The navigation grid against answers that can be worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldloop.core import InputError
from worldloop.envs.house.navigation import CELL, RADIUS, NavGrid

from house_boxes import box_room, scene_of

CRATES = (
    ("crate", (0.8, 0.2, 0.2), (2.0, 1.0, 0.0), (3.0, 3.0, 0.9)),
    ("rug", (0.2, 0.6, 0.2), (0.5, 0.5, 0.0), (1.5, 3.5, 0.03)),
    ("lamp", (0.9, 0.9, 0.2), (4.0, 3.0, 1.8), (4.4, 3.4, 2.4)),
)
NAV = NavGrid.from_scene(box_room(CRATES))
inside = st.tuples(st.floats(0, 5), st.floats(0, 4))


def clearance(xy):
    """Metres from a point to the crate or the nearest wall."""
    x, y = xy
    wall = min(x, 5 - x, y, 4 - y)
    crate = math.hypot(max(2 - x, 0, x - 3), max(1 - y, 0, y - 3))
    return min(wall, crate)


@given(inside)
def test_free_means_room_for_the_agent(xy):
    if NAV.is_free(xy):
        assert clearance(xy) >= RADIUS
    elif clearance(xy) > RADIUS + 2.5 * CELL:
        raise AssertionError(f"{xy} is blocked although nothing is near")


def test_rugs_and_high_lamps_are_no_obstacles():
    assert NAV.is_free((1.0, 2.0)) and NAV.is_free((4.2, 3.2))


def test_outside_is_not_free():
    for xy in ((-1, 2), (6, 2), (2, -3), (1e6, 1e6)):
        assert not NAV.is_free(xy)


def test_a_thin_wall_blocks():
    """A single vertical triangle fan, thinner than any cell, still stops the agent."""
    sheet = np.float32([[[2, 0, 0], [2, 4, 0], [2, 4, 2]], [[2, 0, 0], [2, 4, 2], [2, 0, 2]]])
    floor = np.float32([[[0, 0, 0], [5, 0, 0], [5, 4, 0]], [[0, 0, 0], [5, 4, 0], [0, 4, 0]]])
    up = np.tile(np.float32([0, 0, 1]), (2, 3, 1))
    side = np.tile(np.float32([1, 0, 0]), (2, 3, 1))
    parts = [("floor", True, (1, 1, 1), floor, up), ("wall", True, (1, 1, 1), sheet, side)]
    nav = NavGrid.from_scene(scene_of(parts, walkable=((0, 0, 5, 4),)))
    # The larger side is kept; the smaller one cannot be reached from it.
    assert nav.is_free((3.5, 2)) and not nav.is_free((1, 2))
    assert nav.move((3.5, 2), (-3, 0))[1]


def test_no_floor_is_an_error():
    shelf = [("shelf", (1, 1, 1), (x, 0, 0), (x + 0.1, 4, 2)) for x in np.arange(0, 5, 0.4)]
    full = box_room(shelf)
    with pytest.raises(InputError, match="stand"):
        NavGrid.from_scene(full)


@given(inside, st.floats(-4, 4), st.floats(-4, 4))
@settings(max_examples=300)
def test_moves_never_end_in_an_obstacle(xy, dx, dy):
    start = NAV.nearest_free(xy)
    (x, y), collided = NAV.move(start, (dx, dy))
    assert NAV.is_free((x, y))
    walked = (x - start[0], y - start[1])
    # Straight, never further than asked, and whole unless something was hit.
    assert abs(walked[0] * dy - walked[1] * dx) < 1e-9 * max(1, math.hypot(dx, dy) ** 2)
    assert math.hypot(*walked) <= math.hypot(dx, dy) + 1e-9
    if not collided:
        assert (x, y) == (start[0] + dx, start[1] + dy)


@given(inside, inside)
@settings(max_examples=200)
def test_no_tunnelling(a, b):
    """A collision-free move stays clear of the crate all along its way."""
    start = NAV.nearest_free(a)
    delta = (b[0] - start[0], b[1] - start[1])
    if not NAV.move(start, delta)[1]:
        for share in np.linspace(0, 1, 200):
            assert clearance((start[0] + share * delta[0], start[1] + share * delta[1])) > RADIUS - 0.01


def test_stop_short_without_sliding():
    (x, y), collided = NAV.move((1.0, 2.0), (3.0, 0.3))
    assert collided and 1.6 < x < 2 - RADIUS
    assert (y - 2.0) / (x - 1.0) == pytest.approx(0.1)
    assert NAV.move((1.0, 2.0), (0.0, 0.0)) == ((1.0, 2.0), False)


def test_straight_geodesic_is_exact():
    assert NAV.geodesic((1, 0.5), (4.2, 0.55)) == pytest.approx(math.hypot(3.2, 0.05))
    assert NAV.geodesic((1, 0.5), (1, 0.5)) == 0


def test_geodesic_around_the_crate():
    a, b = (1.5, 2.0), (3.5, 2.0)
    # Tangents to circles of the agent's radius at two corners, with their arc: the shortest of all ways.
    r, dx, dy = RADIUS, 0.5, 1.0
    tangent = math.sqrt(dx**2 + dy**2 - r**2)
    angle = math.atan2(dy, dx) + math.asin(r / math.hypot(dx, dy))
    exact = 2 * (tangent + r * angle) + 1.0
    found = NAV.geodesic(a, b)
    assert exact - 1e-6 <= found <= exact * 1.08 + 3 * CELL
    assert found == pytest.approx(NAV.geodesic(b, a), abs=1e-6)


@given(inside, inside)
@settings(max_examples=60)
def test_geodesic_and_path_agree(a, b):
    a, b = NAV.nearest_free(a), NAV.nearest_free(b)
    distance, straight = NAV.geodesic(a, b), math.dist(a, b)
    assert straight - 1e-9 <= distance < 12
    path = NAV.shortest_path(a, b)
    assert path[0] == a and path[-1] == b
    for p, q in pairwise(path):
        # The first and last leg join a free point to its cell's centre.
        assert not NAV.move(p, (q[0] - p[0], q[1] - p[1]))[1]
    length = sum(math.dist(p, q) for p, q in pairwise(path))
    assert length <= distance * 1.03 + 3 * CELL


def test_distance_field():
    field = NAV.distance_field((1.0, 2.0))
    assert field.dtype == np.float32 and field.shape == NAV.free.shape
    assert np.isfinite(field[NAV.free]).all() and np.isinf(field[~NAV.free]).all()
    assert field[NAV.cell_of((1.0, 2.0))] == 0
    centre = NAV.centre_of(NAV.cell_of((1.0, 2.0)))
    for xy in ((1.0, 0.5), (1.4, 3.0), (0.5, 3.4)):
        straight = math.dist(NAV.centre_of(NAV.cell_of(xy)), centre)
        assert straight - 1e-4 <= field[NAV.cell_of(xy)] <= straight * 1.03


def test_points_off_the_grid_are_refused():
    for bad in ((2.5, 2.0), (-1, 0), (50, 50)):
        for ask in (
            NAV.distance_field,
            lambda p: NAV.geodesic((1, 1), p),
            lambda p: NAV.shortest_path(p, (1, 1)),
        ):
            with pytest.raises(InputError, match="not a free point"):
                ask(bad)


def test_random_points_are_free_and_repeatable():
    points = [NAV.random_free_point(np.random.default_rng(k)) for k in range(50)]
    assert all(NAV.is_free(p) for p in points) and len(set(points)) > 40
    assert points == [NAV.random_free_point(np.random.default_rng(k)) for k in range(50)]


def test_scene_without_floor_rectangles_uses_its_bounds():
    from dataclasses import replace

    nav = NavGrid.from_scene(replace(box_room(CRATES), walkable=()))
    assert nav.is_free((1, 2)) and not nav.is_free((2.5, 2))


def test_an_enormous_scene_is_refused():
    from dataclasses import replace

    with pytest.raises(InputError, match="too large"):
        NavGrid.from_scene(replace(box_room(), walkable=((0, 0, 9000, 10),)))
