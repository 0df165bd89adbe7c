"""The compiled inner loop of the renderer: rotate a packet of rays, trace it, shade its pixels."""

# mypy: disable-error-code="no-untyped-def,operator"
# numba infers the types of these functions from their arguments.

from __future__ import annotations

import numpy as np
from numba import njit

from worldloop.envs.house.embree import (
    CAMERA,
    COHERENT,
    DIR,
    FAR,
    HIT_U,
    HIT_V,
    ORG,
    PRIM,
    SCENE,
    VALID,
    call_embree,
    packet,
)

# Columns of the per-triangle table `surface`, float32 [T, 16].
UV0, UV1, UV2, TINT, DENSITY, NORMAL = 0, 2, 4, 6, 9, 10
# Columns of the per-triangle table `labels`, int32 [T, 4].
LAYER, INSTANCE, LIGHT, DIVISIONS = range(4)

TONE_STEPS = 2048
TONE_RANGE = 4.0
"""Brightest radiance that is told apart."""
BACKGROUND = (205, 219, 232)


def tone_curve() -> np.ndarray:
    """uint8 [TONE_STEPS + 1]: square root of linear radiance -> sRGB byte.

    Extended Reinhard: mid tones stay put, lamps roll off to white instead of clipping. Indexing by the
    square root gives dark tones as many steps as bright ones.
    """
    radiance = (np.arange(TONE_STEPS + 1) / TONE_STEPS) ** 2 * TONE_RANGE
    exposed = radiance * 2.1
    mapped = np.clip(exposed * (1 + exposed / 3.0**2) / (1 + exposed), 0, 1)
    srgb = np.where(mapped <= 0.0031308, 12.92 * mapped, 1.055 * mapped ** (1 / 2.4) - 0.055)
    return (np.clip(srgb, 0, 1) * 255 + 0.5).astype(np.uint8)


