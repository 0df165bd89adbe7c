"""The compiled inner loop of the tabletop's renderer: trace a packet of rays through moving parts, light what they hit."""

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
    INCOHERENT,
    INSTANCE,
    NEAR,
    ORG,
    PRIM,
    SCENE,
    VALID,
    call_embree,
    packet,
)
from worldloop.envs.house.shading import TONE_RANGE, TONE_STEPS

TEXELS = 128
"""Side of the table's texture."""
TEXTURED = 0
"""The material that is multiplied by the texture."""


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz", "arcp", "reassoc"})
def draw(
    calls, directions, pixels, pose, turns, offsets, ids, normals, paint, albedo, gloss, texture, repeat,
    lamp, spread, width, plain, lit, seen, depth, segmentation, label,
):  # fmt: skip
    """Trace and light packets; writes plain and lit float32 [N,3], seen float32 [N], depth float32 [N], ids int32 [N] and labels
    int32 [N]. `plain` is a pixel's linear colour in the shadow, `lit` what the lamp adds, `seen` whether a point of it is in sight.

    directions: float32 [K,3,lanes], camera frame, z = 1. pixels: int32 [K,lanes], -1 for padding. pose: float32
    [3,4]. turns: float32 [P,3,3] part to world. offsets, ids: int32 [P], first triangle and id of a part. normals:
    float32 [T,3,3], part frame. paint: int32 [T]. albedo: float32 [M,3], linear. gloss: float32 [M]. texture:
    float32 [S,S,3], linear, `repeat` a metre. lamp: float32 [3], the middle of a square lamp of half side `spread`. width:
    pixels of a row.
    """
    lanes = directions.shape[2]
    rays, shadow = packet(lanes), packet(lanes)
    words, dark = rays.view(np.int32), shadow.view(np.int32)
    zero, one, half = np.float32(0), np.float32(1), np.float32(0.5)
    world = np.empty((3, lanes), np.float32)
    for k in range(directions.shape[0]):
        for axis in range(3):
            a, b, c, o = pose[axis, 0], pose[axis, 1], pose[axis, 2], pose[axis, 3]
            for lane in range(lanes):
                rays[ORG + axis, lane] = o
                rays[DIR + axis, lane] = (
                    a * directions[k, 0, lane] + b * directions[k, 1, lane] + c * directions[k, 2, lane]
                )
        for lane in range(lanes):
            rays[NEAR, lane] = np.float32(1e-3)
            rays[FAR, lane] = np.float32(1e9)
            words[PRIM, lane] = -1
            words[INSTANCE, lane] = -1
        call_embree(calls[CAMERA], calls[VALID], calls[SCENE], rays.ctypes.data, calls[COHERENT])

        # One ray to a point of the lamp for each pixel; any 4 x 4 neighbours take all of its 16 points.
        for lane in range(lanes):
            t = words[PRIM, lane]
            shadow[NEAR, lane] = np.float32(2e-3)
            dark[PRIM, lane] = -1
            dark[INSTANCE, lane] = -1
            if t < 0:
                shadow[FAR, lane] = np.float32(-1)  # not traced
                continue
            part = words[INSTANCE, lane]
            row = offsets[part] + t
            u, v, far = rays[HIT_U, lane], rays[HIT_V, lane], rays[FAR, lane]
            w = one - u - v
            nx = w * normals[row, 0, 0] + u * normals[row, 1, 0] + v * normals[row, 2, 0]
            ny = w * normals[row, 0, 1] + u * normals[row, 1, 1] + v * normals[row, 2, 1]
            nz = w * normals[row, 0, 2] + u * normals[row, 1, 2] + v * normals[row, 2, 2]
            length = one / np.sqrt(max(nx * nx + ny * ny + nz * nz, np.float32(1e-12)))
            facing = zero
            for axis in range(3):
                n = (
                    turns[part, axis, 0] * nx + turns[part, axis, 1] * ny + turns[part, axis, 2] * nz
                ) * length
                world[axis, lane] = n
                facing += n * rays[DIR + axis, lane]
            if facing > zero:
                for axis in range(3):
                    world[axis, lane] = -world[axis, lane]
            line, column = pixels[k, lane] // width, pixels[k, lane] % width
            jx = (np.float32(column & 3) - np.float32(1.5)) * half * spread
            jy = (np.float32((line + column) & 3) - np.float32(1.5)) * half * spread
            for axis in range(3):
                point = rays[ORG + axis, lane] + far * rays[DIR + axis, lane]
                shadow[ORG + axis, lane] = point + np.float32(3e-3) * world[axis, lane]
                aim = lamp[axis] - point
                if axis == 0:
                    aim += jx
                elif axis == 1:
                    aim += jy
                shadow[DIR + axis, lane] = aim
            shadow[FAR, lane] = one
        call_embree(calls[CAMERA], calls[VALID], calls[SCENE], shadow.ctypes.data, calls[INCOHERENT])

        for lane in range(lanes):
            pixel, t = pixels[k, lane], words[PRIM, lane]
            if pixel < 0:
                continue
            dx, dy, dz = rays[DIR, lane], rays[DIR + 1, lane], rays[DIR + 2, lane]
            bright = one / np.sqrt(dx * dx + dy * dy + dz * dz)
            if t < 0:  # a plain wall far away, lighter towards the top
                sky = np.float32(0.30) + np.float32(0.12) * max(-one, min(one, dz * bright * np.float32(2)))
                for axis in range(3):
                    plain[pixel, axis], lit[pixel, axis] = sky, zero
                seen[pixel] = one
                depth[pixel], segmentation[pixel], label[pixel] = zero, 0, -1
                continue
            part = words[INSTANCE, lane]
            material = paint[offsets[part] + t]
            depth[pixel], segmentation[pixel] = rays[FAR, lane], ids[part]
            nx, ny, nz = world[0, lane], world[1, lane], world[2, lane]
            lx, ly, lz = shadow[DIR, lane], shadow[DIR + 1, lane], shadow[DIR + 2, lane]
            near = one / np.sqrt(lx * lx + ly * ly + lz * lz)
            lx, ly, lz = lx * near, ly * near, lz * near
            cosine = nx * lx + ny * ly + nz * lz
            seen[pixel] = one if dark[PRIM, lane] < 0 else zero
            direct, shine = zero, zero
            if cosine > zero:
                direct = np.float32(0.62) * cosine
                hx, hy, hz = lx - dx * bright, ly - dy * bright, lz - dz * bright
                sharp = nx * hx + ny * hy + nz * hz
                sharp = sharp * sharp / max(hx * hx + hy * hy + hz * hz, np.float32(1e-9))
                sharp = sharp * sharp * sharp * sharp  # to the eighth power of the cosine
                sharp = sharp * sharp * sharp
                shine = gloss[material] * sharp
            # Light from the room: more from above, a little from a window behind the camera.
            room = np.float32(0.25) + np.float32(0.17) * nz + np.float32(0.06) * nx - np.float32(0.05) * ny
            label[pixel] = part * 64 + material
            red, green, blue = albedo[material, 0], albedo[material, 1], albedo[material, 2]
            if material == TEXTURED:
                far = rays[FAR, lane]
                s = (
                    (rays[ORG, lane] + far * dx) * repeat * np.float32(TEXELS)
                    + np.float32(64 * TEXELS)
                    - half
                )
                r = (
                    (rays[ORG + 1, lane] + far * dy) * repeat * np.float32(TEXELS)
                    + np.float32(64 * TEXELS)
                    - half
                )
                i, j = int(s), int(r)
                s, r = s - np.float32(i), r - np.float32(j)
                i0, j0, i1, j1 = i & 127, j & 127, (i + 1) & 127, (j + 1) & 127
                a, b, c, e = (one - s) * (one - r), s * (one - r), (one - s) * r, s * r
                red *= (
                    a * texture[j0, i0, 0]
                    + b * texture[j0, i1, 0]
                    + c * texture[j1, i0, 0]
                    + e * texture[j1, i1, 0]
                )
                green *= (
                    a * texture[j0, i0, 1]
                    + b * texture[j0, i1, 1]
                    + c * texture[j1, i0, 1]
                    + e * texture[j1, i1, 1]
                )
                blue *= (
                    a * texture[j0, i0, 2]
                    + b * texture[j0, i1, 2]
                    + c * texture[j1, i0, 2]
                    + e * texture[j1, i1, 2]
                )
            plain[pixel, 0], plain[pixel, 1], plain[pixel, 2] = red * room, green * room, blue * room
            lit[pixel, 0] = red * direct + shine
            lit[pixel, 1] = green * direct + shine
            lit[pixel, 2] = blue * direct + shine


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz", "arcp", "reassoc"})
def develop(plain, lit, seen, labels, reach, tone, rgb):
    """Colours uint8 [H,W,3]; the lamp's light is shared among neighbours of one surface, which saw other points of it.

    plain, lit: float32 [H,W,3]. seen: float32 [H,W]. labels: int32 [H,W]. reach: pixels to the left and above, one more to
    the right and below; 0 leaves each pixel its own.
    """
    rows, columns = labels.shape
    scale = np.float32(TONE_STEPS) / np.float32(np.sqrt(TONE_RANGE))
    for i in range(rows):
        for j in range(columns):
            share = seen[i, j]
            if reach > 0:
                total, count, own = np.float32(0), np.float32(0), labels[i, j]
                for a in range(max(i - reach, 0), min(i + reach + 2, rows)):
                    for b in range(max(j - reach, 0), min(j + reach + 2, columns)):
                        if labels[a, b] == own:
                            total += seen[a, b]
                            count += np.float32(1)
                share = total / count
            for c in range(3):
                colour = max(plain[i, j, c] + share * lit[i, j, c], np.float32(0))
                rgb[i, j, c] = tone[min(TONE_STEPS, int(np.sqrt(colour) * scale))]
