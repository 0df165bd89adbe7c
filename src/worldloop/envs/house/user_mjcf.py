"""MJCF files as parts of a scene: every visible geom of the compiled model, in its initial pose."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from worldloop.core.errors import MissingExtraError
from worldloop.envs.house.user_scenes import Part

_SEGMENTS = 20
_PLANE = 10.0
"""Half side in metres of a plane that the model leaves infinite."""
_HIDDEN_GROUP = 3
"""Geom groups from here on are hidden by MuJoCo's viewers: by convention they are collision shapes."""


def read_model(path: Path) -> tuple[list[Part], np.ndarray]:
    """Parts, one thing per body (static geoms each on their own), and the lamps float32 [n,3]."""
    try:
        import mujoco
    except ImportError as error:
        raise MissingExtraError(f"reading {path.name}", "scenes") from error
    model = mujoco.MjModel.from_xml_path(str(path))
    data = mujoco.MjData(model)
    if model.nkey:
        mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_forward(model, data)
    parts = []
    for geom in range(model.ngeom):
        rgba = (
            model.mat_rgba[model.geom_matid[geom]] if model.geom_matid[geom] >= 0 else model.geom_rgba[geom]
        )
        if model.geom_group[geom] >= _HIDDEN_GROUP or rgba[3] == 0:
            continue
        local = _triangles(mujoco, model, geom)
        rotation = data.geom_xmat[geom].reshape(3, 3)
        part = Part(_name(model, geom), local @ rotation.T + data.geom_xpos[geom])
        part.colours = np.asarray(rgba[:3], np.float32)[None]
        parts.append(part)
    return parts, np.array(data.light_xpos).reshape(-1, 3)


def _name(model: Any, geom: int) -> str:
    body = int(model.geom_bodyid[geom])
    own = model.geom(geom).name
    return (own or f"geom_{geom}") if body == 0 else (model.body(body).name or f"body_{body}")


def _triangles(mujoco: Any, model: Any, geom: int) -> np.ndarray:
    """A geom's surface [T,3,3] in its own frame."""
    kind, size = int(model.geom_type[geom]), model.geom_size[geom]
    types = mujoco.mjtGeom
    if kind == types.mjGEOM_MESH:
        mesh = int(model.geom_dataid[geom])
        vertices = model.mesh_vert[model.mesh_vertadr[mesh] :][: model.mesh_vertnum[mesh]]
        return vertices[model.mesh_face[model.mesh_faceadr[mesh] :][: model.mesh_facenum[mesh]]]
    if kind == types.mjGEOM_PLANE:
        half = [float(s) or _PLANE for s in size[:2]]
        corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * [*half, 1]
        return corners[[[0, 1, 2], [0, 2, 3]]]
    if kind == types.mjGEOM_BOX:
        return _box() * size
    if kind == types.mjGEOM_SPHERE:
        return _revolve(_arc(0.0)) * size[0]
    if kind == types.mjGEOM_ELLIPSOID:
        return _revolve(_arc(0.0)) * size
    if kind == types.mjGEOM_CAPSULE:
        return _revolve(_arc(float(size[1] / size[0]))) * size[0]
    if kind == types.mjGEOM_CYLINDER:
        return _revolve(np.array([[0, -1], [1, -1], [1, 1], [0, 1]], np.float64)) * [
            size[0],
            size[0],
            size[1],
        ]
    return np.zeros((0, 3, 3))  # height fields and distance fields are not drawn


def _box() -> np.ndarray:
    """A cube of half side 1, [12,3,3], faces outwards."""
    faces = []
    for axis in range(3):
        for side in (-1.0, 1.0):
            quad = np.zeros((4, 3))
            quad[:, axis] = side
            quad[:, (axis + 1) % 3] = np.array([-1, 1, 1, -1]) * side
            quad[:, (axis + 2) % 3] = [-1, -1, 1, 1]
            faces += [quad[[0, 1, 2]], quad[[0, 2, 3]]]
    return np.array(faces)


def _arc(straight: float) -> np.ndarray:
    """Profile (radius, height) of a unit ball cut at its equator and pulled apart by 2 * straight."""
    angle = np.linspace(-math.pi / 2, math.pi / 2, _SEGMENTS // 2 + 2)
    profile = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    profile[[0, -1], 0] = 0
    lower, upper = profile[: len(profile) // 2], profile[len(profile) // 2 :]
    return np.concatenate([lower, upper]) + np.repeat(
        [[0, -straight], [0, straight]], len(profile) // 2, axis=0
    )


def _revolve(profile: np.ndarray) -> np.ndarray:
    """Turn a profile (radius, height), bottom to top, about z into triangles [T,3,3]."""
    angle = np.arange(_SEGMENTS + 1) * 2 * math.pi / _SEGMENTS
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    ring[-1] = ring[0]
    points = np.concatenate(
        [profile[:, None, :1] * ring, np.broadcast_to(profile[:, None, 1:], (len(profile), len(ring), 1))],
        axis=2,
    )
    a, b, c, d = points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]
    triangles = np.concatenate(
        [np.stack([a, b, c], axis=2).reshape(-1, 3, 3), np.stack([a, c, d], axis=2).reshape(-1, 3, 3)]
    )
    cross = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    return triangles[np.linalg.norm(cross, axis=1) > 1e-12]
