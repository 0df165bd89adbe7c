"""Compiled loops of the light baking. Every sample is computed from itself alone, so threads may share work."""

# mypy: disable-error-code="no-untyped-def,operator"
# numba infers the types of these functions from their arguments. They are plain loops over numbers because
# whole-array expressions take seconds to compile.

from __future__ import annotations

import math

import numpy as np
from numba import njit

from worldloop.envs.house.embree import (
    DIR,
    FAR,
    FLAGS,
    HIT_U,
    HIT_V,
    INCOHERENT,
    INTERSECT,
    LANES,
    NEAR,
    OCCLUDED,
    ORG,
    PRIM,
    RAY_ID,
    SCENE,
    TIME,
    VALID,
    call_embree,
    packet,
)

LIFT = np.float32(4e-3)
"""Metres between a surface and the origin of its rays."""
REACH = 9.0
"""Metres beyond which a lamp is not felt."""
LAMP_RADIUS = 0.18
LAMP_COLOUR = (1.0, 0.93, 0.82)
LAMP_POWER = 2.6
LAMP_SHADE = 0.35
"""Furniture within so many metres of a lamp is its shade, and glows."""
DAYLIGHT = (1.15, 1.25, 1.4)
SKY = (0.15, 0.16, 0.18)
"""Light that stands for all further bounces."""
OPEN = 1.2
"""Metres to the next surface at which a place counts as open."""
BOUNCE_GAIN = 1.5


def cosine_directions(count: int) -> np.ndarray:
    """float32 [count,3], cosine-distributed about +z on a sunflower spiral.

    All samples share them: neighbours err alike, so few rays give smooth shading instead of noise.
    """
    index = np.arange(count) + 0.5
    radius = np.sqrt(index / count)
    angle = index * math.pi * (3 - math.sqrt(5))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - radius**2)], axis=1).astype(
        np.float32
    )


@njit(cache=True, nogil=True)
def _mix(key, value):
    key ^= np.uint64(value) + np.uint64(0x9E3779B97F4A7C15) + (key << np.uint64(6)) + (key >> np.uint64(2))
    key *= np.uint64(0xFF51AFD7ED558CCD)
    return key ^ (key >> np.uint64(33))


@njit(cache=True, nogil=True)
def place_samples(corners, corner_normals, solid, offsets, divisions, points, normals, keys):
    """Fill points, normals [Q,3] and content keys [Q] of every triangle's barycentric grid."""
    for t in range(len(corners)):
        n, q = divisions[t], offsets[t]
        # What counts as one place: a millimetre of wall, a centimetre and a half of furniture.
        fine, turns = (1000, 12) if solid[t] else (70, 6)
        for i in range(n + 1):
            for j in range(n + 1 - i):
                b, c = np.float32(i / n), np.float32(j / n)
                a = np.float32(1) - b - c
                length, inwards = np.float32(0), np.float32(0)
                for k in range(3):
                    points[q, k] = a * corners[t, 0, k] + b * corners[t, 1, k] + c * corners[t, 2, k]
                    normals[q, k] = (
                        a * corner_normals[t, 0, k]
                        + b * corner_normals[t, 1, k]
                        + c * corner_normals[t, 2, k]
                    )
                    length += normals[q, k] ** 2
                    middle = (corners[t, 0, k] + corners[t, 1, k] + corners[t, 2, k]) / np.float32(3)
                    inwards += (middle - points[q, k]) ** 2
                key = np.uint64(n > 1)
                for k in range(3):
                    normals[q, k] /= max(math.sqrt(length), np.float32(1e-6))
                    key = _mix(key, np.int64(math.floor(points[q, k] * fine + 0.5)) & 0xFFFFFFFF)
                    key = _mix(key, np.int64(math.floor(normals[q, k] * turns + 0.5)) & 0xFFFFFFFF)
                # A sample in the corner of a room would start inside the neighbouring wall: step inwards.
                step = min(np.float32(0.3), np.float32(0.02) / max(math.sqrt(inwards), np.float32(1e-6)))
                for k in range(3):
                    middle = (corners[t, 0, k] + corners[t, 1, k] + corners[t, 2, k]) / np.float32(3)
                    points[q, k] += (middle - points[q, k]) * step
                keys[q] = key
                q += 1


@njit(cache=True, nogil=True)
def _frame(n):
    """Two unit vectors that complete a unit normal to a basis (Duff et al. 2017)."""
    sign = np.float32(1.0) if n[2] >= 0 else np.float32(-1.0)
    a = np.float32(-1.0) / (sign + n[2])
    b = n[0] * n[1] * a
    return (
        (np.float32(1.0) + sign * n[0] * n[0] * a, sign * b, -sign * n[0]),
        (b, sign + n[1] * n[1] * a, -n[1]),
    )


