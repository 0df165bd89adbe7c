"""Floors, walls and ceilings painted with numpy: three sets that share no material, one per style.

Every texture repeats without a seam, is uint8 [128,128,3] sRGB, and depends on its name alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worldloop.core.seeds import generator

SIZE = 128
Colour = tuple[float, float, float]
Painter = Callable[[np.random.Generator], np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """A texture and the length of floor or wall that one repeat of it covers."""

    name: str
    image: np.ndarray
    """uint8 [128,128,3]."""
    metres: float


def _grid() -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(SIZE) + 0.5) / SIZE
    x, y = np.meshgrid(axis, axis)
    return x, y


def _noise(rng: np.random.Generator, across: int = 4, down: int = 4, octaves: int = 4) -> np.ndarray:
    """Periodic value noise [128,128] in 0..1, `across` by `down` cells in the coarsest octave."""
    total, weight = np.zeros((SIZE, SIZE)), 0.0
    for octave in range(octaves):
        nx, ny = min(across << octave, SIZE), min(down << octave, SIZE)
        values = rng.random((ny, nx))
        rows, columns = np.arange(SIZE) * ny / SIZE, np.arange(SIZE) * nx / SIZE
        i, j = rows.astype(int), columns.astype(int)
        # Smoothstep between lattice values hides the lattice.
        fi, fj = (f * f * (3 - 2 * f) for f in (rows - i, columns - j))
        top = values[i][:, j] * (1 - fj) + values[i][:, (j + 1) % nx] * fj
        low = values[(i + 1) % ny][:, j] * (1 - fj) + values[(i + 1) % ny][:, (j + 1) % nx] * fj
        total += (top * (1 - fi[:, None]) + low * fi[:, None]) / 2**octave
        weight += 1 / 2**octave
    return total / weight


def _finish(colour: np.ndarray, shade: np.ndarray | float = 1.0) -> np.ndarray:
    image = colour * (shade[..., None] if isinstance(shade, np.ndarray) else shade)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def _flat(colour: Colour) -> np.ndarray:
    return np.ones((SIZE, SIZE, 3)) * np.array(colour)


def planks(colour: Colour, rows: int = 8, contrast: float = 0.16) -> Painter:
    """Boards laid end to end, each with its own tone and grain."""

    def paint(rng: np.random.Generator) -> np.ndarray:
        x, y = _grid()
        row = (y * rows).astype(int)
        ends = rng.random(rows)
        board = row * 2 + ((x + ends[row]) % 1 > 0.5)
        tone = 1 + contrast * (rng.random(2 * rows)[board] - 0.5) * 2
        grain = 0.86 + 0.28 * _noise(rng, 3, 32, 2)
        gap = (y * rows % 1 < 0.07) | ((x + ends[row]) % 0.5 < 0.008)
        return _finish(_flat(colour), tone * grain * np.where(gap, 0.6, 1.0))

    return paint


def herringbone(colour: Colour, contrast: float = 0.2) -> Painter:
    """Short blocks at right angles to one another."""

    def paint(rng: np.random.Generator) -> np.ndarray:
        block = SIZE // 8
        i, j = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
        # Columns shift with the row so that blocks two units long interlock.
        u, v = (i + j // block * block) // block % 4, j // block
        lying = u < 2
        along = np.where(lying, (i + j // block * block) % (2 * block), j % (2 * block))
        across = np.where(lying, j % block, (i + j // block * block) % block)
        tone = 1 + contrast * (rng.random((4, 8))[u, v % 8] - 0.5)
        grain = np.where(lying, 0.88 + 0.24 * _noise(rng, 4, 32, 2), 0.8 + 0.24 * _noise(rng, 32, 4, 2))
        edge = (across < 1) | (along < 1)
        return _finish(_flat(colour), tone * grain * np.where(edge, 0.6, 1.0))

    return paint


def tiles(
    colour: Colour,
    other: Colour | None = None,
    count: tuple[int, int] = (4, 4),
    bond: bool = False,
    grout: float = 0.68,
) -> Painter:
    """Tiles with grout: plain or chequered, in columns or in running bond. `count` is across, down."""

    def paint(rng: np.random.Generator) -> np.ndarray:
        x, y = _grid()
        row = (y * count[1]).astype(int)
        across = (x * count[0] + (row % 2) * 0.5 * bond) % count[0]
        column = across.astype(int)
        tone = 1 + 0.07 * (rng.random((count[1], count[0]))[row, column] - 0.5) * 2
        image = np.where(((row + column) % 2)[..., None] > 0, np.array(other or colour), np.array(colour))
        joint = (y * count[1] % 1 < 0.018 * count[1]) | (across % 1 < 0.018 * count[0])
        shade = tone * (0.94 + 0.12 * _noise(rng, 8, 8, 3))
        return _finish(np.where(joint[..., None], np.mean(colour) * grout, image * shade[..., None]))

    return paint


def bricks(colour: Colour, mortar: Colour, spread: float = 0.3) -> Painter:
    """A brick wall in running bond."""

    def paint(rng: np.random.Generator) -> np.ndarray:
        x, y = _grid()
        row = (y * 10).astype(int)
        across = (x * 4 + row % 2 * 0.5) % 4
        tone = 1 + spread * (rng.random((10, 4))[row, across.astype(int)] - 0.5)
        joint = (y * 10 % 1 < 0.16) | (across % 1 < 0.06)
        image = np.where(joint[..., None], np.array(mortar), np.array(colour) * tone[..., None])
        return _finish(image, 0.82 + 0.34 * _noise(rng, 16, 16, 3))

    return paint


def plaster(colour: Colour, roughness: float = 0.1) -> Painter:
    """Paint or plaster with faint clouds."""

    def paint(rng: np.random.Generator) -> np.ndarray:
        return _finish(_flat(colour), 1 - roughness / 2 + roughness * _noise(rng, 3, 3, 5))

    return paint


def carpet(colour: Colour) -> Painter:
    """Short pile: speckle from thread to thread."""

    def paint(rng: np.random.Generator) -> np.ndarray:
        return _finish(_flat(colour), 0.85 + 0.2 * rng.random((SIZE, SIZE)) + 0.08 * _noise(rng))

    return paint


def terrazzo(colour: Colour) -> Painter:
    """Chips of stone in a plain ground."""

    def paint(rng: np.random.Generator) -> np.ndarray:
        image, field = _flat(colour), _noise(rng, 16, 16, 2)
        for low, chip in ((0.7, 0.55), (0.3, 1.12)):
            image = np.where(((field > low) if low > 0.5 else (field < low))[..., None], image * chip, image)
        return _finish(image)

    return paint


def stripes(first: Colour, second: Colour, count: int = 8) -> Painter:
    """Wallpaper with upright stripes."""

    def paint(rng: np.random.Generator) -> np.ndarray:
        x, _ = _grid()
        wide = x * count % 1 < 0.5
        line = np.abs(x * count % 1 - 0.75) < 0.05
        image = np.where(wide[..., None], np.array(first), np.array(second))
        return _finish(
            np.where(line[..., None], np.array(first), image), 0.96 + 0.06 * _noise(rng, 16, 16, 2)
        )

    return paint


def damask(ground: Colour, ornament: Colour, count: int = 4) -> Painter:
    """Wallpaper with an interlocking ornament."""

    def paint(rng: np.random.Generator) -> np.ndarray:
        x, y = _grid()
        turn = 2 * np.pi * count
        wave = np.cos(turn * x) + np.cos(turn * y) + 0.8 * np.cos(turn * (x + y)) * np.cos(turn * (x - y))
        ring = np.abs(wave - 0.9) < 0.35
        bud = (wave < -1.15) | (wave > 2.2)
        image = np.where((ring | bud)[..., None], np.array(ornament), np.array(ground))
        return _finish(image, 0.96 + 0.06 * _noise(rng, 16, 16, 2))

    return paint


_Set = dict[str, list[tuple[str, float, Painter]]]
_SETS: dict[str, _Set] = {
    "A": {
        "floor": [
            ("oak planks", 1.5, planks((176, 132, 84))),
            ("pine planks", 1.8, planks((190, 148, 96), 6, 0.12)),
            ("parquet", 1.2, herringbone((168, 116, 70))),
            ("wool carpet", 1.0, carpet((196, 176, 146))),
        ],
        "wet_floor": [
            ("terracotta tiles", 1.2, tiles((184, 108, 74))),
            ("sand tiles", 1.4, tiles((205, 186, 152))),
        ],
        "wall": [
            ("cream plaster", 2.2, plaster((218, 204, 174))),
            ("ochre plaster", 2.2, plaster((206, 168, 106), 0.14)),
            ("sage plaster", 2.2, plaster((172, 182, 142), 0.12)),
            ("peach plaster", 2.2, plaster((214, 172, 144), 0.12)),
        ],
        "wet_wall": [
            ("cream wall tiles", 0.9, tiles((216, 204, 178), count=(6, 6))),
            ("honey wall tiles", 0.9, tiles((206, 178, 130), (216, 200, 168), count=(6, 6))),
        ],
        "ceiling": [("warm white", 2.5, plaster((222, 216, 202), 0.05))],
        "trim": [("oak trim", 1.0, planks((150, 106, 64), 4))],
    },
    "B": {
        "floor": [
            ("concrete", 2.5, plaster((158, 160, 162), 0.22)),
            ("ash planks", 1.8, planks((180, 174, 164), 5, 0.08)),
            ("grey carpet", 1.0, carpet((122, 130, 140))),
            ("terrazzo", 1.3, terrazzo((176, 176, 174))),
        ],
        "wet_floor": [
            ("slate tiles", 1.6, tiles((92, 98, 106), count=(3, 3), grout=1.3)),
            ("pale tiles", 1.6, tiles((188, 192, 196), count=(3, 3))),
        ],
        "wall": [
            ("white paint", 3.0, plaster((206, 210, 214), 0.04)),
            ("grey paint", 3.0, plaster((150, 158, 166), 0.04)),
            ("blue paint", 3.0, plaster((122, 154, 184), 0.04)),
            ("mint paint", 3.0, plaster((150, 188, 178), 0.04)),
            ("raw concrete", 2.4, tiles((178, 178, 176), count=(1, 2), grout=0.8)),
        ],
        "wet_wall": [
            ("white metro tiles", 0.9, tiles((210, 214, 218), count=(4, 8), bond=True, grout=0.7)),
            ("teal wall tiles", 0.9, tiles((96, 150, 160), count=(4, 8), bond=True, grout=1.5)),
        ],
        "ceiling": [("cool white", 2.5, plaster((214, 218, 222), 0.03))],
        "trim": [("white trim", 2.0, plaster((226, 230, 232), 0.03))],
    },
    "C": {
        "floor": [
            ("walnut planks", 1.5, planks((98, 62, 40), 8, 0.2)),
            ("mahogany herringbone", 1.2, herringbone((122, 62, 42))),
            ("wine carpet", 1.0, carpet((112, 42, 48))),
            ("moss carpet", 1.0, carpet((72, 84, 58))),
        ],
        "wet_floor": [
            ("chequered tiles", 1.4, tiles((40, 40, 44), (228, 224, 214))),
            ("rust chequered tiles", 1.4, tiles((132, 66, 44), (206, 178, 136))),
        ],
        "wall": [
            ("striped wallpaper", 1.6, stripes((150, 62, 58), (222, 200, 168))),
            ("green striped wallpaper", 1.6, stripes((70, 102, 82), (206, 204, 170))),
            ("damask wallpaper", 1.6, damask((92, 102, 128), (186, 180, 160))),
            ("gold damask wallpaper", 1.8, damask((190, 160, 100), (140, 96, 56))),
            ("red brick", 1.2, bricks((158, 80, 60), (190, 182, 168))),
        ],
        "wet_wall": [
            ("green wall tiles", 0.9, tiles((78, 122, 94), count=(8, 4), grout=1.4)),
            ("brown wall tiles", 0.9, tiles((136, 98, 70), (160, 124, 92), count=(6, 6))),
        ],
        "ceiling": [("ivory", 2.5, plaster((216, 204, 182), 0.06))],
        "trim": [("walnut trim", 1.0, planks((78, 50, 34), 4))],
    },
}


def material_names(style: str, use: str) -> list[str]:
    """Names of a style's materials for `floor`, `wet_floor`, `wall`, `wet_wall`, `ceiling` or `trim`."""
    return [name for name, _, _ in _SETS[style][use]]


@functools.cache
def material(name: str) -> Material:
    """A material by name, painted when first asked for; KeyError for an unknown name."""
    for uses in _SETS.values():
        for materials in uses.values():
            for known, metres, painter in materials:
                if known == name:
                    return Material(name, painter(generator("house material", name)), metres)
    raise KeyError(name)


@functools.lru_cache(maxsize=1)
def sky() -> np.ndarray:
    """uint8 [128,128,3]: what a window shows, bright sky above a pale horizon."""
    _, y = _grid()
    image = np.array((198, 224, 255.0)) * (1 - y[..., None]) + np.array((255, 255, 250.0)) * y[..., None]
    return _finish(image, 0.97 + 0.03 * _noise(generator("house sky"), 3, 3, 4))
