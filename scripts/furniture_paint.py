"""Pictures, rug patterns, clock faces and screens for `furniture_shapes`, painted with numpy from a seed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

SIZE = 128
Image = np.ndarray


def _grid() -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(SIZE) + 0.5) / SIZE
    return np.meshgrid(axis, axis)


def _paint(image: np.ndarray, mask: np.ndarray, colour: object) -> None:
    image[mask] = np.asarray(colour, float)


def _bytes(image: np.ndarray) -> Image:
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def landscape(seed: int) -> Image:
    """Sky, sun, and hills that darken towards the viewer."""
    rng = np.random.default_rng(seed)
    x, y = _grid()
    top, low = rng.uniform(60, 255, 3), rng.uniform(150, 255, 3)
    image = top + (low - top) * y[..., None]
    cx, cy = rng.uniform(0.2, 0.8), rng.uniform(0.15, 0.35)
    _paint(image, (x - cx) ** 2 + (y - cy) ** 2 < 0.008, (255, 240, 190))
    base = rng.uniform(60, 190, 3)
    for k in range(4):
        ridge = (
            0.42
            + 0.14 * k
            + 0.06 * np.sin(x * rng.uniform(4, 11) + rng.uniform(0, 6))
            + 0.02 * np.sin(x * 31 + k)
        )
        _paint(image, y > ridge, base * (1 - 0.2 * k))
    return _bytes(image)


def blocks(seed: int) -> Image:
    """Coloured rectangles between dark lines."""
    rng = np.random.default_rng(seed)
    image = np.full((SIZE, SIZE, 3), 238.0)
    xs = [0, *sorted(rng.choice(np.arange(18, 116, 8), 3, replace=False)), SIZE]
    ys = [0, *sorted(rng.choice(np.arange(18, 116, 8), 3, replace=False)), SIZE]
    palette = [(205, 40, 35), (30, 70, 160), (240, 200, 40), (238, 238, 230), (238, 238, 230), (40, 120, 90)]
    for x0, x1 in pairwise(xs):
        for y0, y1 in pairwise(ys):
            image[y0:y1, x0:x1] = palette[rng.integers(len(palette))]
            image[y0 : y0 + 3, x0:x1] = 20
            image[y0:y1, x0 : x0 + 3] = 20
    return _bytes(image)


def circles(seed: int) -> Image:
    """Overlapping rings on a plain ground."""
    rng = np.random.default_rng(seed)
    x, y = _grid()
    image = np.ones((SIZE, SIZE, 3)) * rng.uniform(170, 245, 3)
    for _ in range(7):
        distance = np.hypot(x - rng.uniform(0.1, 0.9), y - rng.uniform(0.1, 0.9))
        radius = rng.uniform(0.08, 0.3)
        inner = radius * rng.choice([0.0, 0.6])
        _paint(image, (distance < radius) & (distance > inner), rng.uniform(20, 230, 3))
    return _bytes(image)


def bouquet(seed: int) -> Image:
    """A still life: a vase of round flowers on a table."""
    rng = np.random.default_rng(seed)
    x, y = _grid()
    image = np.ones((SIZE, SIZE, 3)) * rng.uniform(40, 110, 3)
    _paint(image, y > 0.75, rng.uniform(80, 150, 3))
    _paint(
        image,
        (np.abs(x - 0.5) < 0.1 + 0.05 * np.sin(y * 12)) & (y > 0.55) & (y < 0.88),
        rng.uniform(120, 230, 3),
    )
    for _ in range(26):
        cx, cy, r = rng.normal(0.5, 0.15), rng.normal(0.36, 0.1), rng.uniform(0.03, 0.07)
        leaf = rng.random() < 0.35
        colour = (40, rng.uniform(80, 130), 40) if leaf else (rng.uniform(180, 250), *rng.uniform(60, 200, 2))
        _paint(image, (x - cx) ** 2 + (y - cy) ** 2 < r * r, colour)
        if not leaf:
            _paint(image, (x - cx) ** 2 + (y - cy) ** 2 < r * r / 9, (240, 220, 90))
    return _bytes(image)


def portrait(seed: int) -> Image:
    """Head and shoulders before a dark ground."""
    rng = np.random.default_rng(seed)
    x, y = _grid()
    image = np.ones((SIZE, SIZE, 3)) * rng.uniform(30, 90, 3) * (1.3 - 0.6 * y[..., None])
    skin, hair, coat = (
        np.array((224, 180, 150)) * rng.uniform(0.55, 1.05),
        rng.uniform(20, 110, 3),
        rng.uniform(30, 160, 3),
    )
    _paint(image, ((x - 0.5) / 0.36) ** 2 + ((y - 1.02) / 0.36) ** 2 < 1, coat)
    _paint(image, ((x - 0.5) / 0.19) ** 2 + ((y - 0.36) / 0.24) ** 2 < 1, hair)
    _paint(image, (np.abs(x - 0.5) < 0.06) & (y > 0.5) & (y < 0.72), skin * 0.85)
    _paint(image, ((x - 0.5) / 0.145) ** 2 + ((y - 0.42) / 0.19) ** 2 < 1, skin)
    for side in (-1, 1):
        _paint(image, (x - 0.5 - side * 0.055) ** 2 + (y - 0.4) ** 2 < 0.0002, (30, 25, 25))
    _paint(image, (np.abs(x - 0.5) < 0.05) & (np.abs(y - 0.52) < 0.008), (150, 60, 60))
    return _bytes(image)


def waves(seed: int) -> Image:
    """Bands of colour that bend together."""
    rng = np.random.default_rng(seed)
    x, y = _grid()
    bands = y * 7 + 1.1 * np.sin(x * 5 + rng.uniform(0, 6)) + 0.4 * np.sin(x * 13 + rng.uniform(0, 6))
    palette = rng.uniform(30, 245, (9, 3))
    return _bytes(palette[np.clip(bands.astype(int) + 1, 0, 8)])


def medallion_rug(seed: int, hue: tuple[int, int, int]) -> Image:
    """Borders and a medallion, mirrored both ways."""
    rng = np.random.default_rng(seed)
    x, y = _grid()
    u, v = np.abs(x - 0.5) * 2, np.abs(y - 0.5) * 2
    ground = np.array(hue, float)
    accents = [np.array((225, 205, 165.0)), ground * 0.5, np.array((180, 60, 50.0)) * rng.uniform(0.6, 1.2)]
    image = np.ones((SIZE, SIZE, 3)) * ground
    pattern = np.sin(u * 21 + np.cos(v * 17) * 2) * np.sin(v * 23 + np.cos(u * 13) * 2)
    _paint(image, pattern > 0.55, accents[0])
    _paint(image, pattern < -0.6, accents[2])
    _paint(image, u + v < 0.62, accents[1])
    _paint(image, u + v < 0.5, accents[2])
    _paint(image, (u + v < 0.42) & (pattern > 0.1), accents[0])
    edge = np.maximum(u, v)
    _paint(image, edge > 0.78, accents[1])
    _paint(image, (edge > 0.82) & (np.sin(x * 75) * np.sin(y * 75) > 0), accents[0])
    _paint(image, edge > 0.95, accents[2])
    return _bytes(image)


def striped_rug(colours: list[tuple[int, int, int]], count: int) -> Image:
    """Stripes across, with a woven grain."""
    x, y = _grid()
    stripe = (y * count).astype(int) % len(colours)
    image = np.array(colours, float)[stripe]
    return _bytes(image * (0.94 + 0.06 * np.sin(x * SIZE * 1.6))[..., None])


def checked_rug(
    first: tuple[int, int, int], second: tuple[int, int, int], count: int, diamonds: bool
) -> Image:
    """A chequerboard, or a lattice of diamonds."""
    x, y = _grid()
    if diamonds:
        a, b = (x + y) * count, (x - y) * count
        line = (np.abs(a % 1 - 0.5) > 0.42) | (np.abs(b % 1 - 0.5) > 0.42)
        return _bytes(np.where(line[..., None], np.array(second, float), np.array(first, float)))
    odd = ((x * count).astype(int) + (y * count).astype(int)) % 2
    return _bytes(np.where(odd[..., None] > 0, np.array(second, float), np.array(first, float)))


def clock_face(ground: tuple[int, int, int], ink: tuple[int, int, int], minutes: int) -> Image:
    """Hour marks and two hands that tell `minutes` past twelve."""
    x, y = _grid()
    u, v = (x - 0.5) * 2, (0.5 - y) * 2
    radius, angle = np.hypot(u, v), np.arctan2(u, v)
    image = np.ones((SIZE, SIZE, 3)) * np.array(ground, float)
    for hour in range(12):
        turn = np.abs((angle - hour * np.pi / 6 + np.pi) % (2 * np.pi) - np.pi)
        _paint(
            image,
            (turn * radius < (0.05 if hour % 3 == 0 else 0.03)) & (radius > 0.72) & (radius < 0.92),
            ink,
        )
    for turn, reach, width in ((minutes / 720, 0.48, 0.05), (minutes % 60 / 60, 0.7, 0.035)):
        along = u * np.sin(2 * np.pi * turn) + v * np.cos(2 * np.pi * turn)
        across = np.abs(u * np.cos(2 * np.pi * turn) - v * np.sin(2 * np.pi * turn))
        _paint(image, (along > -0.08) & (along < reach) & (across < width), ink)
    return _bytes(image)


def screen(seed: int) -> Image:
    """A desktop: gradient, windows with lines of text."""
    rng = np.random.default_rng(seed)
    x, y = _grid()
    image = rng.uniform(20, 120, 3) * (1 - x[..., None]) + rng.uniform(90, 220, 3) * y[..., None]
    for _ in range(2):
        x0, y0 = rng.integers(6, 50), rng.integers(8, 40)
        image[y0 : y0 + 62, x0 : x0 + 66] = 240
        image[y0 : y0 + 8, x0 : x0 + 66] = (70, 80, 100)
        for row in range(y0 + 14, y0 + 58, 7):
            image[row : row + 3, x0 + 5 : x0 + int(rng.integers(25, 62))] = 110
    return _bytes(image)


def television_picture(seed: int) -> Image:
    """A dimmed landscape, as a programme on a dark screen."""
    return _bytes(landscape(seed).astype(float) * 0.6 + 8)


def keyboard(ground: int) -> Image:
    """Rows of keys."""
    x, y = _grid()
    gap = ((x * 13 + 0.3 * (y * 5).astype(int)) % 1 < 0.14) | (y * 5 % 1 < 0.16)
    return _bytes(np.where(gap[..., None], ground, 28) * np.ones((SIZE, SIZE, 3)))


def beach_ball() -> Image:
    """Six panels in four colours."""
    x, y = _grid()
    palette = np.array(
        [(225, 50, 45), (245, 245, 240), (40, 95, 190), (245, 245, 240), (245, 200, 40), (245, 245, 240)],
        float,
    )
    image = palette[(x * 6).astype(int) % 6]
    _paint(image, (y < 0.06) | (y > 0.94), (245, 245, 240))
    return _bytes(image)


def branches(seed: int) -> Image:
    """Ink branches with blossoms on paper."""
    rng = np.random.default_rng(seed)
    x, y = _grid()
    image = np.ones((SIZE, SIZE, 3)) * np.array((235, 226, 205.0))
    for _ in range(5):
        x0, slope = rng.uniform(0, 1), rng.uniform(-0.5, 0.5)
        _paint(
            image, np.abs(x - x0 - slope * (1 - y) - 0.05 * np.sin(y * 9)) < 0.008 + 0.012 * y, (70, 55, 45)
        )
        for _ in range(5):
            cy = rng.uniform(0.05, 0.9)
            cx = x0 + slope * (1 - cy) + rng.normal(0, 0.05)
            _paint(image, (x - cx) ** 2 + (y - cy) ** 2 < 0.0012, (205, 95, 110))
    return _bytes(image)
