"""Builds the furniture that ships in src/worldloop/envs/house/data from Debian's sweethome3d-furniture.

    pip install meshoptimizer
    python scripts/build_furniture.py [--source DIR-WITH-SH3F-FILES]

Without --source the Debian package is fetched with apt-get into a temporary folder. Writes furniture.npz
(geometry, textures), furniture.json (the catalogue) and CREDITS.md. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import tempfile
from pathlib import Path

import meshoptimizer
import numpy as np
from furniture_selection import SELECTION, Choice, Kind
from furniture_source import Library, Model, Part
from PIL import Image
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

TEXTURE = 128
SUPPORT_CELL = 0.04
SUPPORTS = ("table", "desk", "dresser", "nightstand", "cabinet", "bookcase")
FOLIAGE = ("plant", "flowers")
UV_STEP = 1024
DATA = Path(__file__).parents[1] / "src/worldloop/envs/house/data"
LIBRARIES = {
    "zero": ("BlendSwap-CC-0.sh3f", "CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    "by": ("BlendSwap-CC-BY.sh3f", "CC-BY-3.0", "https://creativecommons.org/licenses/by/3.0/"),
    "kator": ("KatorLegaz.sh3f", "CC-BY-3.0-US", "https://creativecommons.org/licenses/by/3.0/us/"),
    "scopia": ("Scopia.sh3f", "CC-BY-3.0", "https://creativecommons.org/licenses/by/3.0/"),
    "own": (
        "drawn by scripts/furniture_shapes.py",
        "Apache-2.0",
        "https://www.apache.org/licenses/LICENSE-2.0",
    ),
}


def fetch(folder: Path) -> Path:
    """Download and unpack the Debian package; the folder that holds its .sh3f files."""
    subprocess.run(["apt-get", "download", "sweethome3d-furniture"], cwd=folder, check=True)
    (package,) = folder.glob("*.deb")
    subprocess.run(["dpkg", "-x", str(package), str(folder)], check=True)
    return folder / "usr/share/sweethome3d/furniture"


def simplify(part: Part, target: int) -> Part:
    """The part with about `target` triangles, its unused vertices removed."""
    vertices, uvs, faces = part.vertices, part.uvs, part.faces
    if part.texture is None:
        # Without a texture the seams mean nothing: welding them lets edges collapse across.
        vertices, inverse = np.unique(np.round(vertices, 4), axis=0, return_inverse=True)
        faces = inverse.reshape(-1)[faces]
        uvs = np.zeros((len(vertices), 2))
        faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
    if len(faces) > target:
        points = np.ascontiguousarray(vertices, np.float32)
        source = np.ascontiguousarray(faces.ravel(), np.uint32)
        result = np.zeros_like(source)
        goal = {"target_index_count": 3 * target}
        count = meshoptimizer.simplify(result, source, points, target_error=0.04, **goal)
        if count > 4 * target:
            prune = meshoptimizer.SIMPLIFY_PRUNE
            count = meshoptimizer.simplify(result, source, points, target_error=0.1, options=prune, **goal)
        if count > 5 * target:
            count = meshoptimizer.simplify_sloppy(result, source, points, target_error=0.2, **goal)
        faces = result[:count].reshape(-1, 3)
    used, inverse = np.unique(faces, return_inverse=True)
    return Part(vertices[used], inverse.reshape(-1, 3), uvs[used], part.colour, part.texture, part.alpha)


def thin(part: Part, target: int) -> Part:
    """Foliage: keep some leaves, grown to cover for the others, for simplifying would dissolve them all."""
    points, inverse = np.unique(np.round(part.vertices, 4), axis=0, return_inverse=True)
    welded = inverse.reshape(-1)[part.faces]
    pairs = np.concatenate([welded[:, :2], welded[:, 1:]])
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(points),) * 2)
    count, label = connected_components(graph, directed=False)
    share = 2.5 * target / len(part.faces)
    if count < 30 or share >= 1:
        return part
    kept = np.random.default_rng(0).permutation(count) < max(12, round(share * count))
    vertices = part.vertices.copy()
    leaf = label[inverse.reshape(-1)]
    size = np.bincount(leaf, minlength=count)
    extent = np.zeros((count, 3))
    for k in range(3):
        extent[:, k] = ndimage.maximum(vertices[:, k], leaf, range(count)) - ndimage.minimum(
            vertices[:, k], leaf, range(count)
        )
    reach = np.linalg.norm(extent, axis=1)
    stem = reach > 3 * np.median(reach)
    kept |= stem
    middle = np.stack([np.bincount(leaf, vertices[:, k], count) / size for k in range(3)], axis=1)[leaf]
    growth = np.where(stem, 1.0, min(1.9, share**-0.4))[leaf]
    vertices = middle + (vertices - middle) * growth[:, None]
    faces = part.faces[kept[label[welded[:, 0]]]]
    used, faces = np.unique(faces, return_inverse=True)
    return Part(vertices[used], faces.reshape(-1, 3), part.uvs[used], part.colour, part.texture, part.alpha)


def shares(parts: list[Part], budget: int) -> list[int]:
    """How many triangles each part may keep: by the root of its surface, for a tap of ten thousand triangles
    must not take them from the doors below it."""
    counts = np.array([len(p.faces) for p in parts])
    weights = np.sqrt([max(surface(p), 1e-6) for p in parts])
    allowed = counts.copy()
    free = np.ones(len(parts), bool)
    left = float(budget)
    while counts.sum() > budget and free.any():
        fair = left * weights / weights[free].sum()
        fits = free & (counts <= fair)
        if not fits.any():
            allowed[free] = fair[free].astype(int)
            break
        left -= counts[fits].sum()
        free &= ~fits
    return [max(12, int(n)) for n in allowed]


def surface(part: Part) -> float:
    """Square metres."""
    corners = part.vertices[part.faces]
    return float(
        np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
        / 2
    )


def prepare(choice: Choice, kind: Kind, model: Model) -> list[Part]:
    """Tint, scale, simplify and stand the model in its local frame."""
    parts = [
        p for i, p in enumerate(model.parts) if p.alpha >= 0.08 and len(p.faces) and i not in choice.skip
    ]
    out = []
    for part, target in zip(parts, shares(parts, choice.triangles or kind.triangles)):
        leafy = kind.category in FOLIAGE
        small = simplify(thin(part, target) if leafy else part, target)
        if len(small.faces) == 0:
            continue
        small.vertices = small.vertices * np.array(choice.scale)
        if choice.library != "own":
            small.colour = tuple(min(1.0, 1.15 * c) for c in small.colour)
        if choice.tint is not None:
            small = tinted(small, choice.tint)
        out.append(small)
    points = np.concatenate([p.vertices for p in out])
    low, high = points.min(0), points.max(0)
    shift = -(low + high) / 2
    if kind.placement == "wall":
        shift[1] = -high[1]
    else:
        shift[2] = -high[2] if kind.placement == "ceiling" else -low[2]
    for part in out:
        part.vertices = part.vertices + shift
    return out


def tinted(part: Part, tint: tuple[float, float, float]) -> Part:
    """The part recoloured: a (0,0,0), (1,0,0) or (0,0,1) tint names a colour swap, others multiply."""
    colour, texture = np.array(part.colour), part.texture
    if tint == (0.0, 0.0, 0.0):
        colour = np.array((0.4, 0.25, 0.15)) if colour.max() < 0.2 else colour
    elif tint in ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)):
        colour = np.roll(colour, 1 if tint[0] else 2)
        texture = None if texture is None else np.roll(texture, 1 if tint[0] else 2, axis=2)
    else:
        colour = np.minimum(colour * tint, 1)
        texture = None if texture is None else np.minimum(texture * np.array(tint), 255).astype(np.uint8)
    return Part(part.vertices, part.faces, part.uvs, tuple(colour), texture, part.alpha)


def support(parts: list[Part]) -> dict[str, object]:
    """Where things can stand: the height of the widest level surface and the cells of it that are free above.

    Cells of `SUPPORT_CELL` metres start at the lower corner; one string of 0 and 1 per step along x.
    """
    corners = np.concatenate([p.vertices[p.faces] for p in parts])
    low, high = corners.reshape(-1, 3).min(0), corners.reshape(-1, 3).max(0)
    nx, ny = np.maximum(((high - low)[:2] / SUPPORT_CELL).astype(int), 1)
    x = low[0] + (np.arange(nx) + 0.5) * SUPPORT_CELL
    y = low[1] + (np.arange(ny) + 0.5) * SUPPORT_CELL
    points = np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2)
    height = np.full(len(points), -1.0)
    for a, b, c in corners:
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(area) < 1e-9:
            continue
        p = points - a[:2]
        u = (p[:, 0] * (c[1] - a[1]) - p[:, 1] * (c[0] - a[0])) / area
        v = (p[:, 1] * (b[0] - a[0]) - p[:, 0] * (b[1] - a[1])) / area
        inside = (u >= -1e-6) & (v >= -1e-6) & (u + v <= 1 + 1e-6)
        height[inside] = np.maximum(height[inside], (a[2] + u * (b[2] - a[2]) + v * (c[2] - a[2]))[inside])
    levels, counts = np.unique(np.round(height[height > 0.25], 2), return_counts=True)
    if not len(levels):
        return {}
    level = levels[counts.argmax()]
    level = float(np.median(height[np.abs(height - level) < 0.011]))
    free = (np.abs(height - level) < 0.012).reshape(nx, ny)
    return {"height": round(level, 4), "cells": ["".join("01"[int(c)] for c in row) for row in free]}


class Writer:
    """Collects quantised geometry and textures into flat arrays."""

    def __init__(self) -> None:
        self.arrays: dict[str, list[np.ndarray]] = {
            k: [] for k in ("vertices", "uvs", "faces", "indices", "palettes")
        }
        self.textures: dict[str, int] = {}
        self.vertex_count = self.face_count = 0

    def texture(self, image: np.ndarray) -> int:
        """The layer of an image, stored with a palette of 256 colours: lossless to decode and small."""
        resized = Image.fromarray(image).resize((TEXTURE, TEXTURE), Image.Resampling.BOX)
        key = hashlib.sha256(resized.tobytes()).hexdigest()
        if key not in self.textures:
            paletted = resized.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
            palette = np.zeros(768, np.uint8)
            colours = paletted.getpalette() or []
            palette[: len(colours)] = colours
            self.arrays["indices"].append(np.asarray(paletted, np.uint8)[None])
            self.arrays["palettes"].append(palette.reshape(1, 256, 3))
            self.textures[key] = len(self.textures)
        return self.textures[key]

    def add(self, parts: list[Part]) -> dict[str, object]:
        """Append an asset; its catalogue fields."""
        points = np.concatenate([p.vertices for p in parts])
        low, high = points.min(0), points.max(0)
        span = np.maximum(high - low, 1e-6)
        listed = []
        for part in parts:
            self.arrays["vertices"].append(np.round((part.vertices - low) / span * 65535).astype(np.uint16))
            shifted = part.uvs - np.floor(part.uvs.min(0)) if len(part.uvs) else part.uvs
            self.arrays["uvs"].append(np.clip(np.round(shifted * UV_STEP), 0, 65535).astype(np.uint16))
            self.arrays["faces"].append(part.faces.astype(np.uint16))
            image = part.texture
            listed.append(
                {
                    "vertices": [self.vertex_count, self.vertex_count + len(part.vertices)],
                    "faces": [self.face_count, self.face_count + len(part.faces)],
                    "colour": [1.0, 1.0, 1.0]
                    if image is not None
                    else [round(float(c), 3) for c in part.colour],
                    "texture": -1 if image is None else self.texture(image),
                    "alpha": round(part.alpha, 3),
                }
            )
            self.vertex_count += len(part.vertices)
            self.face_count += len(part.faces)
        bounds = [[round(float(x), 5) for x in v] for v in (low, high)]
        return {"size": [round(float(x), 4) for x in high - low], "bounds": bounds, "parts": listed}


def build(source: Path) -> tuple[Writer, list[dict[str, object]]]:
    """All selected assets."""
    libraries = {k: Library(source / v[0]) for k, v in LIBRARIES.items() if k != "own"}
    writer, catalogue = Writer(), []
    first_use: dict[tuple[str, str], str] = {}
    counts: dict[str, int] = {}
    for kind, choices in SELECTION:
        for choice in choices:
            model = (
                choice.draw() if choice.draw else libraries[choice.library].model(choice.key, choice.turns)
            )
            number = counts[kind.category + choice.style] = counts.get(kind.category + choice.style, 0) + 1
            asset = f"{kind.category}_{choice.style.lower()}{number}"
            base = first_use.setdefault((choice.library, choice.key), asset) if choice.key else asset
            # Where a model's own file asks for credit, that counts and not what its library promises.
            licence = LIBRARIES["by" if choice.library == "zero" and model.needs_credit else choice.library]
            entry: dict[str, object] = {
                "id": asset,
                "category": kind.category,
                "name": model.name,
                "style": choice.style,
                "placement": kind.placement,
                "role": kind.role,
                "rooms": list(kind.rooms),
                "elevation": kind.elevation,
                "variant_of": "" if base == asset else base,
                "library": LIBRARIES[choice.library][0],
                "model": choice.key,
                "creator": model.creator,
                "source_note": model.licence_note,
                "licence": licence[1],
                "licence_url": licence[2],
                "changes": changes(choice),
            }
            parts = prepare(choice, kind, model)
            carries = kind.category in SUPPORTS and kind.placement != "wall"
            entry["support"] = support(parts) if carries else {}
            catalogue.append(entry | writer.add(parts))
    return writer, catalogue


def changes(choice: Choice) -> str:
    """What was done to the model, for the credits."""
    done = [] if choice.draw else ["simplified", "textures reduced"]
    done += ["rescaled"] if choice.scale != (1.0, 1.0, 1.0) else []
    done += ["recoloured"] if choice.tint is not None else []
    return ", ".join(done) or "none"


def write(writer: Writer, catalogue: list[dict[str, object]], folder: Path) -> None:
    """The three files."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {k: np.concatenate(v) for k, v in writer.arrays.items()}
    np.savez_compressed(folder / "furniture.npz", **arrays)
    document = {"uv_step": UV_STEP, "support_cell": SUPPORT_CELL, "assets": catalogue}
    (folder / "furniture.json").write_text(
        json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8"
    )
    (folder / "CREDITS.md").write_text(credits(catalogue), encoding="utf-8")


