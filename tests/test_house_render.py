"""The renderer against geometry that can be worked out by hand."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from worldloop.core import InputError
from worldloop.envs.house import embree
from worldloop.envs.house.embree import library
from worldloop.envs.house.light import BakedLight, bake, bake_light, sample_grid
from worldloop.envs.house.render import Renderer, camera_pose, level_pose, panorama_rays, pinhole_rays

from house_boxes import box_room

CRATE, SHELF = 7, 8
EXTRA = (
    ("crate", (0.8, 0.2, 0.2), (3.0, 1.5, 0.0), (4.0, 2.5, 1.0)),
    ("shelf", (0.2, 0.3, 0.9), (1.0, 3.5, 0.0), (2.0, 4.0, 1.8)),
)


@pytest.fixture(scope="module")
def scene():
    return box_room(EXTRA, key="render-test")


@pytest.fixture(scope="module")
def light(scene, tmp_path_factory):
    return bake_light(scene, tmp_path_factory.mktemp("light"))


@pytest.fixture(scope="module")
def renderer(scene, light):
    return Renderer(scene, light)


def same(a, b):
    return all(x.tobytes() == y.tobytes() for x, y in zip(a, b))


def test_camera_axes_and_yaw():
    pose = camera_pose(1, 2, 90, height=1.25)
    np.testing.assert_array_equal(pose[:3, 2], [0, 1, 0])  # forward
    np.testing.assert_array_equal(pose[:3, 0], [1, 0, 0])  # right
    np.testing.assert_array_equal(pose[:3, 1], [0, 0, -1])  # down
    np.testing.assert_array_equal(pose[:3, 3], [1, 2, 1.25])


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (33, 20), (-120, -45), (271.5, 89)])
def test_camera_pose_is_a_rotation(yaw, pitch):
    rotation = camera_pose(0, 0, yaw, pitch_deg=pitch)[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    assert rotation[2, 2] == pytest.approx(math.sin(math.radians(pitch)))


@pytest.mark.parametrize("pitch", [-90, -30, 30, 90])
def test_level_pose_keeps_place_and_heading(pitch):
    level = level_pose(camera_pose(1, 2, 60, pitch_deg=pitch))
    np.testing.assert_allclose(level, camera_pose(1, 2, 60), atol=1e-9)


def test_depth_is_metres_along_the_optical_axis(renderer):
    frame = renderer.pinhole(camera_pose(1, 2, 180), size=64)
    assert frame.depth.dtype == np.float32 and frame.depth.shape == (64, 64)
    # The whole wall x = 0 lies at the same depth, however oblique the ray.
    wall = frame.segmentation == 3
    assert wall[32, 32]
    np.testing.assert_allclose(frame.depth[wall], 1.0, atol=1e-4)


def test_depth_to_the_crate(renderer):
    frame = renderer.pinhole(camera_pose(1, 2, 0, height=0.5), size=(48, 64), hfov_deg=60)
    assert frame.rgb.shape == (48, 64, 3) and frame.rgb.dtype == np.uint8
    assert frame.segmentation[24, 32] == CRATE
    assert frame.depth[24, 32] == pytest.approx(2.0, abs=1e-4)
    # The crate's face is 1 m wide and 2 m away: it spans width / (2 tan 30) / 2 pixels.
    expected = 64 / (2 * math.tan(math.radians(30))) / 2
    assert (frame.segmentation[24] == CRATE).sum() == pytest.approx(expected, abs=1)


def test_left_is_left(renderer):
    pose = camera_pose(1.5, 2, 90)  # looks along +y, so +x is right
    frame = renderer.pinhole(pose, 64)
    around = renderer.panorama(pose, 32)
    assert frame.segmentation[32, 60] != frame.segmentation[32, 4]
    shelf = np.argwhere(frame.segmentation == SHELF)
    assert shelf[:, 1].min() > 5 and shelf[:, 1].max() < 58
    # Column of a world direction in the panorama: left of forward is the wall x = 0.
    assert around.segmentation[16, 16] == 3 and around.segmentation[16, 48] == 4
    assert around.segmentation[0].tolist() == [2] * 64 and around.segmentation[-1].tolist() == [1] * 64


def test_panorama_middle_agrees_with_the_pinhole(renderer):
    pose = camera_pose(1.2, 1.0, 37)
    # An odd height puts no ray exactly forward; compare the ranges along nearly the same directions.
    around, frame = renderer.panorama(pose, 256), renderer.pinhole(pose, 255)
    for column in (255, 256):
        assert around.depth[128, column] == pytest.approx(frame.depth[127, 127], rel=0.01)
        assert around.segmentation[128, column] == frame.segmentation[127, 127]
        assert np.abs(around.rgb[128, column].astype(int) - frame.rgb[127, 127]).max() <= 4


def test_panorama_depth_is_the_range_along_the_ray(renderer):
    around = renderer.panorama(camera_pose(2.5, 0.8, 0, height=1.2), 64)
    row, column = 60, 64
    polar = (row + 0.5) * math.pi / 64
    assert around.segmentation[row, column] == 1
    assert around.depth[row, column] == pytest.approx(1.2 / -math.cos(polar), rel=1e-4)


def test_panorama_is_level_when_the_camera_is_not(renderer):
    tilted = renderer.panorama(camera_pose(2, 1, 50, pitch_deg=-25), 16)
    level = renderer.panorama(camera_pose(2, 1, 50), 16)
    np.testing.assert_array_equal(tilted.segmentation, level.segmentation)


def test_pixels_reproject_onto_the_geometry(renderer):
    """Depth, pose and field of view together give back points that lie on the walls."""
    pose, size, hfov = camera_pose(1.3, 1.1, 112.5, pitch_deg=10), 32, 75.0
    frame = renderer.pinhole(pose, size, hfov)
    focal = size / (2 * math.tan(math.radians(hfov) / 2))
    j, i = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    local = (
        np.stack([(j - size / 2) / focal, (i - size / 2) / focal, np.ones_like(i)], -1)
        * frame.depth[..., None]
    )
    world = local @ pose[:3, :3].T + pose[:3, 3]
    assert np.abs(world[frame.segmentation == 6][:, 1] - 4.0).max() < 1e-3
    assert np.abs(world[frame.segmentation == 3][:, 0]).max() < 1e-3
    assert np.abs(world[frame.segmentation == 2][:, 2] - 2.5).max() < 1e-3


@pytest.mark.parametrize("size", [1, 3, (5, 7), (16, 10), 33])
def test_any_size(renderer, size):
    frame = renderer.pinhole(camera_pose(1, 1, 10), size)
    assert (frame.segmentation > 0).all() and (frame.depth > 0).all()


def test_bad_camera(renderer):
    for settings in ({"size": 0}, {"size": (4, -1)}, {"hfov_deg": 0}, {"hfov_deg": 180}):
        with pytest.raises(InputError):
            renderer.pinhole(camera_pose(1, 1, 0), **settings)
    with pytest.raises(InputError):
        renderer.panorama(camera_pose(1, 1, 0), 0)


def test_nothing_hit_is_zero():
    scene = box_room()
    keep = scene.instances == 1

    names = ("positions", "normals", "uvs", "layers", "colours", "instances")
    floor = replace(scene, key="floor", **{n: getattr(scene, n)[keep] for n in names})
    frame = Renderer(floor, BakedLight.uniform(floor)).pinhole(camera_pose(2, 2, 0), 16)
    assert (frame.segmentation[:8] == 0).all() and (frame.depth[:8] == 0).all()
    assert (frame.segmentation[12:] == 1).all()


def test_threads_and_splitting_change_nothing(scene, light, renderer):
    poses = [camera_pose(1 + 0.1 * k, 1, 25 * k) for k in range(12)]
    alone = [(renderer.pinhole(p, 50), renderer.panorama(p, 20)) for p in poses]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda p: (renderer.pinhole(p, 50), renderer.panorama(p, 20)), poses))
    split = Renderer(scene, light, workers=3)
    for p, (picture, around), (picture2, around2) in zip(poses, alone, together):
        assert same(picture, picture2) and same(around, around2)
        assert same(picture, split.pinhole(p, 50)) and same(around, split.panorama(p, 20))


_CHILD = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from house_boxes import box_room
from test_house_render import digest
print(digest(sys.argv[2]))
"""


