"""Collects rectangles, boxes and meshes into the flat arrays of a `TriangleScene`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldloop.envs.house.assets import AssetMesh
from worldloop.envs.house.materials import Material
from worldloop.envs.house.mesh import Instance

_QUAD = np.array([0, 1, 2, 0, 2, 3])
# Axes along the width and height of a face that looks along x, y or z.
_SPAN = {0: (1, 2), 1: (0, 2), 2: (0, 1)}
Point = Sequence[float]


class TriangleSoup:
    """Grows triangle by triangle; `arrays` joins everything once."""

    def __init__(self) -> None:
        self.things: dict[int, Instance] = {}
        self._layers: dict[str, int] = {}
        self._images: list[np.ndarray] = []
        self._chunks: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
        self._open: list[np.ndarray] = []

    def layer(self, name: str, image: np.ndarray) -> int:
        """The texture layer of a named image, uint8 [S,S,3]."""
        if name not in self._layers:
            self._layers[name] = len(self._images)
            self._images.append(image)
        return self._layers[name]

    def begin(self) -> int:
        """The id of the instance to which everything up to `end` belongs."""
        self._open = []
        return len(self.things) + 1

    def end(self, category: str, name: str, room: str, structure: bool) -> None:
        """Close the open instance and note its bounds."""
        points = np.concatenate([p.reshape(-1, 3) for p in self._open])
        low, high = points.min(0).tolist(), points.max(0).tolist()
        number = len(self.things) + 1
        self.things[number] = Instance(number, category, name, tuple(low), tuple(high), room, structure)

    def mesh(self, mesh: AssetMesh, rotation: np.ndarray, position: Point, layers: np.ndarray) -> None:
        """A mesh turned by `rotation` [3,3] and moved; `layers` int32 [n] index this soup's textures."""
        places = (mesh.positions @ rotation.T + np.asarray(position, np.float32)).astype(np.float32)
        normals = (mesh.normals @ rotation.T).astype(np.float32)
        self._push(places, normals, mesh.uvs, layers, mesh.colours)

    def rect(
        self,
        axis: int,
        at: float,
        low: Point,
        high: Point,
        sign: int,
        material: Material | None,
        colour: Point = (1, 1, 1),
    ) -> None:
        """A rectangle at coordinate `at` of `axis` that faces along `sign`.

        low, high: its extent along the other two axes, in axis order. Textures are laid in world metres, so
        that neighbouring pieces continue one another.
        """
        u, v = _SPAN[axis]
        corners = np.zeros((4, 3))
        corners[:, axis] = at
        corners[:, u] = (low[0], high[0], high[0], low[0])
        corners[:, v] = (low[1], low[1], high[1], high[1])
        # The listed order turns left about +x, -y and +z.
        if (sign > 0) == (axis == 1):
            corners = corners[::-1]
        normal = np.zeros(3)
        normal[axis] = sign
        scale = 1.0 if material is None else material.metres
        uvs = np.stack([corners[:, u], -corners[:, v]], axis=1) / scale
        layer = -1 if material is None else self.layer(material.name, material.image)
        self._quad(corners, normal, uvs, layer, colour)

    def picture(
        self, axis: int, at: float, low: Point, high: Point, sign: int, name: str, image: np.ndarray
    ) -> None:
        """A rectangle that shows an image exactly once."""
        u, v = _SPAN[axis]
        corners = np.zeros((4, 3))
        corners[:, axis] = at
        corners[:, u] = (low[0], high[0], high[0], low[0])
        corners[:, v] = (low[1], low[1], high[1], high[1])
        uvs = np.array([(0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
        if (sign > 0) == (axis == 1):
            corners, uvs = corners[::-1], uvs[::-1]
        normal = np.zeros(3)
        normal[axis] = sign
        self._quad(corners, normal, uvs, self.layer(name, image), (1, 1, 1))

    def box(self, low: Point, high: Point, material: Material | None, colour: Point = (1, 1, 1)) -> None:
        """An axis-aligned box."""
        for axis, (u, v) in _SPAN.items():
            for sign, at in ((-1, low[axis]), (1, high[axis])):
                self.rect(axis, at, (low[u], low[v]), (high[u], high[v]), sign, material, colour)

    def arrays(self) -> dict[str, np.ndarray]:
        """`positions`, `normals`, `uvs`, `layers`, `colours`, `instances` and `textures` of the scene."""
        columns = [np.concatenate(c) for c in zip(*self._chunks)]
        names = ("positions", "normals", "uvs", "layers", "colours", "instances")
        return dict(zip(names, columns)) | {"textures": np.stack(self._images)}

    def _quad(
        self, corners: np.ndarray, normal: np.ndarray, uvs: np.ndarray, layer: int, colour: Point
    ) -> None:
        self._push(
            corners[_QUAD].reshape(2, 3, 3).astype(np.float32),
            np.broadcast_to(normal, (2, 3, 3)).astype(np.float32),
            uvs[_QUAD].reshape(2, 3, 2).astype(np.float32),
            np.full(2, layer, np.int32),
            np.tile(np.asarray(colour, np.float32), (2, 1)),
        )

    def _push(
        self,
        positions: np.ndarray,
        normals: np.ndarray,
        uvs: np.ndarray,
        layers: np.ndarray,
        colours: np.ndarray,
    ) -> None:
        instances = np.full(len(positions), len(self.things) + 1, np.int32)
        self._chunks.append((positions, normals, uvs, layers, colours, instances))
        self._open.append(positions)
