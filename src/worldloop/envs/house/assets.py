"""The furniture that ships with worldloop: a catalogue and simplified meshes (see data/CREDITS.md).

Local frame of an asset: z up, front towards -y. The origin is the centre of the footprint on the floor; for
`wall` items it is the centre of the back, for `ceiling` items the centre of the top.
"""

from __future__ import annotations

import functools
import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.core.errors import InputError

DATA = Path(__file__).parent / "data"
PLACEMENTS = ("floor_wall", "floor_free", "surface", "wall", "ceiling")
_CREASE = 0.5
"""Cosine of the angle between faces above which an edge is shaded smooth."""


@dataclass(frozen=True, slots=True)
class AssetPart:
    """One material of an asset; the ranges index the library's shared arrays."""

    vertices: tuple[int, int]
    faces: tuple[int, int]
    colour: tuple[float, float, float]
    """sRGB in 0..1."""
    texture: int
    """Layer of the library's textures, or -1."""
    alpha: float
    """Opacity of the material, for information: scenes are opaque."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One piece of furniture in the catalogue."""

    id: str
    category: str
    name: str
    style: str
    """`A`, `B` or `C`: no asset belongs to two styles."""
    placement: str
    """One of `PLACEMENTS`."""
    role: str
    """Narrows a category where placement differs: `coffee` tables, `kitchen` sinks, `upper` cabinets."""
    rooms: tuple[str, ...]
    """Room types it suits."""
    size: tuple[float, float, float]
    """Width, depth, height in metres."""
    lower: tuple[float, float, float]
    """Bounds in the local frame, metres."""
    elevation: float
    """Height of the middle of a `wall` item above the floor, metres."""
    support_height: float
    """Height of the surface on which things can stand, metres; 0 where there is none."""
    support_cells: tuple[str, ...]
    """Free cells of that surface, `AssetLibrary.support_cell` metres wide, from the lower corner: one string
    of `0` and `1` per step along x, one sign per step along y."""
    variant_of: str
    """The asset this one recolours and rescales, or empty."""
    creator: str
    licence: str
    parts: tuple[AssetPart, ...]


@dataclass(frozen=True, slots=True, eq=False)
class AssetMesh:
    """An asset as a triangle soup of n triangles in its local frame."""

    positions: np.ndarray
    """float32 [n,3,3]."""
    normals: np.ndarray
    """float32 [n,3,3], unit, per corner."""
    uvs: np.ndarray
    """float32 [n,3,2]."""
    layers: np.ndarray
    """int32 [n], layers of the library's textures; -1 is untextured."""
    colours: np.ndarray
    """float32 [n,3]."""


class AssetLibrary:
    """The catalogue, with meshes unpacked when they are first used."""

    def __init__(self, folder: Path = DATA) -> None:
        """Read `furniture.json` and `furniture.npz`; InputError when one is missing or damaged."""
        try:
            raw = [(folder / name).read_bytes() for name in ("furniture.json", "furniture.npz")]
            document = json.loads(raw[0])
            with np.load(folder / "furniture.npz", allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in ("vertices", "uvs", "faces", "indices", "palettes")}
            assets = [_asset(entry) for entry in document["assets"]]
            self._uv_step = float(document["uv_step"])
            self.support_cell = float(document["support_cell"])
            _check(assets, arrays)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            message = f"the furniture in {folder} cannot be read ({error}); reinstall worldloop"
            raise InputError(message) from error
        self.hash = hashlib.sha256(b"".join(raw)).hexdigest()
        """Content hash of both files."""
        self.assets: Mapping[str, Asset] = {asset.id: asset for asset in assets}
        """Asset id -> catalogue entry."""
        self._arrays = arrays
        self._meshes: dict[str, AssetMesh] = {}

    @property
    def categories(self) -> tuple[str, ...]:
        """All categories, sorted."""
        return tuple(sorted({asset.category for asset in self.assets.values()}))

    def find(self, style: str, category: str, role: str | None = None) -> list[Asset]:
        """The assets of a style and category (and role), in catalogue order."""
        return [
            a
            for a in self.assets.values()
            if a.style == style and a.category == category and (role is None or a.role == role)
        ]

    def texture(self, layer: int) -> np.ndarray:
        """uint8 [S,S,3] sRGB."""
        image: np.ndarray = self._arrays["palettes"][layer][self._arrays["indices"][layer]]
        return image

    def mesh(self, asset_id: str) -> AssetMesh:
        """The triangles of an asset; InputError for an unknown id."""
        if asset_id not in self.assets:
            raise InputError(f"no furniture {asset_id!r}")
        if asset_id not in self._meshes:
            self._meshes[asset_id] = self._unpack(self.assets[asset_id])
        return self._meshes[asset_id]

    def _unpack(self, asset: Asset) -> AssetMesh:
        lower = np.array(asset.lower)
        positions, normals, uvs = [], [], []
        for part in asset.parts:
            span = slice(*part.vertices)
            vertices = self._arrays["vertices"][span] / 65535 * np.array(asset.size) + lower
            faces = self._arrays["faces"][slice(*part.faces)].astype(np.int64)
            positions.append(vertices[faces])
            normals.append(_corner_normals(vertices, faces))
            uvs.append(self._arrays["uvs"][span][faces] / self._uv_step)
        counts = [part.faces[1] - part.faces[0] for part in asset.parts]
        return AssetMesh(
            np.concatenate(positions).astype(np.float32),
            np.concatenate(normals).astype(np.float32),
            np.concatenate(uvs).astype(np.float32),
            np.repeat(np.array([p.texture for p in asset.parts], np.int32), counts),
            np.repeat(np.array([p.colour for p in asset.parts], np.float32), counts, axis=0),
        )


