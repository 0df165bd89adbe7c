"""`pointcloud`: a world model without learning. It lifts what is seen now into coloured 3-D points and
renders them along the plan's camera path; what was never seen is filled from its surroundings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numba as nb
import numpy as np

from worldloop.actions import camera_matrix, intended_path
from worldloop.core import InputError, ModelCard, Observation, Query, Rollout
from worldloop.core.errors import ModelError
from worldloop.models.panorama import view_angles

NEAR = 0.05
"""Metres; closer points are behind the lens."""
BODY = (0.08, 1.5)
"""Metres above the floor between which a point stops the agent: a carpet does not, nor does a lamp."""
REACH = 4.0
"""Metres; obstacles farther away are not looked at."""
AHEAD = np.linalg.inv(camera_matrix(0.0, 0.0, 0.0, 0.0))
LARGEST_SPLAT = 24
"""Pixels; a point next to the camera does not cover more than this."""


@nb.njit(nogil=True, cache=True)
def splat(
    points: np.ndarray,
    colours: np.ndarray,
    widths: np.ndarray,
    pose: np.ndarray,
    focal: float,
    size: int,
    rows: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw points as squares into a level pinhole view with a z-buffer.

    points float32 [N,3] (x, y, z metres, camera at the origin), colours uint8 [N,3], widths float32 [N] in
    metres, pose = (x, y, yaw rad) of the view. Returns uint8 [rows,size,3] and depth float32 [rows,size],
    0 where nothing was drawn.
    """
    rgb = np.zeros((rows, size, 3), np.uint8)
    depth = np.zeros((rows, size), np.float32)
    c, s = math.cos(pose[2]), math.sin(pose[2])
    for n in range(points.shape[0]):
        dx, dy = points[n, 0] - pose[0], points[n, 1] - pose[1]
        forward = c * dx + s * dy
        if forward < NEAR:
            continue
        u = size / 2 - focal * (c * dy - s * dx) / forward
        v = rows / 2 - focal * points[n, 2] / forward
        half = min(0.5 * widths[n] * focal / forward, LARGEST_SPLAT / 2)
        if u + half < 0 or v + half < 0 or u - half >= size or v - half >= rows:
            continue
        # Every pixel whose centre lies under the square, and at least the one under its middle.
        j0, j1 = math.ceil(u - half - 0.5), math.floor(u + half - 0.5)
        i0, i1 = math.ceil(v - half - 0.5), math.floor(v + half - 0.5)
        if j1 < j0:
            j0 = j1 = math.floor(u)
        if i1 < i0:
            i0 = i1 = math.floor(v)
        for i in range(max(i0, 0), min(i1, rows - 1) + 1):
            for j in range(max(j0, 0), min(j1, size - 1) + 1):
                if depth[i, j] == 0 or forward < depth[i, j]:
                    depth[i, j] = forward
                    for k in range(3):
                        rgb[i, j, k] = colours[n, k]
    return rgb, depth


@nb.njit(nogil=True, cache=True)
def fill_holes(rgb: np.ndarray, depth: np.ndarray) -> None:
    """Grow the drawn region into the holes, ring by ring; of a hole's neighbours the farther ones count,
    because what is uncovered beside an edge belongs to the background."""
    rows, columns = depth.shape
    filled = depth > 0
    todo = [(i, j) for i in range(rows) for j in range(columns) if not filled[i, j]]
    while len(todo) > 0 and len(todo) < rows * columns:
        ring = [(0, 0)][:0]
        rest = [(0, 0)][:0]
        for i, j in todo:
            far, weight = np.float32(0), 0
            total = np.zeros(3, np.float32)
            for a in range(max(i - 1, 0), min(i + 2, rows)):
                for b in range(max(j - 1, 0), min(j + 2, columns)):
                    if filled[a, b] and depth[a, b] > far:
                        far = depth[a, b]
            if far == 0:
                rest.append((i, j))
                continue
            for a in range(max(i - 1, 0), min(i + 2, rows)):
                for b in range(max(j - 1, 0), min(j + 2, columns)):
                    if filled[a, b] and depth[a, b] >= 0.9 * far:
                        weight += 1
                        for k in range(3):
                            total[k] += rgb[a, b, k]
            for k in range(3):
                rgb[i, j, k] = np.uint8(total[k] / weight + 0.5)
            depth[i, j] = far
            ring.append((i, j))
        for i, j in ring:
            filled[i, j] = True
        if len(ring) == 0:
            break
        todo = rest


