"""Pictures of a stage: a pale floor, its bodies in plain colours, and one camera that looks at it from the side."""

from __future__ import annotations

import math
from functools import cache, lru_cache

import numpy as np

from worldloop.core import Observation
from worldloop.envs.house.embree import RayScene
from worldloop.envs.tabletop.cameras import Camera
from worldloop.envs.tabletop.looks import table_top
from worldloop.envs.tabletop.parts import Part, PartsRenderer
from worldloop.envs.tabletop.shapes import Surface, box, turned
from worldloop.metrics.cases.physics.stage import Stage, Triple

SIZE = 128
"""Side of the pictures, pixels."""
EYE, TARGET = (0.0, -2.6, 0.9), (0.0, 0.0, 0.6)
LAMP, SPREAD = (-0.9, -1.7, 2.8), 0.15
ROD = 0.012
"""Half the width of the rod on which a body swings, metres."""
_ROD_COLOUR = (0.30, 0.31, 0.33)


def _camera() -> Camera:
    forward = np.subtract(TARGET, EYE) / math.dist(TARGET, EYE)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(forward, right), forward, EYE], axis=1)
    return Camera(tuple(tuple(map(float, row)) for row in pose), 38.0)


CAMERA = _camera()


class StageRenderer(PartsRenderer):
    """Draws the moments of one stage. Bodies have the ids 1, 2, ... in their order; the floor is 0 ("nothing")."""

    def __init__(self, stage: Stage) -> None:
        floor = _floor()
        parts, albedo = [Part("", *floor, 0, 0)], [(1.0, 1.0, 1.0), _ROD_COLOUR]
        rods = [n for n, b in enumerate(stage.bodies) if b.arm]
        for number, body in enumerate(stage.bodies):
            parts.append(Part(body.name, *_built(body.shape, body.half), len(albedo), number + 1))
            albedo.append(body.colour)
        parts += [Part(stage.bodies[n].name, *_rod(stage.bodies[n].arm), 1, 0) for n in rods]
        self._followed = [*range(len(stage.bodies)), *rods]
        self._count = len(stage.bodies)
        gloss = np.full(len(albedo), 0.06, np.float32)
        gloss[0] = 0.01
        super().__init__(parts, albedo, gloss, table_top(stage.look), LAMP, SPREAD)

    def look(self, poses: np.ndarray, scale: np.ndarray | None = None) -> Observation:
        """What is seen with the bodies at poses [B,3,4]. scale: [B], by which bodies are drawn larger."""
        rows = np.concatenate([np.eye(4)[None, :3], poses[self._followed]]).astype(np.float32)
        sizes = np.ones(len(rows), np.float32)
        if scale is not None:
            sizes[1 : self._count + 1] = scale
        self.place(rows, sizes)
        frame = self.draw(CAMERA.matrix, SIZE, CAMERA.hfov_deg)
        return Observation(
            frame.rgb,
            depth=frame.depth,
            segmentation=frame.segmentation,
            pose=CAMERA.matrix,
            hfov_deg=CAMERA.hfov_deg,
        )


@cache
def _floor() -> tuple[Surface, RayScene]:
    surface = box((-3.0, -2.4, -0.1), (3.0, 2.2, 0.0))
    return surface, RayScene(surface.corners)


@lru_cache(maxsize=64)
def _built(shape: str, half: Triple) -> tuple[Surface, RayScene]:
    surface = _ball(half[0]) if shape == "ball" else box([-h for h in half], half, 0.08 * min(half))
    return surface, RayScene(surface.corners)


@lru_cache(maxsize=64)
def _rod(length: float) -> tuple[Surface, RayScene]:
    surface = box((-ROD, -ROD, 0.0), (ROD, ROD, length))
    return surface, RayScene(surface.corners)


def _ball(radius: float) -> Surface:
    angles = np.linspace(-math.pi / 2, math.pi / 2, 17)
    profile = [(max(radius * math.cos(a), 0.0), radius * math.sin(a)) for a in angles]
    corners = turned(profile).corners
    normals = corners / np.linalg.norm(corners, axis=2, keepdims=True)
    return Surface(corners, normals.astype(np.float32), np.zeros(len(corners), np.int32))
