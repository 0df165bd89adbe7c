"""Damaged scenes and assets: each is read or refused in a sentence, whatever bytes it holds."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from test_user_scenes import MJCF, glb_room
from worldloop.core import InputError
from worldloop.envs.house.assets import DATA, AssetLibrary
from worldloop.envs.house.mesh import TriangleScene
from worldloop.envs.house.user_scenes import load_user_scene

pytest.importorskip("trimesh")
FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """MuJoCo leaves a log in the working directory."""
    monkeypatch.chdir(tmp_path)


edits = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12)
"""Places, as shares of the file, and the byte that goes there."""


def edited(data: bytes, changes: list[tuple[float, int]], keep: float = 1.0) -> bytes:
    out = bytearray(data[: int(keep * len(data))])
    for place, value in changes:
        if out:
            out[int(place * len(out))] = value
    return bytes(out)


def read_or_refused(path: Path) -> None:
    """A scene that can be rendered, or an InputError that names the file."""
    try:
        scene = load_user_scene(path)
    except InputError as error:
        assert path.name in str(error)
        return
    assert isinstance(scene, TriangleScene) and np.isfinite(scene.positions).all()
    assert np.isfinite(scene.normals).all() and np.isfinite(scene.uvs).all()
    assert len(scene.textures) > scene.layers.max()


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    room = glb_room(folder / "room.glb")
    import trimesh

    trimesh.load(room).to_geometry().export(folder / "room.obj")
    return {
        "glb": room.read_bytes(),
        "obj": (folder / "room.obj").read_bytes(),
        "xml": MJCF.encode(),
    }


@pytest.mark.parametrize("kind", ["glb", "obj", "xml"])
@FUZZ
@given(changes=edits, keep=st.floats(0.2, 1.0) | st.just(1.0))
def test_scene_files_with_changed_bytes(files, tmp_path, kind, changes, keep):
    path = tmp_path / f"scene.{kind}"
    path.write_bytes(edited(files[kind], changes, keep))
    read_or_refused(path)


@FUZZ
@given(st.integers(0, 20), st.floats() | st.integers(-(10**9), 10**9))
def test_mjcf_with_any_number(tmp_path, which, number):
    numbers = list(re.finditer(r"(?<=[\" ])[.\d]+(?=[\" ])", MJCF))
    spot = numbers[which % len(numbers)]
    path = tmp_path / "scene.xml"
    path.write_text(MJCF[: spot.start()] + str(number) + MJCF[spot.end() :])
    read_or_refused(path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["furniture.json", "furniture.npz"]), changes=edits)
def test_assets_with_changed_bytes(tmp_path, name, changes):
    for file in DATA.glob("furniture.*"):
        shutil.copy(file, tmp_path / file.name)
    whole = (DATA / name).read_bytes()
    (tmp_path / name).write_bytes(edited(whole, changes))
    try:
        library = AssetLibrary(tmp_path)
    except InputError as error:
        assert "furniture" in str(error)
    else:  # a name or a number may have changed into another one that makes sense
        assert all(np.isfinite(library.mesh(a).positions).all() for a in list(library.assets)[:5])