def digest(cache):
    scene = box_room(EXTRA, key="digest")
    renderer = Renderer(scene, bake_light(scene, cache))
    total = hashlib.sha256()
    for k in range(4):
        for array in (
            *renderer.pinhole(camera_pose(1, 1, 40 * k), 40),
            *renderer.panorama(camera_pose(1, 1, k), 16),
        ):
            total.update(array.tobytes())
    return total.hexdigest()


def test_same_bytes_in_another_process(tmp_path):
    command = [sys.executable, "-c", _CHILD, str(Path(__file__).parent), str(tmp_path / "other")]
    other = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert other == digest(tmp_path / "here")


def test_antialiasing_touches_only_edges(renderer):
    pose = camera_pose(1, 1.2, 20)
    plain, smooth = renderer.pinhole(pose, 64), renderer.pinhole(pose, 64, antialias=True)
    np.testing.assert_array_equal(plain.segmentation, smooth.segmentation)
    np.testing.assert_array_equal(plain.depth, smooth.depth)
    changed = (plain.rgb != smooth.rgb).any(axis=2)
    ids = np.pad(plain.segmentation, 1, mode="edge")
    near = [ids[1 + i : 65 + i, 1 + j : 65 + j] for i, j in ((0, 1), (0, -1), (1, 0), (-1, 0))]
    edge = np.any([n != plain.segmentation for n in near], axis=0)
    assert changed.any() and not (changed & ~edge).any()