@functools.lru_cache(maxsize=1)
def load_assets() -> AssetLibrary:
    """The shipped library, read once per process."""
    return AssetLibrary()


def _asset(entry: Mapping[str, Any]) -> Asset:
    fields = {k: entry[k] for k in ("id", "category", "name", "style", "placement", "role", "variant_of")}
    if fields["placement"] not in PLACEMENTS:
        raise ValueError(f"unknown placement {fields['placement']!r}")
    parts = tuple(
        AssetPart(
            tuple(p["vertices"]), tuple(p["faces"]), tuple(p["colour"]), int(p["texture"]), float(p["alpha"])
        )
        for p in entry["parts"]
    )
    support = entry["support"]
    return Asset(
        **fields,
        rooms=tuple(entry["rooms"]),
        size=tuple(entry["size"]),
        lower=tuple(entry["bounds"][0]),
        elevation=float(entry["elevation"]),
        support_height=float(support.get("height", 0.0)),
        support_cells=tuple(support.get("cells", ())),
        creator=str(entry["creator"]),
        licence=str(entry["licence"]),
        parts=parts,
    )


def _check(assets: list[Asset], arrays: Mapping[str, np.ndarray]) -> None:
    """ValueError unless every range and index stays inside the arrays."""
    shapes = {"vertices": (3,), "uvs": (2,), "faces": (3,), "palettes": (256, 3)}
    for name, tail in shapes.items():
        if arrays[name].shape[1:] != tail or arrays[name].dtype.kind != "u":
            raise ValueError(f"array {name} has the wrong shape or type")
    if not assets or arrays["indices"].ndim != 3 or len(arrays["indices"]) != len(arrays["palettes"]):
        raise ValueError("the catalogue or the textures are incomplete")
    if len(arrays["uvs"]) != len(arrays["vertices"]):
        raise ValueError("vertices and texture coordinates differ in number")
    for part in (part for asset in assets for part in asset.parts):
        (v0, v1), (f0, f1) = part.vertices, part.faces
        if not (0 <= v0 < v1 <= len(arrays["vertices"]) and 0 <= f0 < f1 <= len(arrays["faces"])):
            raise ValueError("a part lies outside the stored arrays")
        if arrays["faces"][f0:f1].max() >= v1 - v0 or not -1 <= part.texture < len(arrays["palettes"]):
            raise ValueError("a part refers to a vertex or texture that is not stored")


def _corner_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """float64 [n,3,3]: smooth across shallow edges, flat across creases."""
    corners = vertices[faces]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    _, welded = np.unique(np.round(vertices, 4), axis=0, return_inverse=True)
    welded = welded.reshape(-1)[faces]
    size = int(welded.max()) + 1
    # Area-weighted sum of the faces around each place: bincount beats add.at by far.
    weights = np.repeat(face, 3, axis=0)
    smooth = np.stack([np.bincount(welded.ravel(), weights[:, k], size) for k in range(3)], axis=1)[welded]
    flat = _unit(face)[:, None].repeat(3, axis=1)
    smooth = _unit(smooth)
    return np.where(((smooth * flat).sum(-1) < _CREASE)[..., None], flat, smooth)


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(length > 1e-12, vectors / np.maximum(length, 1e-12), (0.0, 0.0, 1.0))
