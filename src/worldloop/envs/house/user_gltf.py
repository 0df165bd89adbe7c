"""glTF, GLB and OBJ files as parts of a scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from worldloop.core.errors import MissingExtraError
from worldloop.envs.house.user_scenes import TEXTURE_SIZE, Part

_Y_UP_TO_Z_UP = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float64)


def read_parts(path: Path) -> list[Part]:
    """All meshes of a file, placed by its scene graph and turned z-up. A damaged file raises anything."""
    try:
        import trimesh
    except ImportError as error:
        raise MissingExtraError(f"reading {path.name}", "scenes") from error
    scene = trimesh.load_scene(path)
    parts = []
    for node in sorted(scene.graph.nodes_geometry):
        transform, geometry = scene.graph[node]
        mesh = scene.geometry[geometry]
        if isinstance(mesh, trimesh.Trimesh) and len(mesh.faces):
            parts.append(_part(str(node), mesh, transform))
    return parts


def _part(name: str, mesh: Any, transform: np.ndarray) -> Part:
    placed = np.asarray(mesh.vertices) @ transform[:3, :3].T + transform[:3, 3]
    faces = np.asarray(mesh.faces)
    if np.linalg.det(transform[:3, :3]) < 0:
        faces = faces[:, ::-1]
    part = Part(name, (placed @ _Y_UP_TO_Z_UP.T)[faces])
    visual = mesh.visual
    if getattr(visual, "kind", None) != "texture":
        colours = np.asarray(visual.face_colors)[: len(faces), :3].astype(np.float32) / 255
        part.colours = colours if len(colours) == len(faces) else part.colours
        return part
    material = visual.material
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    factor = getattr(material, "baseColorFactor", None)
    if factor is None:
        factor = None if image is not None else getattr(material, "diffuse", None)
    if factor is not None:
        part.colours = _unit(np.asarray(factor))[None, :3]
    elif image is not None:
        part.colours = np.ones((1, 3), np.float32)
    if image is not None and visual.uv is not None:
        small = image.convert("RGB").resize((TEXTURE_SIZE, TEXTURE_SIZE), Image.Resampling.BOX)
        part.texture = np.asarray(small)
        # trimesh counts v from the bottom row.
        part.uvs = (np.asarray(visual.uv) * (1, -1) + (0, 1))[faces]
    return part


def _unit(colour: np.ndarray) -> np.ndarray:
    """Colour as float32 0..1, whether it came as bytes or as numbers."""
    return colour.astype(np.float32) / (255 if colour.dtype.kind in "ui" else 1)