def walked_path(path: np.ndarray, obstacles: np.ndarray, radius: float) -> np.ndarray:
    """The part of an intended path [L+1,3] (x m, y m, yaw deg) that an upright cylinder can walk.

    `obstacles` [K,2] are points on the floor plan. A blocked step ends at the first contact, and all that
    follows starts from there; turns are never blocked. Points that already touch only block the way to them.
    """
    walked = path.copy()
    for i in range(1, len(path)):
        step = path[i, :2] - path[i - 1, :2]
        length = float(np.hypot(*step))
        if length > 0 and radius > 0 and len(obstacles):
            direction = step / length
            to = obstacles - walked[i - 1, :2]
            ahead = to @ direction
            aside = np.abs(to[:, 1] * direction[0] - to[:, 0] * direction[1])
            near = (aside < radius) & (ahead > 0)
            contact = ahead[near] - np.sqrt(radius**2 - aside[near] ** 2)
            length = float(np.clip(contact.min(initial=length), 0.0, length))
            step = direction * length
        walked[i, :2] = walked[i - 1, :2] + step
    return walked


def ray_directions(azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """Unit vectors float32 [...,3] (x forward, y left, z up) of viewing angles in radians."""
    flat = np.cos(elevation)
    return np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], axis=-1).astype(
        np.float32
    )


