"""Small hand-made scenes with known geometry, for the tests of the house renderer and its navigation."""

from __future__ import annotations

import numpy as np

from worldloop.envs.house.mesh import Instance, TriangleScene

_FACES = (  # axis, side, the four corners in order, counter-clockwise seen from outside
    (0, 0, ((0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0))),
    (0, 1, ((1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 0, 1))),
    (1, 0, ((0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1))),
    (1, 1, ((0, 1, 0), (0, 1, 1), (1, 1, 1), (1, 1, 0))),
    (2, 0, ((0, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0, 0))),
    (2, 1, ((0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1))),
)


def box(lower, upper):
    """Triangles [12,3,3] and normals [12,3,3] of a solid box."""
    lower, upper = np.asarray(lower, np.float32), np.asarray(upper, np.float32)
    triangles, normals = [], []
    for axis, side, corners in _FACES:
        quad = lower + (upper - lower) * np.array(corners, np.float32)
        normal = np.zeros(3, np.float32)
        normal[axis] = 1 if side else -1
        triangles += [quad[[0, 1, 2]], quad[[0, 2, 3]]]
        normals += [np.tile(normal, (3, 1))] * 2
    return np.array(triangles, np.float32), np.array(normals, np.float32)


def scene_of(parts, key="boxes", lights=((2.5, 2.0, 2.4),), walkable=(), textures=None):
    """A scene from (category, structure, colour, triangles, normals) parts; ids count from 1 in order."""
    things, positions, normals, colours, instances = {}, [], [], [], []
    for number, (category, structure, colour, triangles, corner_normals) in enumerate(parts, start=1):
        points = triangles.reshape(-1, 3)
        things[number] = Instance(
            number, category, f"{category}_{number}", tuple(map(float, points.min(0))),
            tuple(map(float, points.max(0))), structure=structure,
        )  # fmt: skip
        positions.append(triangles)
        normals.append(corner_normals)
        colours.append(np.tile(np.float32(colour), (len(triangles), 1)))
        instances.append(np.full(len(triangles), number, np.int32))
    count = sum(map(len, positions))
    return TriangleScene(
        key=key,
        positions=np.concatenate(positions),
        normals=np.concatenate(normals),
        uvs=np.concatenate(positions)[:, :, :2].copy(),
        layers=np.full(count, -1 if textures is None else 0, np.int32),
        colours=np.concatenate(colours),
        instances=np.concatenate(instances),
        textures=np.zeros((0, 64, 64, 3), np.uint8) if textures is None else textures,
        things=things,
        lights=np.asarray(lights, np.float32).reshape(-1, 3),
        walkable=tuple(walkable),
    )


def box_room(extra=(), **settings):
    """A room of 5 x 4 x 2.5 m, x in 0..5 and y in 0..4, walls 0.1 m thick, with further boxes.

    Ids: 1 floor, 2 ceiling, 3 wall x=0, 4 wall x=5, 5 wall y=0, 6 wall y=4; then `extra`, each
    (category, colour, lower, upper), from 7.
    """
    wall = (0.85, 0.82, 0.75)
    shells = [
        ("floor", (0.6, 0.45, 0.3), (-0.1, -0.1, -0.1), (5.1, 4.1, 0)),
        ("ceiling", (0.95, 0.95, 0.95), (-0.1, -0.1, 2.5), (5.1, 4.1, 2.6)),
        ("wall", wall, (-0.1, -0.1, 0), (0, 4.1, 2.5)),
        ("wall", wall, (5, -0.1, 0), (5.1, 4.1, 2.5)),
        ("wall", wall, (0, -0.1, 0), (5, 0, 2.5)),
        ("wall", wall, (0, 4, 0), (5, 4.1, 2.5)),
    ]
    parts = [(c, True, colour, *box(lower, upper)) for c, colour, lower, upper in shells]
    parts += [(c, False, colour, *box(lower, upper)) for c, colour, lower, upper in extra]
    return scene_of(parts, walkable=((0.0, 0.0, 5.0, 4.0),), **settings)
