"""Reads Sweet Home 3D furniture libraries (.sh3f): a zip with a catalogue, OBJ models and their textures."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass
class Part:
    """One material of a model, as an indexed mesh in metres, z-up, front towards -y."""

    vertices: np.ndarray
    """float32 [V,3]."""
    faces: np.ndarray
    """int32 [F,3]."""
    uvs: np.ndarray
    """float32 [V,2], v grows downwards as image rows do."""
    colour: tuple[float, float, float]
    texture: np.ndarray | None = None
    """uint8 [h,w,3]."""
    alpha: float = 1.0
    """Opacity of the material, 0..1."""


@dataclass
class Model:
    """A model as it came from the library, or as drawn by `furniture_shapes`."""

    name: str
    parts: list[Part]
    creator: str = ""
    licence_note: str = ""
    """What the model's own licence file says about title and address, in one line."""
    needs_credit: bool = False
    """The model's own licence file asks for attribution, whatever the library says."""

    @property
    def triangles(self) -> int:
        return sum(len(p.faces) for p in self.parts)


class Library:
    """One .sh3f file."""

    def __init__(self, path: Path) -> None:
        self.archive = zipfile.ZipFile(path)
        self.members = set(self.archive.namelist())
        entries: dict[int, dict[str, str]] = defaultdict(dict)
        for line in self._text("PluginFurnitureCatalog.properties").splitlines():
            match = re.match(r"(\w+)#(\d+)=(.*)", line)
            if match:
                entries[int(match[2])][match[1]] = match[3].encode("latin1").decode("unicode_escape")
        self.entries = {posixpath.basename(e["model"])[:-4]: e for e in entries.values()}

    def _text(self, member: str) -> str:
        return self.archive.read(member).decode("latin1")

    def model(self, key: str, turns: int = 0) -> Model:
        """The model whose file is called `key`, scaled to its catalogue size and stood on the floor.

        `turns` rotates by quarter turns about z where the library's front is not the catalogue's.
        """
        entry = self.entries[key]
        path = entry["model"].lstrip("/")
        folder = posixpath.dirname(path)
        vertices, texcoords, faces, materials = self._read_obj(path, folder)
        if "modelRotation" in entry:
            vertices = vertices @ np.array(entry["modelRotation"].split(), float).reshape(3, 3).T
        used = np.unique(np.concatenate([f[:, :, 0].ravel() for f in faces.values()]))
        low, high = vertices[used].min(0), vertices[used].max(0)
        size = np.array([float(entry[k]) for k in ("width", "height", "depth")]) / 100
        vertices = (vertices - (low + high) / 2) * (size / np.maximum(high - low, 1e-9))
        vertices[:, 1] += size[1] / 2
        vertices = np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], axis=1)
        for _ in range(turns % 4):
            vertices = np.stack([-vertices[:, 1], vertices[:, 0], vertices[:, 2]], axis=1)
        parts = [self._part(vertices, texcoords, f, materials.get(m, {}), folder) for m, f in faces.items()]
        note, credit = self._licence(folder)
        return Model(
            entry["name"], [p for p in parts if len(p.faces)], entry.get("creator", ""), note, credit
        )

    def _licence(self, folder: str) -> tuple[str, bool]:
        """Title and address of the model, and whether its own licence file asks for attribution."""
        for member in sorted(self.members):
            base = posixpath.basename(member)
            if member.startswith(folder + "/") and "license" in base.lower():
                text = re.sub(r"<[^>]+>", " ", self._text(member))
                title = re.search(r"Thank you for downloading \"([^\"]+)\"", text)
                if title is None:
                    title = re.search(r"\d+ - (.+?) - Licen", base, re.I)
                address = re.search(r"https?://(?:www\.)?blendswap\.com/blends?/[\w/]*\d+", text)
                note = ([f'"{title[1].strip()}"'] if title else []) + ([address[0]] if address else [])
                return ", ".join(note), "Creative Commons Attribution" in text
        return "", False

    def _read_obj(
        self, path: str, folder: str
    ) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], dict[str, dict[str, str]]]:
        vertices: list[list[float]] = []
        texcoords: list[list[float]] = [[0.0, 0.0]]
        faces: dict[str, list[list[tuple[int, int]]]] = defaultdict(list)
        materials: dict[str, dict[str, str]] = {}
        material = ""
        for line in self._text(path).splitlines():
            words = line.split()
            if not words:
                continue
            if words[0] == "v":
                vertices.append([float(w) for w in words[1:4]])
            elif words[0] == "vt":
                texcoords.append([float(w) for w in words[1:3]])
            elif words[0] == "f":
                corners = [_corner(w, len(vertices), len(texcoords)) for w in words[1:]]
                faces[material] += [
                    [corners[0], corners[i], corners[i + 1]] for i in range(1, len(corners) - 1)
                ]
            elif words[0] == "usemtl":
                material = words[1]
            elif words[0] == "mtllib":
                member = posixpath.join(folder, " ".join(words[1:]))
                if member in self.members:
                    materials.update(_read_mtl(self._text(member)))
        grouped = {m: np.array(f, np.int64) for m, f in faces.items()}
        return np.array(vertices), np.array(texcoords), grouped, materials

    def _part(
        self,
        vertices: np.ndarray,
        texcoords: np.ndarray,
        faces: np.ndarray,
        material: dict[str, str],
        folder: str,
    ) -> Part:
        corners, inverse = np.unique(faces.reshape(-1, 2), axis=0, return_inverse=True)
        points = vertices[corners[:, 0]].astype(np.float32)
        uvs = texcoords[corners[:, 1]].astype(np.float32) * (1, -1) + (0, 1)
        index = inverse.reshape(-1, 3).astype(np.int32)
        edges = points[index[:, 1:]] - points[index[:, :1]]
        index = index[np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1) > 1e-10]
        colour = tuple(float(x) for x in material.get("Kd", "0.8 0.8 0.8").split()[:3])
        return Part(
            points,
            index,
            uvs,
            colour,
            self._texture(material, folder),
            float(material.get("d", "1").split()[-1]),
        )

    def _texture(self, material: dict[str, str], folder: str) -> np.ndarray | None:
        name = material.get("map_Kd", "").replace("\\", "/")
        for member in (
            posixpath.join(folder, name.lstrip("./")),
            posixpath.join(folder, posixpath.basename(name)),
        ):
            if name and member in self.members:
                with Image.open(io.BytesIO(self.archive.read(member))) as image:
                    return _opaque(image)
        return None