def test_texture_repeats_and_rows_run_down():
    texture = np.zeros((1, 64, 64, 3), np.uint8)
    texture[0, :32] = 255  # the first rows, v in 0..0.5, are white
    scene = box_room(textures=texture)
    # The floor's uv is (x, y): white for y in 0..0.5, 1..1.5, ... A flat light keeps shading out.
    scene = type(scene)(
        **{**{f: getattr(scene, f) for f in scene.__slots__}, "colours": np.ones_like(scene.colours)}
    )
    renderer = Renderer(scene, BakedLight.uniform(scene, 0.5))
    for y, white in ((1.25, True), (1.75, False), (2.25, True), (3.75, False)):
        pixel = renderer.pinhole(camera_pose(2.5, y, 0, height=0.4, pitch_deg=-90), 8).rgb[4, 4]
        assert (pixel > 120).all() if white else (pixel < 30).all()


def test_light_is_plausible(scene, light, renderer):
    assert np.isfinite(light.values).all() and (light.values >= 0).all()
    picture = renderer.pinhole(camera_pose(0.5, 0.5, 45), 64).rgb
    assert 80 < picture.mean() < 220
    # Under the lamp the floor is brighter than in the shadow right behind the crate.
    down = {"height": 0.6, "pitch_deg": -90}
    lit = renderer.pinhole(camera_pose(2.2, 2.0, 0, **down), 8).rgb.mean()
    shadow = renderer.pinhole(camera_pose(4.4, 2.0, 0, **down), 8).rgb.mean()
    assert lit > shadow + 15


def test_baking_is_the_same_for_any_number_of_threads(scene):
    grid = sample_grid(scene)
    assert bake(scene, grid, workers=1).tobytes() == bake(scene, grid, workers=3).tobytes()


