"""The shipped furniture: complete, credited, small, split by style, and checked when read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from worldloop.core.errors import InputError
from worldloop.envs.house.assets import DATA, PLACEMENTS, AssetLibrary, load_assets
from worldloop.envs.house.generate import CATEGORIES, STYLES
from worldloop.envs.house.materials import SIZE, material, material_names, sky

USES = ("floor", "wet_floor", "wall", "wet_wall", "ceiling", "trim")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped files that a test may damage."""
    for name in ("furniture.json", "furniture.npz"):
        shutil.copy(DATA / name, tmp_path / name)
    return tmp_path


def test_every_style_has_every_category_and_no_asset_is_in_two_styles() -> None:
    library = load_assets()
    assert library.categories == CATEGORIES
    assert len(CATEGORIES) >= 27
    for style in STYLES:
        assert {a.category for a in library.assets.values() if a.style == style} == set(CATEGORIES)
    meshes = [library.mesh(asset) for asset in library.assets]
    looks = [b"".join(a.tobytes() for a in (m.positions, m.colours, m.layers)) for m in meshes]
    assert len(set(looks)) == len(looks)


def test_variants_are_labelled() -> None:
    library = load_assets()
    for asset in library.assets.values():
        if asset.variant_of:
            base = library.assets[asset.variant_of]
            assert base.category == asset.category and base.size != asset.size
    assert sum(bool(a.variant_of) for a in library.assets.values()) < 0.2 * len(library.assets)


def test_meshes_stand_in_their_local_frame() -> None:
    library = load_assets()
    for asset in library.assets.values():
        mesh = library.mesh(asset.id)
        assert asset.placement in PLACEMENTS
        assert 0 < len(mesh.positions) <= 4000, asset.id
        assert all(np.isfinite(a).all() for a in (mesh.positions, mesh.normals, mesh.uvs, mesh.colours))
        assert np.allclose(np.linalg.norm(mesh.normals, axis=2), 1, atol=1e-4)
        assert mesh.colours.min() >= 0 and mesh.colours.max() <= 1
        low, high = mesh.positions.reshape(-1, 3).min(0), mesh.positions.reshape(-1, 3).max(0)
        assert np.allclose(high - low, asset.size, atol=2e-3), asset.id
        assert abs(low[0] + high[0]) < 2e-3
        if asset.placement == "wall":
            assert abs(high[1]) < 1e-3 and abs(low[2] + high[2]) < 2e-3
        elif asset.placement == "ceiling":
            assert abs(high[2]) < 1e-3
        else:
            assert abs(low[2]) < 1e-3 and abs(low[1] + high[1]) < 2e-3


def test_supports_carry_at_their_height() -> None:
    library = load_assets()
    for asset in library.assets.values():
        if asset.support_height:
            assert 0.2 < asset.support_height <= asset.size[2] + 1e-3
            assert any("1" in row for row in asset.support_cells)
            assert len({len(row) for row in asset.support_cells}) == 1
    for style in STYLES:
        assert all(a.support_height for a in library.find(style, "table"))


def test_every_model_is_credited_with_a_free_licence() -> None:
    credits = (DATA / "CREDITS.md").read_text(encoding="utf-8")
    for entry in json.loads((DATA / "furniture.json").read_text(encoding="utf-8"))["assets"]:
        assert f"| {entry['id']} |" in credits
        assert entry["creator"] and entry["licence_url"].startswith("https://")
        assert entry["licence"] in ("CC0-1.0", "CC-BY-3.0", "CC-BY-3.0-US", "Apache-2.0")


def test_the_files_are_small() -> None:
    assert sum(f.stat().st_size for f in DATA.glob("furniture.*")) <= 12e6


@pytest.mark.parametrize("name", ["furniture.json", "furniture.npz"])
def test_missing_or_cut_files_are_reported(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"\x00" * 100):
        (folder / name).write_bytes(content)
        with pytest.raises(InputError, match="furniture"):
            AssetLibrary(folder)
    (folder / name).unlink()
    with pytest.raises(InputError, match="reinstall"):
        AssetLibrary(folder)


def test_a_flipped_byte_in_the_geometry_is_reported(folder: Path) -> None:
    content = bytearray((folder / "furniture.npz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (folder / "furniture.npz").write_bytes(bytes(content))
    with pytest.raises(InputError, match="cannot be read"):
        AssetLibrary(folder)


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.update(assets=[]),
        lambda d: d.pop("uv_step"),
        lambda d: d["assets"][0].pop("size"),
        lambda d: d["assets"][0].update(placement="floating"),
        lambda d: d["assets"][0]["parts"][0].update(texture=10_000),
        lambda d: d["assets"][0]["parts"][0].update(faces=[0, 10**9]),
        lambda d: d["assets"][0]["parts"][0].update(vertices=[0, 1]),
        lambda d: d["assets"][0].update(parts=None),
        lambda d: d.update(assets={"chair": 1}),
    ],
)
def test_an_inconsistent_catalogue_is_reported(folder: Path, damage: object) -> None:
    document = json.loads((folder / "furniture.json").read_text(encoding="utf-8"))
    damage(document)  # type: ignore[operator]
    (folder / "furniture.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        AssetLibrary(folder)


def test_unknown_asset() -> None:
    with pytest.raises(InputError, match="no furniture"):
        load_assets().mesh("throne_a1")


def test_materials_are_disjoint_between_styles_and_repeat_without_a_seam() -> None:
    names = [n for style in STYLES for use in USES for n in material_names(style, use)]
    assert len(set(names)) == len(names)
    images = [material(n).image for n in names]
    assert len({i.tobytes() for i in images}) == len(images)
    for name in names:
        painted = material(name)
        assert painted.image.shape == (SIZE, SIZE, 3) and painted.image.dtype == np.uint8
        assert 0.3 < painted.metres < 5
    cloudy = material("cream plaster").image.astype(int)
    assert np.abs(cloudy[:, 0] - cloudy[:, -1]).max() <= 8
    assert np.abs(cloudy[0] - cloudy[-1]).max() <= 8
    assert sky().mean() > 200
    with pytest.raises(KeyError):
        material("gold leaf")
