"""Surfaces to draw: the arm's parts from the shipped file, and things made of boxes and turned profiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise

import numpy as np

from worldloop.envs.tabletop.layout import (
    BUTTON_RADIUS,
    BUTTON_TOP,
    BUTTON_TRAVEL,
    CIRCLE_RADIUS,
    HALF,
    HOLE_HALF,
    PEG_LENGTH,
    PEG_RADIUS,
    SOCKET_HALF,
    SOCKET_HEIGHT,
    STAND_HEIGHT,
    STAND_RADIUS,
)

SEGMENTS = 32


@dataclass(frozen=True, eq=False)
class Surface:
    """T triangles in the frame of what they belong to."""

    corners: np.ndarray
    """float32 [T,3,3], metres."""
    normals: np.ndarray
    """float32 [T,3,3], unit, per corner."""
    paint: np.ndarray
    """int32 [T]: a material of the arm, or 0."""


@cache
def arm_surfaces() -> dict[str, Surface]:
    """Body name -> what is drawn of the arm; `paint` indexes `ARM_PAINT`."""
    path = str(resources.files("worldloop.envs.tabletop") / "data" / "panda.npz")
    with np.load(path, allow_pickle=False) as data:
        corners, normals = data["corners"] * np.float32(1e-4), data["normals"].astype(np.float32)
        normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-6)
        body, paint = data["body"], data["material"].astype(np.int32)
        names = [str(n) for n in data["bodies"]]
    return {
        name: Surface(corners[body == i], normals[body == i], paint[body == i])
        for i, name in enumerate(names)
    }


# White, off-white, black, and the two small lights (kept grey: no colour of a thing may be taken for them).
ARM_PAINT = ((0.86, 0.86, 0.87), (0.78, 0.80, 0.81), (0.17, 0.17, 0.18), (0.5, 0.52, 0.5), (0.5, 0.53, 0.56))


@cache
def thing_surfaces(kind: str) -> tuple[tuple[str, Surface], ...]:
    """What is drawn of a thing: ("", its body) and for buttons ("_cap", the cap), with `paint` 0 for its
    colour and 1 for dark grey."""
    if kind == "block":
        return (("", box((-HALF, -HALF, 0), (HALF, HALF, 2 * HALF), 0.003)),)
    if kind == "circle":
        return (("", turned([(0, 0.0006), (CIRCLE_RADIUS, 0.0006)])),)
    if kind == "stand":
        return (("", turned(_rounded(STAND_RADIUS, 0, STAND_HEIGHT, 0.004))),)
    if kind == "peg":
        return (("", turned(_rounded(PEG_RADIUS, 0, PEG_LENGTH, 0.002))),)
    if kind == "button":
        base = turned(_rounded(BUTTON_RADIUS + 0.011, 0, 0.010, 0.003), paint=1)
        cap = turned(_rounded(BUTTON_RADIUS, BUTTON_TOP - BUTTON_TRAVEL - 0.008, BUTTON_TOP, 0.004))
        return (("", base), ("_cap", cap))
    if kind == "socket":
        low, high, up = HOLE_HALF, SOCKET_HALF, SOCKET_HEIGHT
        walls = [
            box((low, -high, 0), (high, high, up)), box((-high, -high, 0), (-low, high, up)),
            box((-low, low, 0), (low, high, up)), box((-low, -high, 0), (low, -low, up)),
        ]  # fmt: skip
        return (("", joined(walls)),)
    return ()


def joined(parts: Sequence[Surface]) -> Surface:
    """All triangles in one."""
    return Surface(
        np.concatenate([p.corners for p in parts]),
        np.concatenate([p.normals for p in parts]),
        np.concatenate([p.paint for p in parts]),
    )


def box(low: Sequence[float], high: Sequence[float], bevel: float = 0.0) -> Surface:
    """A box whose edges are cut by `bevel` metres; the cuts are shaded round."""
    low_, high_ = np.asarray(low, float), np.asarray(high, float)
    middle, half = (low_ + high_) / 2, (high_ - low_) / 2
    corners, normals = [], []
    signs = (-1.0, 1.0)

    def vertex(sign: np.ndarray, axis: int) -> np.ndarray:
        inner = half - bevel * (np.arange(3) != axis)
        return middle + sign * inner

    def add(points: list[np.ndarray], around: list[np.ndarray]) -> None:
        for i in range(1, len(points) - 1):
            triangle, normal = [points[0], points[i], points[i + 1]], [around[0], around[i], around[i + 1]]
            outward = np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0]) @ sum(normal)
            order = (0, 1, 2) if outward > 0 else (0, 2, 1)
            corners.append([triangle[k] for k in order])
            normals.append([normal[k] for k in order])

    unit = np.eye(3)
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        for s in signs:
            ring = [
                s * unit[axis] + a * unit[u] + b * unit[v] for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
            ]
            add([vertex(r, axis) for r in ring], [s * unit[axis]] * 4)
            for t in signs if bevel else ():  # the edge between this face and the one along u
                ends = [s * unit[axis] + t * unit[u] + w * unit[v] for w in signs]
                add(
                    [vertex(ends[0], axis), vertex(ends[1], axis), vertex(ends[1], u), vertex(ends[0], u)],
                    [s * unit[axis]] * 2 + [t * unit[u]] * 2,
                )
    if bevel:
        for sign in np.array(np.meshgrid(signs, signs, signs)).T.reshape(-1, 3):
            add([vertex(sign, k) for k in range(3)], [sign[k] * unit[k] for k in range(3)])
    return _surface(np.array(corners), np.array(normals))


def turned(profile: Sequence[tuple[float, float]], paint: int = 0) -> Surface:
    """A profile of (radius, height), bottom to top, turned about z and shaded round along the circle."""
    angle = np.linspace(0, 2 * math.pi, SEGMENTS + 1)
    circle = np.stack([np.cos(angle), np.sin(angle), np.zeros(SEGMENTS + 1)], axis=1)
    circle[-1] = circle[0]
    up = np.array([0.0, 0.0, 1.0])
    corners, normals = [], []
    for (r0, z0), (r1, z1) in pairwise(profile):
        slope = np.array([z1 - z0, r0 - r1]) / max(math.hypot(z1 - z0, r1 - r0), 1e-9)
        if len(profile) == 2:
            slope = np.array([0.0, 1.0])
        ring = circle * slope[0] + up * slope[1]
        low, high = circle * r0 + up * z0, circle * r1 + up * z1
        for i in range(SEGMENTS):
            j = i + 1
            points = (low[i], low[j], high[j], high[i])
            around = (ring[i], ring[j], ring[j], ring[i])
            for order in ([0, 1, 2], [0, 2, 3]):
                triangle = np.array([points[k] for k in order])
                if np.linalg.norm(np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0])) > 1e-12:
                    corners.append(triangle)
                    normals.append([around[k] for k in order])
    return _surface(np.array(corners), np.array(normals), paint)


def _rounded(radius: float, bottom: float, top: float, edge: float) -> list[tuple[float, float]]:
    """The profile of a cylinder with a rounded upper edge."""
    bend = [
        (radius - edge * (1 - math.cos(a)), top - edge * (1 - math.sin(a)))
        for a in (0, math.pi / 4, math.pi / 2)
    ]
    return [(radius, bottom), *bend, (0.0, top)]


def _surface(corners: np.ndarray, normals: np.ndarray, paint: int = 0) -> Surface:
    return Surface(
        corners.astype(np.float32), normals.astype(np.float32), np.full(len(corners), paint, np.int32)
    )