def credits(catalogue: list[dict[str, object]]) -> str:
    """The credits file, one row per asset."""
    lines = [
        "# Furniture credits",
        "",
        "Written by `scripts/build_furniture.py`. The models come from the libraries of Sweet Home 3D as packaged by",
        "Debian (`sweethome3d-furniture`); https://www.sweethome3d.com/importModels.jsp lists them. Every model was",
        "converted to metres, simplified with meshoptimizer, and its textures were reduced to 128x128 with a palette of",
        "256 colours. A variant is the same model, recoloured and rescaled by us.",
        "",
        "| asset | model | creator | source | licence | changes |",
        "|---|---|---|---|---|---|",
    ]
    for e in catalogue:
        note = f"; {e['source_note']}" if e["source_note"] else ""
        model = f" `{e['model']}`" if e["model"] else ""
        variant = f" (variant of {e['variant_of']})" if e["variant_of"] else ""
        lines.append(
            f"| {e['id']} | {e['name']}{variant} | {e['creator']} | {e['library']}{model}{note} "
            f"| [{e['licence']}]({e['licence_url']}) | {e['changes']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", type=Path, help="folder with the .sh3f files")
    parser.add_argument("--out", type=Path, default=DATA)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        writer, catalogue = build(options.source or fetch(Path(temporary)))
    write(writer, catalogue, options.out)
    size = sum(f.stat().st_size for f in options.out.glob("furniture.*")) / 1e6
    categories = {str(e["category"]) for e in catalogue}
    print(
        f"{len(catalogue)} assets, {len(categories)} categories, {writer.face_count} triangles, {size:.1f} MB"
    )


if __name__ == "__main__":
    main()