def _corner(word: str, vertices: int, texcoords: int) -> tuple[int, int]:
    """Vertex index from 0 and texture index from 1 (0 is the default coordinate) of an OBJ corner."""
    fields = word.split("/")
    vertex = int(fields[0])
    texcoord = int(fields[1]) if len(fields) > 1 and fields[1] else 0
    return (
        vertex - 1 if vertex > 0 else vertices + vertex,
        texcoord if texcoord >= 0 else texcoords + texcoord,
    )


def _read_mtl(text: str) -> dict[str, dict[str, str]]:
    materials: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.strip().replace("\t", " ").partition(" ")
        if key == "newmtl":
            current = materials.setdefault(value.split()[0], {})
        elif key:
            current[key] = value.strip()
    return materials


def _opaque(image: Image.Image) -> np.ndarray:
    """RGB of an image, its transparent texels filled with the mean of the opaque ones."""
    if image.mode not in ("RGBA", "LA", "P"):
        return np.asarray(image.convert("RGB"))
    rgba = np.asarray(image.convert("RGBA")).astype(float)
    weight = rgba[..., 3:] / 255
    mean = (rgba[..., :3] * weight).sum((0, 1)) / max(float(weight.sum()), 1e-6)
    return np.round(rgba[..., :3] * weight + mean * (1 - weight)).astype(np.uint8)