def mip_pyramid(textures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Texels of all levels, uint32 [K,N] as 0xBBGGRR, and each level's first texel.

    A channel is the square root of linear light: no table is needed to undo it in the inner loop, and its
    256 steps lie where eyes can tell them apart.
    """
    if not len(textures):
        return np.zeros((1, 1), np.uint32), np.zeros(1, np.int32)
    linear = ((np.arange(256) / 255) ** 2.2).astype(np.float32)
    level = linear[textures]
    levels, starts, total = [], [], 0
    while True:
        starts.append(total)
        total += level.shape[1] ** 2
        root = (np.sqrt(level) * 255 + 0.5).astype(np.uint32)
        levels.append((root[..., 0] | root[..., 1] << 8 | root[..., 2] << 16).reshape(len(level), -1))
        if level.shape[1] == 1:
            return np.ascontiguousarray(np.concatenate(levels, axis=1)), np.array(starts, np.int32)
        level = (level[:, ::2, ::2] + level[:, 1::2, ::2] + level[:, ::2, 1::2] + level[:, 1::2, 1::2]) / 4


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz", "arcp", "reassoc"})
def draw(
    calls, directions, pixels, pose, pixel_angle, first, last,
    surface, labels, light, texels, levels, size, tone, rgb, depth, segmentation,
):  # fmt: skip
    """Trace and shade packets `first` to `last`; writes rgb uint8 [N,3], depth float32 [N], ids int32 [N].

    directions: float32 [K,3,lanes] in the camera's frame. pixels: int32 [K,lanes], -1 for padding.
    pose: float32 [3,4]. pixel_angle: angle between neighbouring pixels, for the mip level.
    """
    lanes = directions.shape[2]
    rays = packet(lanes)
    words = rays.view(np.int32)
    address = rays.ctypes.data
    deepest = len(levels) - 1
    one, two, quarter = np.float32(1), np.float32(2), np.float32(0.25)
    scale = np.float32(TONE_STEPS) / np.float32(np.sqrt(TONE_RANGE))
    for k in range(first, last):
        for axis in range(3):
            a, b, c, o = pose[axis, 0], pose[axis, 1], pose[axis, 2], pose[axis, 3]
            for lane in range(lanes):
                rays[ORG + axis, lane] = o
                rays[DIR + axis, lane] = (
                    a * directions[k, 0, lane] + b * directions[k, 1, lane] + c * directions[k, 2, lane]
                )
        for lane in range(lanes):
            rays[FAR, lane] = np.float32(1e9)
            words[PRIM, lane] = -1
        call_embree(calls[CAMERA], calls[VALID], calls[SCENE], address, calls[COHERENT])
        for lane in range(lanes):
            pixel, t = pixels[k, lane], words[PRIM, lane]
            if pixel < 0:
                continue
            if t < 0:
                rgb[pixel, 0], rgb[pixel, 1], rgb[pixel, 2] = BACKGROUND
                depth[pixel], segmentation[pixel] = 0, 0
                continue
            u, v, far = rays[HIT_U, lane], rays[HIT_V, lane], rays[FAR, lane]
            depth[pixel], segmentation[pixel] = far, labels[t, INSTANCE]

            # Light: piecewise linear on the triangle's barycentric grid.
            n = labels[t, DIVISIONS]
            x, y = u * np.float32(n), v * np.float32(n)
            i, j = min(int(x), n - 1), min(int(y), n - 1)
            if i + j > n - 1:
                if i > 0:
                    i -= 1
                else:
                    j -= 1
            x -= np.float32(i)
            y -= np.float32(j)
            row = labels[t, LIGHT] + i * (n + 1) - ((i * (i - 1)) >> 1) + j
            below = row + n + 1 - i
            if x + y <= one or i + j == n - 1:
                corner, w0, w1, w2 = row, one - x - y, x, y
            else:
                corner, w0, w1, w2 = below + 1, x + y - one, one - y, one - x
            red = (light[corner, 0] * w0 + light[below, 0] * w1 + light[row + 1, 0] * w2) * surface[t, TINT]
            green = (light[corner, 1] * w0 + light[below, 1] * w1 + light[row + 1, 1] * w2) * surface[
                t, TINT + 1
            ]
            blue = (light[corner, 2] * w0 + light[below, 2] * w1 + light[row + 1, 2] * w2) * surface[
                t, TINT + 2
            ]

            layer = labels[t, LAYER]
            if layer >= 0:
                cosine = abs(
                    rays[DIR, lane] * surface[t, NORMAL]
                    + rays[DIR + 1, lane] * surface[t, NORMAL + 1]
                    + rays[DIR + 2, lane] * surface[t, NORMAL + 2]
                )
                # Footprint in texels, squared; halfway between isotropic and fully anisotropic at grazing angles.
                width = surface[t, DENSITY] * far * pixel_angle
                area = width * width / max(cosine, np.float32(0.1))
                level = 0
                while area > two and level < deepest:
                    area *= quarter
                    level += 1
                side = size >> level
                wrap = side - 1
                w = one - u - v
                # Texture coordinates in 1/256 texels: four packed texels are then blended by integers, two
                # channels in one multiplication.
                unit = np.float32(side * 256)
                s = (
                    int(np.floor((w * surface[t, UV0] + u * surface[t, UV1] + v * surface[t, UV2]) * unit))
                    - 128
                )
                r = int(
                    np.floor(
                        (w * surface[t, UV0 + 1] + u * surface[t, UV1 + 1] + v * surface[t, UV2 + 1]) * unit
                    )
                )
                r -= 128
                column, line = (s >> 8) & wrap, (r >> 8) & wrap
                s &= 255
                r &= 255
                top = levels[level] + line * side
                bottom = levels[level] + ((line + 1) & wrap) * side
                right = (column + 1) & wrap
                d = (s * r + 128) >> 8
                b, c = s - d, r - d
                a = 256 - b - c - d
                p, q = np.int64(texels[layer, top + column]), np.int64(texels[layer, top + right])
                g, h = np.int64(texels[layer, bottom + column]), np.int64(texels[layer, bottom + right])
                pair = a * (p & 0xFF00FF) + b * (q & 0xFF00FF) + c * (g & 0xFF00FF) + d * (h & 0xFF00FF)
                middle = a * (p & 0xFF00) + b * (q & 0xFF00) + c * (g & 0xFF00) + d * (h & 0xFF00)
                texel = np.float32(pair & 0xFFFF)
                red *= texel * texel
                texel = np.float32(middle >> 8)
                green *= texel * texel
                texel = np.float32(pair >> 16)
                blue *= texel * texel
            rgb[pixel, 0] = tone[min(TONE_STEPS, int(np.sqrt(max(red, np.float32(0))) * scale))]
            rgb[pixel, 1] = tone[min(TONE_STEPS, int(np.sqrt(max(green, np.float32(0))) * scale))]
            rgb[pixel, 2] = tone[min(TONE_STEPS, int(np.sqrt(max(blue, np.float32(0))) * scale))]


@njit(cache=True, nogil=True)
def trace(calls, directions, pixels, pose, distance, triangle):
    """Closest hits only: distance float32 [N] (0 where nothing was hit) and triangle int32 [N] (-1)."""
    lanes = directions.shape[2]
    rays = packet(lanes)
    words = rays.view(np.int32)
    for k in range(len(directions)):
        for axis in range(3):
            for lane in range(lanes):
                rays[ORG + axis, lane] = pose[axis, 3]
                rays[DIR + axis, lane] = (
                    pose[axis, 0] * directions[k, 0, lane]
                    + pose[axis, 1] * directions[k, 1, lane]
                    + pose[axis, 2] * directions[k, 2, lane]
                )
        for lane in range(lanes):
            rays[FAR, lane] = np.float32(1e9)
            words[PRIM, lane] = -1
        call_embree(calls[CAMERA], calls[VALID], calls[SCENE], rays.ctypes.data, calls[COHERENT])
        for lane in range(lanes):
            pixel = pixels[k, lane]
            if pixel >= 0:
                triangle[pixel] = words[PRIM, lane]
                distance[pixel] = rays[FAR, lane] if words[PRIM, lane] >= 0 else 0
