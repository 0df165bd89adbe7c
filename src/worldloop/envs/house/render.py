"""Pictures of a triangle scene: pinhole and panorama cameras, each with depth and instance ids."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from worldloop.core.errors import InputError
from worldloop.envs.house import shading
from worldloop.envs.house.embree import RayScene, library
from worldloop.envs.house.light import BakedLight
from worldloop.envs.house.mesh import TriangleScene


class Frame(NamedTuple):
    """One picture with its geometry."""

    rgb: np.ndarray
    """uint8 [H,W,3], sRGB."""
    depth: np.ndarray
    """float32 [H,W], metres; along the optical axis (pinhole) or along the ray (panorama); 0: nothing hit."""
    segmentation: np.ndarray
    """int32 [H,W], instance ids; 0: nothing hit."""


class RayTable(NamedTuple):
    """Rays of one kind of camera, cut into packets of neighbouring pixels."""

    directions: np.ndarray
    """float32 [K,3,lanes], camera frame (x right, y down, z forward)."""
    pixels: np.ndarray
    """int32 [K,lanes], index of the pixel, -1 for padding."""
    pixel_angle: float
    """Radians between neighbouring pixels."""
    shape: tuple[int, int]


def camera_pose(
    x: float, y: float, yaw_deg: float, height: float = 1.25, pitch_deg: float = 0.0
) -> np.ndarray:
    """float64 [4,4], camera-to-world, of a camera at (x, y, height) metres.

    yaw_deg 0 looks along +x and 90 along +y; a positive pitch looks up.
    """
    cos_yaw, sin_yaw = _turn(yaw_deg)
    cos_pitch, sin_pitch = _turn(pitch_deg)
    pose = np.eye(4)
    pose[:3, 0] = sin_yaw, -cos_yaw, 0
    pose[:3, 1] = sin_pitch * cos_yaw, sin_pitch * sin_yaw, -cos_pitch
    pose[:3, 2] = cos_pitch * cos_yaw, cos_pitch * sin_yaw, sin_pitch
    pose[:3, 3] = x, y, height
    return pose


def _turn(degrees: float) -> tuple[float, float]:
    """Cosine and sine, exact at quarter turns."""
    quarter, rest = divmod(degrees, 90.0)
    if rest == 0:
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(quarter) % 4]
    angle = math.radians(degrees % 360.0)
    return math.cos(angle), math.sin(angle)


def tile_shape() -> tuple[int, int]:
    """Rows and columns of pixels in one packet of camera rays."""
    return {16: (4, 4), 8: (2, 4), 4: (2, 2)}[library().lanes]


def _packets(directions: np.ndarray, pixel_angle: float) -> RayTable:
    """Cut [H,W,3] directions into tiles of neighbouring pixels, one packet each."""
    height, width = directions.shape[:2]
    down, across = tile_shape()
    lanes, rows, columns = down * across, -(-height // down), -(-width // across)
    padded = np.pad(
        directions, ((0, rows * down - height), (0, columns * across - width), (0, 0)), mode="edge"
    )
    index = np.full((rows * down, columns * across), -1, np.int32)
    index[:height, :width] = np.arange(height * width, dtype=np.int32).reshape(height, width)
    tiles = padded.reshape(rows, down, columns, across, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, lanes)
    order = index.reshape(rows, down, columns, across).transpose(0, 2, 1, 3).reshape(-1, lanes)
    return RayTable(
        np.ascontiguousarray(tiles, np.float32), np.ascontiguousarray(order), pixel_angle, (height, width)
    )


@lru_cache(maxsize=16)
def pinhole_rays(height: int, width: int, hfov_deg: float) -> RayTable:
    """Rays with z = 1, so that the distance to a hit is its depth along the optical axis. Square pixels."""
    step = 2 * math.tan(math.radians(hfov_deg) / 2) / width
    x = (np.arange(width) + 0.5 - width / 2) * step
    y = (np.arange(height) + 0.5 - height / 2) * step
    grid = np.stack([*np.meshgrid(x, y), np.ones((height, width))], axis=-1)
    return _packets(grid, step)


@lru_cache(maxsize=16)
def panorama_rays(height: int) -> RayTable:
    """Unit rays of an equirectangular image [height, 2 height]; column `height` begins right of forward."""
    azimuth = (np.arange(2 * height) + 0.5 - height) * math.pi / height
    polar = (np.arange(height) + 0.5) * math.pi / height
    azimuth, polar = np.meshgrid(azimuth, polar)
    x, y, z = np.sin(azimuth) * np.sin(polar), -np.cos(polar), np.cos(azimuth) * np.sin(polar)
    return _packets(np.stack([x, y, z], axis=-1), math.pi / height)


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="worldloop-render")


class Renderer:
    """Renders one scene from any pose. Stateless after construction: any number of threads may render at once.

    Texture rows run downwards: v = 0 is the first row of the image. The same pose gives the same bytes in
    every process on one kind of CPU, whatever `workers` is.
    """

    def __init__(
        self, scene: TriangleScene, light: BakedLight, *, rays: RayScene | None = None, workers: int = 1
    ) -> None:
        """rays: an acceleration structure of `scene` that exists already. workers: threads per frame."""
        if len(light.offsets) != len(scene.positions):
            raise InputError("this light was baked for another scene")
        self.scene = scene
        self.workers = workers
        self._rays = rays or RayScene(scene.positions)
        self._calls = self._rays.calls()
        self._texels, self._levels = shading.mip_pyramid(scene.textures)
        self._size = scene.textures.shape[1] if len(scene.textures) else 1
        self._surface, self._labels = _pack(scene, light, self._size)
        self._light = np.ascontiguousarray(light.values, np.float32)
        self._tone = shading.tone_curve()

    def pinhole(
        self,
        pose: np.ndarray,
        size: int | tuple[int, int] = 128,
        hfov_deg: float = 90.0,
        antialias: bool = False,
    ) -> Frame:
        """A perspective picture. pose: [4,4] camera-to-world; size: side, or (height, width), in pixels.

        antialias: average four rays in the pixels where instances meet; depth and ids stay unfiltered.
        """
        height, width = (size, size) if isinstance(size, int) else size
        if height < 1 or width < 1 or not 1 <= hfov_deg <= 170:
            raise InputError(
                f"cannot render {height} x {width} pixels with a field of view of {hfov_deg} degrees"
            )
        table = pinhole_rays(height, width, float(hfov_deg))
        frame = self._draw(table, pose)
        if antialias:
            smooth_edges(frame, frame.segmentation, table, lambda fine: self._draw(fine, pose).rgb)
        return frame

    def panorama(self, pose: np.ndarray, height: int = 64) -> Frame:
        """An equirectangular picture [height, 2 height], level, its middle looking where the camera looks."""
        if height < 1:
            raise InputError("a panorama needs at least one row")
        return self._draw(panorama_rays(height), level_pose(pose))

    def _draw(self, table: RayTable, pose: np.ndarray) -> Frame:
        height, width = table.shape
        rgb = np.empty((height * width, 3), np.uint8)
        depth = np.empty(height * width, np.float32)
        segmentation = np.empty(height * width, np.int32)
        rows = np.ascontiguousarray(np.asarray(pose)[:3], np.float32)
        count = len(table.directions)

        def part(first: int, last: int) -> None:
            shading.draw(
                self._calls, table.directions, table.pixels, rows, np.float32(table.pixel_angle), first, last,
                self._surface, self._labels, self._light, self._texels, self._levels, self._size, self._tone,
                rgb, depth, segmentation,
            )  # fmt: skip

        if self.workers == 1:
            part(0, count)
        else:
            cuts = [count * i // self.workers for i in range(self.workers + 1)]
            others = [_pool(self.workers - 1).submit(part, a, b) for a, b in pairwise(cuts[1:])]
            part(cuts[0], cuts[1])
            for other in others:
                other.result()
        shape = (height, width)
        return Frame(rgb.reshape(*shape, 3), depth.reshape(shape), segmentation.reshape(shape))


def smooth_edges(
    frame: Frame, labels: np.ndarray, table: RayTable, draw: Callable[[RayTable], np.ndarray]
) -> None:
    """Draw the pixels of a pinhole picture where neighbours' labels [H,W] differ as the mean of four rays, in place.

    `draw` makes a picture uint8 [N,4,3] of a table of that shape.
    """
    edge = np.zeros(labels.shape, bool)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    at = np.argwhere(edge)
    if not len(at):
        return
    height, width = table.shape
    lanes = library().lanes
    # A rotated grid of four samples within the pixel.
    offsets = np.array([[-0.125, -0.375], [0.375, -0.125], [-0.375, 0.125], [0.125, 0.375]])
    places = (at[:, None, ::-1] + 0.5 + offsets - (width / 2, height / 2)) * table.pixel_angle
    rays = np.concatenate([places, np.ones((len(at), 4, 1))], axis=2).reshape(-1, 3)
    count = -(-len(rays) // lanes) * lanes
    rays = np.concatenate([rays, np.repeat(rays[-1:], count - len(rays), axis=0)])
    directions = np.ascontiguousarray(rays.reshape(-1, lanes, 3).transpose(0, 2, 1), np.float32)
    pixels = np.arange(count, dtype=np.int32).reshape(-1, lanes)
    fine = draw(RayTable(directions, pixels, table.pixel_angle, (count // 4, 4)))
    mean = (fine[: len(at)].astype(np.uint16).sum(axis=1) + 2) // 4
    frame.rgb[edge] = mean.astype(np.uint8)


def level_pose(pose: np.ndarray) -> np.ndarray:
    """The pose turned level: same place, same heading, no pitch and no roll."""
    pose = np.asarray(pose, np.float64)
    forward = pose[:2, 2] if math.hypot(*pose[:2, 2]) > 1e-6 else pose[:2, 1] * np.sign(pose[2, 2])
    forward = forward / math.hypot(*forward)
    level = np.eye(4)
    level[:3, 0] = forward[1], -forward[0], 0
    level[:3, 1] = 0, 0, -1
    level[:3, 2] = forward[0], forward[1], 0
    level[:3, 3] = pose[:3, 3]
    return level


def _pack(scene: TriangleScene, light: BakedLight, texture_size: int) -> tuple[np.ndarray, np.ndarray]:
    """One row of floats and one of integers per triangle: a hit then touches two cache lines."""
    count = len(scene.positions)
    surface, labels = np.zeros((count, 16), np.float32), np.zeros((count, 4), np.int32)
    first = scene.positions[:, 1] - scene.positions[:, 0]
    second = scene.positions[:, 2] - scene.positions[:, 0]
    cross = np.cross(first, second)
    area = np.maximum(np.linalg.norm(cross, axis=1), 1e-12)
    uv = scene.uvs - np.floor(scene.uvs[:, :1])
    a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    surface[:, : shading.TINT] = uv.reshape(count, 6)
    surface[:, shading.TINT : shading.DENSITY] = np.clip(scene.colours, 0, 1) ** 2.2
    # Blended texels come as integers up to 255 * 256, squared: fold the scale into the tint.
    surface[scene.layers >= 0, shading.TINT : shading.DENSITY] /= np.float32(255 * 256) ** 2
    surface[:, shading.DENSITY] = np.sqrt(np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / area) * texture_size
    surface[:, shading.NORMAL : shading.NORMAL + 3] = cross / area[:, None]
    labels[:, shading.LAYER] = scene.layers
    labels[:, shading.INSTANCE] = scene.instances
    labels[:, shading.LIGHT] = light.offsets
    labels[:, shading.DIVISIONS] = light.divisions
    return surface, labels