@njit(cache=True, nogil=True)
def face_outwards(calls, points, normals, solid, start, stop):
    """Turn furniture normals to the more open side: winding is unreliable in found models."""
    rays = packet(LANES)
    words = rays.view(np.int32)
    probes = ((0.0, 0.0), (0.6, 0.0), (-0.3, 0.52), (-0.3, -0.52))
    p = start
    while p < stop:
        # Two samples share a packet: four probes on each side of each.
        for lane in range(LANES):
            q = min(p + lane // 8, stop - 1)
            side = np.float32(1.0) if lane % 8 < 4 else np.float32(-1.0)
            x, y = probes[lane % 4]
            z = math.sqrt(1 - x * x - y * y)
            e, f = _frame(normals[q])
            for k in range(3):
                rays[ORG + k, lane] = points[q, k] + side * LIFT * normals[q, k]
                rays[DIR + k, lane] = e[k] * x + f[k] * y + side * normals[q, k] * z
            rays[NEAR, lane], rays[TIME, lane], rays[FAR, lane] = 0, 0, OPEN
            words[PRIM, lane] = -1
            words[RAY_ID, lane] = words[FLAGS, lane] = 0
        call_embree(calls[INTERSECT], calls[VALID], calls[SCENE], rays.ctypes.data, calls[INCOHERENT])
        for half in range(2):
            q = p + half
            if q >= stop or solid[q]:
                continue
            balance = np.float32(0)
            for lane in range(half * 8, half * 8 + 8):
                balance += rays[FAR, lane] if lane % 8 < 4 else -rays[FAR, lane]
            if balance < 0:
                for k in range(3):
                    normals[q, k] = -normals[q, k]
        p += 2


@njit(cache=True, nogil=True)
def light_from_lamps(calls, points, normals, solid, glowing, lamps, nearest, direct, start, stop):
    """Direct light [P,3]: four shadow rays to each of the four strongest lamps, spread over the lamp's ball."""
    rays = packet(LANES)
    words = rays.view(np.int32)
    slots = nearest.shape[1]
    spread = ((1.0, 1.0, 1.0), (-1.0, -1.0, 1.0), (-1.0, 1.0, -1.0), (1.0, -1.0, -1.0))
    shares = np.zeros(slots, np.float32)
    for p in range(start, stop):
        for slot in range(slots):
            nearest[p, slot], shares[slot] = -1, 0
        if glowing[p]:
            direct[p, 0], direct[p, 1], direct[p, 2] = DAYLIGHT
            continue
        glow = np.float32(0)
        for lamp in range(len(lamps)):
            dx, dy, dz = (
                lamps[lamp, 0] - points[p, 0],
                lamps[lamp, 1] - points[p, 1],
                lamps[lamp, 2] - points[p, 2],
            )
            r2 = dx * dx + dy * dy + dz * dz
            if r2 > REACH * REACH:
                continue
            if r2 < LAMP_SHADE * LAMP_SHADE and not solid[p]:
                glow = np.float32(1.4)
            r = math.sqrt(r2) + 1e-6
            # A little wrap-around softens the terminator, as a lamp with a shade does.
            cosine = ((dx * normals[p, 0] + dy * normals[p, 1] + dz * normals[p, 2]) / r + 0.1) / 1.1
            share = np.float32(cosine * LAMP_POWER / (1.2 + 0.55 * r2))
            place = slots
            while place > 0 and share > shares[place - 1]:
                place -= 1
            if place < slots and share > 1e-3:
                for k in range(slots - 1, place, -1):
                    shares[k], nearest[p, k] = shares[k - 1], nearest[p, k - 1]
                shares[place], nearest[p, place] = share, lamp
        if glow > 0 or nearest[p, 0] < 0:
            for k in range(3):
                direct[p, k] = glow * LAMP_COLOUR[k]
            continue
        for lane in range(LANES):
            slot = lane // 4
            lamp = nearest[p, slot] if slot < slots else -1
            ball = spread[lane % 4]
            for k in range(3):
                rays[ORG + k, lane] = points[p, k] + LIFT * normals[p, k]
                rays[DIR + k, lane] = (
                    lamps[lamp, k] + LAMP_RADIUS * 0.577 * ball[k] - rays[ORG + k, lane] if lamp >= 0 else 0
                )
            # Stop short of the lamp, whose own shade would hide it; a slot without a lamp gets an empty ray.
            rays[NEAR, lane], rays[TIME, lane] = 0, 0
            rays[FAR, lane] = 0.85 if lamp >= 0 else -1
            words[RAY_ID, lane] = words[FLAGS, lane] = 0
        call_embree(calls[OCCLUDED], calls[VALID], calls[SCENE], rays.ctypes.data, calls[INCOHERENT])
        total = np.float32(0)
        for lane in range(LANES):
            if rays[FAR, lane] > 0:
                total += shares[lane // 4] * np.float32(0.25)
        for k in range(3):
            direct[p, k] = total * LAMP_COLOUR[k]


@njit(cache=True, nogil=True)
def light_from_surfaces(
    calls, points, normals, many, few, flat, albedo, direct, offsets, divisions, inverse, solid, result, buried,
    start, stop,
):  # fmt: skip
    """Direct light plus one bounce plus ambient occlusion; marks samples that lie inside a wall."""
    rays = packet(LANES)
    words = rays.view(np.int32)
    for p in range(start, stop):
        # Flat walls show every error, small curved things hide it.
        hemisphere = many if solid[p] else few
        count = len(hemisphere)
        e, f = _frame(normals[p])
        red = green = blue = openness = np.float32(0)
        behind = 0
        for first in range(0, count, LANES):
            for lane in range(LANES):
                for k in range(3):
                    rays[ORG + k, lane] = points[p, k] + LIFT * normals[p, k]
                    rays[DIR + k, lane] = (
                        e[k] * hemisphere[first + lane, 0]
                        + f[k] * hemisphere[first + lane, 1]
                        + normals[p, k] * hemisphere[first + lane, 2]
                    )
                rays[NEAR, lane], rays[TIME, lane], rays[FAR, lane] = 0, 0, 100
                words[PRIM, lane] = -1
                words[RAY_ID, lane] = words[FLAGS, lane] = 0
            call_embree(calls[INTERSECT], calls[VALID], calls[SCENE], rays.ctypes.data, calls[INCOHERENT])
            for lane in range(LANES):
                t = words[PRIM, lane]
                openness += min(rays[FAR, lane], np.float32(OPEN)) / np.float32(OPEN)
                if t < 0:
                    red += SKY[0] * 4
                    green += SKY[1] * 4
                    blue += SKY[2] * 4
                    continue
                facing = (
                    rays[DIR, lane] * flat[t, 0]
                    + rays[DIR + 1, lane] * flat[t, 1]
                    + rays[DIR + 2, lane] * flat[t, 2]
                )
                if facing > 0 and rays[FAR, lane] < 0.5:
                    behind += 1
                n = divisions[t]
                i = min(n, int(rays[HIT_U, lane] * n + np.float32(0.5)))
                j = min(n - i, int(rays[HIT_V, lane] * n + np.float32(0.5)))
                s = inverse[offsets[t] + i * (n + 1) - i * (i - 1) // 2 + j]
                red += direct[s, 0] * albedo[t, 0]
                green += direct[s, 1] * albedo[t, 1]
                blue += direct[s, 2] * albedo[t, 2]
        buried[p] = solid[p] and behind * 2 > count
        gain = np.float32(BOUNCE_GAIN / count)
        openness /= count
        # Corners and the feet of things are darker than one bounce makes them: it is what the eye expects.
        crevice = np.float32(0.45) + np.float32(0.55) * openness
        result[p, 0] = (direct[p, 0] + red * gain) * crevice + SKY[0] * openness
        result[p, 1] = (direct[p, 1] + green * gain) * crevice + SKY[1] * openness
        result[p, 2] = (direct[p, 2] + blue * gain) * crevice + SKY[2] * openness


@njit(cache=True, nogil=True)
def fill_buried(offsets, divisions, inverse, buried, result):
    """Samples inside a wall take the mean of their lit neighbours, so that no dark seam leaks out."""
    for t in range(len(offsets)):
        n, base = divisions[t], offsets[t]
        for _ in range(3):
            changed = False
            for i in range(n + 1):
                for j in range(n + 1 - i):
                    s = inverse[base + i * (n + 1) - i * (i - 1) // 2 + j]
                    if not buried[s]:
                        continue
                    red = green = blue = np.float32(0)
                    lit = 0
                    for di, dj in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, -1), (-1, 1)):
                        a, b = i + di, j + dj
                        if a < 0 or b < 0 or a + b > n:
                            continue
                        o = inverse[base + a * (n + 1) - a * (a - 1) // 2 + b]
                        if not buried[o]:
                            red += result[o, 0]
                            green += result[o, 1]
                            blue += result[o, 2]
                            lit += 1
                    if lit:
                        result[s, 0], result[s, 1], result[s, 2] = red / lit, green / lit, blue / lit
                        buried[s] = False
                        changed = True
            if not changed:
                break
