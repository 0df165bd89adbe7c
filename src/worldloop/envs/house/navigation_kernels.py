"""Compiled loops of the navigation grid: swept walking and the rasterisation of obstacles."""

# mypy: disable-error-code="no-untyped-def"
# numba infers the types of these functions from their arguments. They are plain loops over numbers because
# whole-array expressions take seconds to compile.

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def sweep(free, ox, oy, cell, x, y, dx, dy):
    """The furthest point of a segment that is reached through free cells only, and whether it was cut short."""
    length = math.sqrt(dx * dx + dy * dy)
    steps = math.ceil(length / (0.2 * cell))
    reached = 0.0
    for k in range(1, steps + 1):
        share = k / steps
        i, j = math.floor((x + dx * share - ox) / cell), math.floor((y + dy * share - oy) / cell)
        if i < 0 or j < 0 or i >= free.shape[0] or j >= free.shape[1] or not free[i, j]:
            return x + dx * reached, y + dy * reached, True
        reached = share
    return x + dx, y + dy, False


@njit(cache=True, nogil=True)
def mark_triangles(corners, origin, cell, low, high, blocked):
    """Mark every cell [nx,ny] that a triangle [T,3,3] covers between two heights."""
    polygon, clipped = np.empty((8, 3)), np.empty((8, 3))
    nx, ny = blocked.shape
    for t in range(len(corners)):
        bottom = min(corners[t, 0, 2], corners[t, 1, 2], corners[t, 2, 2])
        top = max(corners[t, 0, 2], corners[t, 1, 2], corners[t, 2, 2])
        if top < low or bottom > high:
            continue
        count = 3
        for k in range(3):
            for axis in range(3):
                polygon[k, axis] = corners[t, k, axis]
        if bottom < low:
            count = _clip(polygon, count, 2, low, 1.0, clipped)
            polygon, clipped = clipped, polygon
        if top > high:
            count = _clip(polygon, count, 2, high, -1.0, clipped)
            polygon, clipped = clipped, polygon
        for k in range(count):
            polygon[k, 0] = (polygon[k, 0] - origin[0]) / cell
            polygon[k, 1] = (polygon[k, 1] - origin[1]) / cell
        if count == 0:
            continue
        _mark_polygon(polygon, count, blocked, nx, ny)


@njit(cache=True, nogil=True)
def _clip(polygon, count, axis, limit, sign, out):
    """Keep the part of a convex polygon with sign * (p[axis] - limit) >= 0; returns the new corner count."""
    kept = 0
    for k in range(count):
        following = (k + 1) % count
        da, db = sign * (polygon[k, axis] - limit), sign * (polygon[following, axis] - limit)
        if da >= 0:
            for c in range(3):
                out[kept, c] = polygon[k, c]
            kept += 1
        if (da > 0 and db < 0) or (da < 0 and db > 0):
            share = da / (da - db)
            for c in range(3):
                out[kept, c] = polygon[k, c] + share * (polygon[following, c] - polygon[k, c])
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def _mark_polygon(polygon, count, blocked, nx, ny):
    """Mark the cells that a convex polygon touches, column by column: exact also for slivers and walls."""
    left, right = polygon[0, 0], polygon[0, 0]
    for k in range(1, count):
        left, right = min(left, polygon[k, 0]), max(right, polygon[k, 0])
    for i in range(max(0, math.floor(left)), min(nx - 1, math.floor(right)) + 1):
        low, high = np.inf, -np.inf
        for k in range(count):
            ax, ay = polygon[k, 0], polygon[k, 1]
            bx, by = polygon[(k + 1) % count, 0], polygon[(k + 1) % count, 1]
            if ax > bx:
                ax, ay, bx, by = bx, by, ax, ay
            if bx < i or ax > i + 1:
                continue
            width = bx - ax
            enter = ay if ax >= i or width < 1e-12 else ay + (by - ay) * (i - ax) / width
            leave = by if bx <= i + 1 or width < 1e-12 else ay + (by - ay) * (i + 1 - ax) / width
            low, high = min(low, enter, leave), max(high, enter, leave)
        if high < low:
            continue
        for j in range(max(0, math.floor(low)), min(ny - 1, math.floor(high)) + 1):
            blocked[i, j] = True