def test_light_cache(scene, tmp_path, caplog):
    fresh = bake_light(scene, tmp_path)
    (path,) = (tmp_path / "light").iterdir()
    stamp = path.stat().st_mtime_ns
    again = bake_light(scene, tmp_path)
    assert again.values.tobytes() == fresh.values.tobytes() and path.stat().st_mtime_ns == stamp
    stored = path.read_bytes()
    for damage in (b"", b"not a zip", stored[: len(stored) // 2], stored[:-200] + bytes(200)):
        path.write_bytes(damage)
        caplog.clear()
        rebaked = bake_light(scene, tmp_path)
        assert rebaked.values.tobytes() == fresh.values.tobytes()
        assert "baking again" in caplog.text
        assert path.read_bytes() == stored
    assert [p.name for p in (tmp_path / "light").iterdir()] == [path.name]


def test_light_cache_of_another_geometry_is_not_used(scene, tmp_path, caplog):
    other = box_room(key=scene.key)
    bake_light(other, tmp_path)
    assert len(bake_light(scene, tmp_path).offsets) == len(scene.positions)
    assert "does not fit" in caplog.text


def test_unwritable_cache_costs_only_time(scene, tmp_path, caplog):
    blocker = tmp_path / "file"
    blocker.write_text("")
    assert np.isfinite(bake_light(scene, blocker).values).all()
    assert "could not store" in caplog.text


def test_light_of_another_scene_is_refused(scene):
    with pytest.raises(InputError):
        Renderer(scene, BakedLight.uniform(box_room()))


def test_lampshades_and_windows_glow(tmp_path):
    lamp = (2.5, 2.0, 2.2)
    room = box_room([("lamp", (1, 1, 1), (2.4, 1.9, 2.1), (2.6, 2.1, 2.3))], key="glow", lights=(lamp,))
    renderer = Renderer(room, bake_light(room, tmp_path))
    frame = renderer.pinhole(camera_pose(1.5, 2, 0, height=2.2), 32)
    shade = frame.segmentation == 7
    assert shade.any() and frame.rgb[shade].min() > 200
    dark = box_room(key="dark", lights=())
    panes = {**dark.things, 4: replace(dark.things[4], category="window")}
    lit = replace(dark, key="windows", things=panes)
    pose = camera_pose(2.5, 2, 180)
    brightness = [Renderer(s, bake_light(s, tmp_path)).pinhole(pose, 16).rgb.mean() for s in (dark, lit)]
    assert brightness[1] > brightness[0] + 10


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_every_width_of_packet_shows_the_same(scene, light, renderer, monkeypatch, lanes):
    """Processors differ in the widest packet they trace; what is seen does not."""
    pose = camera_pose(1, 1.2, 20)
    expected = renderer.pinhole(pose, 50), renderer.panorama(pose, 20)
    lib, caches = library(), (pinhole_rays, panorama_rays)
    monkeypatch.setattr(lib, "intersect_camera", lib._address(f"rtcIntersect{lanes}"))
    monkeypatch.setattr(lib, "lanes", lanes)
    try:
        for cached in caches:
            cached.cache_clear()
        other = Renderer(scene, light)
        found = other.pinhole(pose, 50), other.panorama(pose, 20)
        smooth = other.pinhole(pose, 50, antialias=True)
    finally:
        for cached in caches:
            cached.cache_clear()
    for a, b in zip(expected, found):
        assert (a.segmentation == b.segmentation).mean() > 0.999
        np.testing.assert_allclose(a.depth, b.depth, atol=1e-3)
        assert np.abs(a.rgb.astype(int) - b.rgb).max() <= 2
    assert smooth.rgb.shape == (50, 50, 3)


def test_missing_embree_says_what_to_install(monkeypatch):
    monkeypatch.setattr(embree, "_candidates", lambda: ["/nowhere/libembree4.so"])
    with pytest.raises(InputError, match="aarch64"):
        embree._Library()
