"""The motion that brings lifted points to where they were found again: iterated least squares, compiled."""

from __future__ import annotations

import math

import numba as nb
import numpy as np

SPREADS = np.array([8.0, 4.0, 2.0, 1.0, 1.0, 1.0])
"""Pixels at a width of 128: how far points may be from where a motion puts them and still pull it, iteration by iteration."""
NEAREST = 0.05
"""Metres; points are not taken to be nearer than this."""


@nb.njit(nogil=True, cache=True)
def fit_motion(
    points: np.ndarray,
    there: np.ndarray,
    turn: float,
    spreads: np.ndarray,
    length: float,
    cx: float,
    cy: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The motion float64 [4,4] that brings points [N,3] nearest to pixels [N,2], and what is left in pixels [N].

    Starts from a turn to the left in radians; six degrees of freedom; Geman and McClure's weights, one spread in pixels for each
    iteration.
    """
    move = np.eye(4)
    move[0, 0] = move[2, 2] = math.cos(turn)
    move[0, 2], move[2, 0] = math.sin(turn), -math.sin(turn)
    error = np.empty(len(points))
    row = np.empty((2, 6))
    for iteration in range(len(spreads) + 1):
        curve, pull = np.zeros((6, 6)), np.zeros(6)
        for n in range(len(points)):
            px, py, pz = points[n, 0], points[n, 1], points[n, 2]
            ax = move[0, 0] * px + move[0, 1] * py + move[0, 2] * pz + move[0, 3]
            ay = move[1, 0] * px + move[1, 1] * py + move[1, 2] * pz + move[1, 3]
            az = move[2, 0] * px + move[2, 1] * py + move[2, 2] * pz + move[2, 3]
            z = max(az, NEAREST)
            x, y = ax / z, ay / z
            du, dv = x * length + cx - there[n, 0], y * length + cy - there[n, 1]
            error[n] = math.sqrt(du * du + dv * dv)
            if iteration == len(spreads):
                continue
            weight = 1 / (1 + (error[n] / spreads[iteration]) ** 2) ** 2
            # Derivatives of the pixel by a small turn (about x, y, z) and a small shift of the points.
            flat = length / z
            row[0, 0], row[0, 1], row[0, 2] = -x * y * length, (1 + x * x) * length, -y * length
            row[0, 3], row[0, 4], row[0, 5] = flat, 0.0, -x * flat
            row[1, 0], row[1, 1], row[1, 2] = -(1 + y * y) * length, x * y * length, x * length
            row[1, 3], row[1, 4], row[1, 5] = 0.0, flat, -y * flat
            for i in range(6):
                pull[i] += weight * (row[0, i] * du + row[1, i] * dv)
                for j in range(i + 1):
                    curve[i, j] += weight * (row[0, i] * row[0, j] + row[1, i] * row[1, j])
        if iteration == len(spreads):
            break
        damping = 1e-12
        for i in range(6):
            damping += 1e-6 * curve[i, i] / 6
        for i in range(6):
            curve[i, i] += damping
            for j in range(i):
                curve[j, i] = curve[i, j]
        change = -np.linalg.solve(curve, pull)
        move = _moved(move, change)
    return move, error


@nb.njit(nogil=True, cache=True)
def _moved(move: np.ndarray, change: np.ndarray) -> np.ndarray:
    """A motion [4,4], followed by a turn (axis times radians, Rodrigues) and a shift."""
    angle = math.sqrt(change[0] ** 2 + change[1] ** 2 + change[2] ** 2)
    turn = np.eye(3)
    if angle > 1e-12:
        x, y, z = change[0] / angle, change[1] / angle, change[2] / angle
        s, c = math.sin(angle), 1 - math.cos(angle)
        turn[0, 0], turn[0, 1], turn[0, 2] = 1 - c * (y * y + z * z), c * x * y - s * z, c * x * z + s * y
        turn[1, 0], turn[1, 1], turn[1, 2] = c * x * y + s * z, 1 - c * (x * x + z * z), c * y * z - s * x
        turn[2, 0], turn[2, 1], turn[2, 2] = c * x * z - s * y, c * y * z + s * x, 1 - c * (x * x + y * y)
    out = np.eye(4)
    for i in range(3):
        for j in range(4):
            out[i, j] = turn[i, 0] * move[0, j] + turn[i, 1] * move[1, j] + turn[i, 2] * move[2, j]
        out[i, 3] += change[3 + i]
    return out
