"""Scenes from files: what is read, how it is turned, and what bad files say."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from worldloop.core import InputError, MissingExtraError
from worldloop.envs.house.light import BakedLight
from worldloop.envs.house.navigation import NavGrid
from worldloop.envs.house.render import Renderer, camera_pose
from worldloop.envs.house.user_scenes import corner_normals, floor_level, load_user_scene

trimesh = pytest.importorskip("trimesh")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """MuJoCo leaves a log in the working directory."""
    monkeypatch.chdir(tmp_path)


def glb_room(path):
    """A y-up floor of 6 x 4 m with a red box on it (x = 2, z = -1 in glTF, so y = 1 here)."""
    from PIL import Image

    scene = trimesh.Scene()
    floor = trimesh.creation.box((6, 0.2, 4))
    floor.apply_translation((0, -0.1, 0))
    image = Image.fromarray(np.full((8, 8, 3), (40, 160, 40), np.uint8))
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=image)
    floor.visual = trimesh.visual.TextureVisuals(uv=floor.vertices[:, [0, 2]], material=material)
    scene.add_geometry(floor, node_name="floor")
    crate = trimesh.creation.box((0.5, 1.0, 0.5))
    crate.visual = trimesh.visual.TextureVisuals(
        material=trimesh.visual.material.PBRMaterial(baseColorFactor=(255, 0, 0, 255))
    )
    place = np.eye(4)
    place[:3, 3] = 2, 0.5, -1
    scene.add_geometry(crate, node_name="Crate_1", transform=place)
    scene.export(path)
    return path


MJCF = """<mujoco><worldbody>
<light pos="0 0 3"/><geom name="floor" type="plane" size="4 3 .1" rgba=".7 .6 .5 1"/>
<body name="ball_1" pos="2 1 .3"><freejoint/><geom type="sphere" size=".3" rgba="1 0 0 1"/></body>
<body name="post" pos="-2 0 .5"><geom type="capsule" size=".1 .4"/><geom type="cylinder" size=".2 .05" pos="0 0 -.45"/>
<geom type="box" size="9 9 9" group="3"/></body>
<body name="egg" pos="0 2 .2"><geom type="ellipsoid" size=".1 .1 .2"/></body>
<body name="crate" pos="0 -2 .25" euler="0 0 90"><geom type="box" size=".5 .25 .25"/></body>
</worldbody></mujoco>"""


def things_by_name(scene):
    return {t.name: t for t in scene.things.values()}


def test_glb(tmp_path):
    scene = load_user_scene(glb_room(tmp_path / "room.glb"))
    things = things_by_name(scene)
    crate = things["Crate_1"]
    np.testing.assert_allclose(crate.lower, (1.75, 0.75, 0), atol=1e-5)
    np.testing.assert_allclose(crate.upper, (2.25, 1.25, 1.0), atol=1e-5)
    assert crate.category == "crate" and not crate.structure and things["floor"].structure
    assert scene.walkable == ((-3.0, -2.0, 3.0, 2.0),) and len(scene.lights)
    frame = Renderer(scene, BakedLight.uniform(scene)).pinhole(camera_pose(0, 1, 0, height=0.5), 32)
    assert frame.segmentation[16, 16] == crate.id and frame.depth[16, 16] == pytest.approx(1.75, abs=1e-4)
    red, green = frame.rgb[16, 16].astype(int), frame.rgb[31, 16].astype(int)
    assert red[0] > 100 + red[1] and green[1] > 60 + green[0]
    nav = NavGrid.from_scene(scene)
    assert nav.is_free((0, 0)) and not nav.is_free((2, 1))


def test_obj(tmp_path):
    path = tmp_path / "cube.obj"
    trimesh.creation.box((2, 2, 2)).export(path)
    scene = load_user_scene(path)
    assert len(scene.positions) == 12 and np.isfinite(scene.normals).all()


def test_same_file_same_key(tmp_path):
    a, b = load_user_scene(glb_room(tmp_path / "a.glb")), load_user_scene(glb_room(tmp_path / "b.glb"))
    assert a.key == b.key and a.key.startswith("user-")


def test_mjcf(tmp_path):
    pytest.importorskip("mujoco")
    path = tmp_path / "room.xml"
    path.write_text(MJCF)
    scene = load_user_scene(path)
    things = things_by_name(scene)
    assert set(things) == {"floor", "ball_1", "post", "egg", "crate"}
    np.testing.assert_allclose(things["ball_1"].lower, (1.7, 0.7, 0.0), atol=0.01)
    np.testing.assert_allclose(things["ball_1"].upper, (2.3, 1.3, 0.6), atol=0.01)
    np.testing.assert_allclose(things["post"].upper, (-1.8, 0.2, 1.0), atol=0.01)
    np.testing.assert_allclose(things["egg"].upper, (0.1, 2.1, 0.4), atol=0.01)
    np.testing.assert_allclose(things["crate"].upper, (0.25, -1.5, 0.5), atol=0.01)
    np.testing.assert_allclose(scene.lights, [[0, 0, 3]])
    # Every closed shape is wound outwards.
    centres = scene.positions.mean(axis=1)
    faces = np.cross(
        scene.positions[:, 1] - scene.positions[:, 0], scene.positions[:, 2] - scene.positions[:, 0]
    )
    for name in ("ball_1", "egg", "crate"):
        own = scene.instances == things[name].id
        assert ((centres[own] - centres[own].mean(axis=0)) * faces[own]).sum(axis=1).min() > 0
    frame = Renderer(scene, BakedLight.uniform(scene)).pinhole(camera_pose(0, 1, 0, height=0.3), 33)
    assert frame.segmentation[16, 16] == things["ball_1"].id
    assert frame.depth[16, 16] == pytest.approx(1.7, abs=0.01)


def test_user_scene_in_the_world(tmp_path, monkeypatch):
    from worldloop.core import Episode
    from worldloop.envs.house.world import HouseWorld

    monkeypatch.setenv("WORLDLOOP_CACHE", str(tmp_path))
    path = str(glb_room(tmp_path / "room.glb"))
    world = HouseWorld(size=16, panorama_height=None)
    seen = world.reset(Episode("e", "t", path, 0, {"position": [0, 0], "yaw_deg": 0}, {}, 1))
    assert seen.rgb.mean() > 30


def test_missing_file_and_unknown_kind(tmp_path):
    with pytest.raises(InputError, match="no scene file"):
        load_user_scene(tmp_path / "absent.glb")
    odd = tmp_path / "scene.fbx"
    odd.write_bytes(b"x")
    with pytest.raises(InputError, match=r"\.fbx"):
        load_user_scene(odd)


@pytest.mark.parametrize("suffix", ["glb", "gltf", "obj", "xml"])
@pytest.mark.parametrize("content", [b"", b"\x00garbage\xff", b"{}", b"<mujoco/>", b"glTF\x02\x00\x00\x00"])
def test_damaged_files(tmp_path, suffix, content):
    path = tmp_path / f"bad.{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError):
        load_user_scene(path)


def test_truncated_glb(tmp_path):
    path = glb_room(tmp_path / "room.glb")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError):
        load_user_scene(path)


def test_coordinates_that_are_no_numbers(tmp_path):
    path = tmp_path / "nan.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 0 nan 1\nf 1 2 3\n")
    with pytest.raises(InputError):
        load_user_scene(path)


@pytest.mark.parametrize(("module", "name"), [("trimesh", "room.glb"), ("mujoco", "room.xml")])
def test_missing_reader_names_the_extra(tmp_path, monkeypatch, module, name):
    path = tmp_path / name
    path.write_bytes(b"x")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match="scenes"):
        load_user_scene(path)


def test_normals_are_smooth_on_balls_and_flat_on_boxes():
    ball = trimesh.creation.icosphere(subdivisions=3)
    points = ball.vertices[ball.faces]
    assert (corner_normals(points) * points).sum(axis=2).min() > 0.99
    cube = trimesh.creation.box()
    np.testing.assert_allclose(
        corner_normals(cube.triangles), np.repeat(cube.face_normals[:, None], 3, axis=1), atol=1e-6
    )


def test_floor_level_is_the_floor_and_not_the_roof():
    slab = trimesh.creation.box((5, 5, 0.2)).triangles
    assert floor_level(
        np.concatenate([slab + np.array([0, 0, 0.5]), slab + np.array([0, 0, 3])])
    ) == pytest.approx(0.6)