def panorama_angles(height: int) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth (left positive) and elevation in radians of an equirectangular image [h,2h]."""
    azimuth = math.pi - (np.arange(2 * height) + 0.5) / height * math.pi
    elevation = math.pi / 2 - (np.arange(height) + 0.5) / height * math.pi
    return np.broadcast_to(azimuth, (height, 2 * height)), np.broadcast_to(
        elevation[:, None], (height, 2 * height)
    )


class PointCloud:
    """Lifts the RGB-D panorama and the sharper front view, and renders them from where the plan leads.

    A step ends where a measured point stands in the way of the agent, an upright cylinder; the frames'
    poses say so, relative to the present camera.
    """

    lanes = 64
    name = "pointcloud"

    def __init__(self, radius: float = 0.2, camera_height: float = 1.25) -> None:
        """Of the agent, in metres. `radius` 0 walks through everything."""
        numbers = isinstance(radius, int | float) and isinstance(camera_height, int | float)
        if not numbers or not 0 <= radius < camera_height:
            raise InputError(
                f"{self.name}: radius and camera_height are metres with 0 <= radius < camera_height, "
                f"got {radius} and {camera_height}"
            )
        self.radius, self.camera_height = float(radius), float(camera_height)
        self.card = self._card({"radius": self.radius, "camera_height": self.camera_height})

    def _card(self, settings: dict[str, float]) -> ModelCard:
        return ModelCard(
            self.name,
            "3-D points of the present RGB-D panorama, re-rendered along the plan",
            "camera",
            ("true_depth",),
            reads=("panorama", "panorama_depth", "depth"),
            settings=settings,
            notes="Stops at obstacles it has measured. Holes are filled from the background.",
        )

    def simulate(self, queries: Sequence[Query]) -> list[Rollout]:
        """One rollout per query; ModelError when panorama or depth are missing."""
        return [self._one(q) for q in queries]

    def ranges(self, now: Observation) -> tuple[np.ndarray, np.ndarray]:
        """Range in metres along every ray of the panorama [h,2h] and of the front view [H,W]; 0 is unknown."""
        depth = now.extra.get("panorama_depth")
        if depth is None or now.depth is None:
            raise ModelError(f"model {self.card.name!r} needs an environment that measures depth")
        azimuth, elevation = view_angles(*now.rgb.shape[:2], now.hfov_deg)
        return depth, now.depth / (np.cos(azimuth) * np.cos(elevation))

    def _one(self, query: Query) -> Rollout:
        now = query.history[-1]
        if now.panorama is None:
            raise ModelError(f"model {self.card.name!r} needs an environment with a panorama")
        points, colours, widths = self._lift(now)
        obstacles = self._obstacles(points)
        rows, size = now.rgb.shape[:2]
        focal = size / 2 / math.tan(math.radians(now.hfov_deg) / 2)
        frames = []
        for x, y, yaw in walked_path(intended_path(query.plan), obstacles, self.radius)[1:]:
            rgb, depth = splat(
                points, colours, widths, np.array([x, y, math.radians(yaw)]), focal, size, rows
            )
            fill_holes(rgb, depth)
            pose = AHEAD @ camera_matrix(x, y, 0.0, yaw)
            frames.append(Observation(rgb, depth=depth, pose=pose, hfov_deg=now.hfov_deg))
        return Rollout(tuple(frames))

    def _obstacles(self, points: np.ndarray) -> np.ndarray:
        """The places [K,2] of points at a height where they stop the agent."""
        above_floor = points[:, 2] + self.camera_height
        blocking = (above_floor > BODY[0]) & (above_floor < BODY[1])
        return points[blocking & (np.abs(points[:, :2]).max(axis=1) < REACH), :2].astype(np.float64)

    def _lift(self, now: Observation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        assert now.panorama is not None
        far, near = self.ranges(now)
        height = now.panorama.shape[0]
        view = view_angles(*now.rgb.shape[:2], now.hfov_deg)
        parts = []
        # The widths make neighbouring points touch: the angle of one pixel times the distance.
        front_pixel = 2 * math.tan(math.radians(now.hfov_deg) / 2) / now.rgb.shape[1]
        for image, ranges, angles, pixel in (
            (now.rgb, near, view, front_pixel * 1.1),
            (now.panorama, far, panorama_angles(height), math.pi / height * 1.2),
        ):
            keep = (ranges > NEAR) & np.isfinite(ranges)
            distance = ranges[keep].astype(np.float32)
            xyz = ray_directions(angles[0][keep], angles[1][keep]) * distance[:, None]
            parts.append((xyz, image[keep], distance * np.float32(pixel)))
        points, colours, widths = (np.concatenate(p) for p in zip(*parts))
        return points, np.ascontiguousarray(colours), widths


class AssumedPointCloud(PointCloud):
    """`pointcloud-assumed`: the same without any measured depth, in a room of assumed size.

    Every ray ends at the floor, the ceiling or a round wall, whichever comes first.
    """

    name = "pointcloud-assumed"

    def __init__(self, camera_height: float = 1.25, ceiling: float = 2.6, wall: float = 2.5) -> None:
        """Heights above the floor and the distance of the wall, metres."""
        if not 0 < camera_height < ceiling or not wall > 0:
            raise InputError("pointcloud-assumed: needs 0 < camera_height < ceiling and wall > 0")
        super().__init__(0.0, camera_height)
        self.room = (float(camera_height), float(ceiling), float(wall))
        self.card = ModelCard(
            "pointcloud-assumed",
            "3-D points of the present panorama at assumed depths, re-rendered along the plan",
            "camera",
            reads=("panorama",),
            settings={"camera_height": self.room[0], "ceiling": self.room[1], "wall": self.room[2]},
            notes="No depth is measured: floor, ceiling and a round wall are assumed.",
        )

    def ranges(self, now: Observation) -> tuple[np.ndarray, np.ndarray]:
        """Ranges in metres to the assumed room, for panorama and front view."""
        assert now.panorama is not None
        view = view_angles(*now.rgb.shape[:2], now.hfov_deg)
        return tuple(self._room(e) for e in (panorama_angles(now.panorama.shape[0])[1], view[1]))  # type: ignore[return-value]

    def _room(self, elevation: np.ndarray) -> np.ndarray:
        camera, ceiling, wall = self.room
        up = np.sin(elevation)
        level = np.where(up > 0, ceiling - camera, camera) / np.maximum(np.abs(up), 1e-6)
        return np.minimum(level, wall / np.maximum(np.cos(elevation), 1e-6)).astype(np.float32)
