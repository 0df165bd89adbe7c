"""Furniture drawn in code where the libraries lack a free model: our own work, under the package's licence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from furniture_source import Model, Part

Colour = tuple[float, float, float]
Profile = Sequence[tuple[float, float]]
CREATOR = "worldloop authors"
DARK: Colour = (0.13, 0.13, 0.14)
METAL: Colour = (0.7, 0.71, 0.73)
WHITE: Colour = (0.93, 0.93, 0.92)
CREAM: Colour = (0.93, 0.88, 0.76)
OAK: Colour = (0.72, 0.53, 0.33)
WALNUT: Colour = (0.33, 0.2, 0.13)
_FACES = {
    "-x": (0, 3, 7, 4),
    "+x": (2, 1, 5, 6),
    "-y": (1, 0, 4, 5),
    "+y": (3, 2, 6, 7),
    "-z": (0, 1, 2, 3),
    "+z": (7, 6, 5, 4),
}


def box(
    low: Sequence[float],
    high: Sequence[float],
    colour: Colour,
    texture: np.ndarray | None = None,
    sides: str = "",
) -> Part:
    """A box; `sides` ("-y +z") limits it to some faces. Each face shows the whole texture."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    corners = np.array(
        [
            (x0, y0, z0),
            (x1, y0, z0),
            (x1, y1, z0),
            (x0, y1, z0),
            (x0, y0, z1),
            (x1, y0, z1),
            (x1, y1, z1),
            (x0, y1, z1),
        ],
        np.float32,
    )
    chosen = [_FACES[s] for s in sides.split()] if sides else list(_FACES.values())
    vertices = np.concatenate([corners[list(f)] for f in chosen])
    uvs = np.tile(np.array([(1, 1), (0, 1), (0, 0), (1, 0)], np.float32), (len(chosen), 1))
    faces = np.concatenate([np.array([(0, 2, 1), (0, 3, 2)], np.int32) + 4 * i for i in range(len(chosen))])
    return Part(vertices, faces, uvs, colour, texture)


def lathe(
    profile: Profile,
    colour: Colour,
    centre: Sequence[float] = (0, 0, 0),
    axis: str = "z",
    stretch: float = 1.0,
    segments: int = 20,
    texture: np.ndarray | None = None,
) -> Part:
    """A profile of (radius, height) turned about an axis; `stretch` scales the second direction."""
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    rings = [
        np.stack([r * np.cos(angle), r * stretch * np.sin(angle), np.full(segments + 1, z)], 1)
        for r, z in profile
    ]
    vertices = np.concatenate(rings)
    if axis == "y":
        vertices = np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], 1)
    v = np.linspace(1, 0, len(profile))
    uvs = np.concatenate([np.stack([angle / (2 * np.pi), np.full(segments + 1, h)], 1) for h in v])
    faces = []
    for ring in range(len(profile) - 1):
        for i in range(segments):
            a = ring * (segments + 1) + i
            b = a + segments + 1
            faces += [(a, a + 1, b + 1), (a, b + 1, b)]
    return Part(
        (vertices + centre).astype(np.float32),
        np.array(faces, np.int32),
        uvs.astype(np.float32),
        colour,
        texture,
    )


def disc(
    radius: float, height: float, colour: Colour, texture: np.ndarray | None = None, axis: str = "z"
) -> Part:
    """A flat disc that shows the whole texture, facing up (axis z) or to the front (axis y)."""
    angle = np.linspace(0, 2 * np.pi, 29)[:-1]
    x, y = np.cos(angle), np.sin(angle)
    flat = np.stack([radius * x, radius * y, np.full(28, height)], 1)
    if axis == "y":
        flat = np.stack([flat[:, 0], -flat[:, 2], flat[:, 1]], 1)
    uvs = np.stack([0.5 + x / 2, 0.5 - y / 2], 1).astype(np.float32)
    faces = np.array([(0, i, i + 1) for i in range(1, 27)], np.int32)
    return Part(flat.astype(np.float32), faces, uvs, colour, texture)


def moved(part: Part, by: Sequence[float], yaw: float = 0.0) -> Part:
    """The part turned about z by `yaw` radians, then moved."""
    c, s = np.cos(yaw), np.sin(yaw)
    vertices = part.vertices @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + np.array(by)
    return Part(vertices.astype(np.float32), part.faces, part.uvs, part.colour, part.texture)


def drawers(
    name: str, size: Sequence[float], rows: int, columns: int, body: Colour, front: Colour, knob: Colour
) -> Model:
    """A chest with a grid of drawers on four feet: nightstand or dresser."""
    w, d, h = size
    foot = 0.12 if h < 0.65 else 0.08
    parts = [box((-w / 2, -d / 2 + 0.02, foot), (w / 2, d / 2, h), body)]
    parts.append(box((-w / 2 - 0.01, -d / 2, h - 0.025), (w / 2 + 0.01, d / 2, h), body))
    for x in (-w / 2, w / 2 - 0.04):
        for y in (-d / 2 + 0.02, d / 2 - 0.04):
            parts.append(box((x, y, 0), (x + 0.04, y + 0.04, foot), body))
    high, wide = (h - 0.04 - foot) / rows, w / columns
    for row in range(rows):
        for column in range(columns):
            x, z = -w / 2 + column * wide, foot + row * high
            parts.append(
                box(
                    (x + 0.015, -d / 2, z + 0.012), (x + wide - 0.015, -d / 2 + 0.02, z + high - 0.012), front
                )
            )
            centre = (x + wide / 2, -d / 2, z + high / 2)
            parts.append(lathe([(0, 0.03), (0.018, 0.022), (0.01, 0)], knob, centre, "y", segments=8))
    return Model(name, parts, CREATOR)


def bookcase(name: str, size: Sequence[float], rows: int, wood: Colour, seed: int) -> Model:
    """Open shelves filled with books of differing height, width and colour."""
    rng = np.random.default_rng(seed)
    w, d, h = size
    t = 0.03
    parts = [
        box((-w / 2, -d / 2, 0), (-w / 2 + t, d / 2, h), wood),
        box((w / 2 - t, -d / 2, 0), (w / 2, d / 2, h), wood),
    ]
    parts.append(box((-w / 2, d / 2 - 0.01, 0), (w / 2, d / 2, h), tuple(0.85 * c for c in wood)))
    gap = (h - t) / rows
    for row in range(rows + 1):
        z = min(row * gap, h - t)
        parts.append(box((-w / 2 + t, -d / 2, z), (w / 2 - t, d / 2, z + t), wood))
        x = -w / 2 + t
        while row < rows:
            x += rng.uniform(0.0, 0.01) if rng.random() < 0.9 else rng.uniform(0.05, 0.16)
            thick, tall = rng.uniform(0.025, 0.06), (gap - t) * rng.uniform(0.62, 0.92)
            if x + thick > w / 2 - t:
                break
            colour = _hsv(rng.random(), rng.uniform(0.35, 0.8), rng.uniform(0.3, 0.8))
            front = -d / 2 + rng.uniform(0.01, 0.05)
            parts.append(
                box((x, front, z + t), (x + thick, d / 2 - 0.03, z + t + tall), colour, sides="-x +x -y +z")
            )
            x += thick
    return Model(name, parts, CREATOR)


def books(name: str, seed: int) -> Model:
    """A pile of lying books, some turned a little."""
    rng = np.random.default_rng(seed)
    parts: list[Part] = []
    z = 0.0
    for i in range(int(rng.integers(4, 6))):
        w, d, t = rng.uniform(0.17, 0.22), rng.uniform(0.24, 0.29), rng.uniform(0.03, 0.05)
        cover = _hsv((seed * 0.21 + i * 0.29) % 1, rng.uniform(0.5, 0.85), rng.uniform(0.4, 0.8))
        pages = box((-w / 2 + 0.006, -d / 2 + 0.006, 0.005), (w / 2 - 0.002, d / 2 - 0.006, t - 0.005), CREAM)
        leaves = [box((-w / 2, -d / 2, 0), (w / 2, d / 2, 0.005), cover)]
        leaves.append(box((-w / 2, -d / 2, t - 0.005), (w / 2, d / 2, t), cover))
        leaves.append(box((-w / 2, -d / 2, 0.005), (-w / 2 + 0.006, d / 2, t - 0.005), cover))
        yaw = rng.uniform(-0.25, 0.25) + np.pi / 2
        parts += [moved(p, (0, 0, z), yaw) for p in (pages, *leaves)]
        z += t
    return Model(name, parts, CREATOR)


def framed(
    name: str, size: tuple[float, float], image: np.ndarray, frame: Colour, border: float = 0.035
) -> Model:
    """A picture in a frame, hanging: the back lies on y = 0 and the middle at the origin."""
    w, h = size[0] / 2, size[1] / 2
    b = border
    mat = box((-w + b, -0.012, -h + b), (w - b, 0, h - b), WHITE)
    canvas = box((-w + 2 * b, -0.014, -h + 2 * b), (w - 2 * b, -0.012, h - 2 * b), (1, 1, 1), image, "-y")
    bars = [((-w, -0.03, -h), (-w + b, 0, h)), ((w - b, -0.03, -h), (w, 0, h))]
    bars += [((-w + b, -0.03, -h), (w - b, 0, -h + b)), ((-w + b, -0.03, h - b), (w - b, 0, h))]
    return Model(name, [mat, canvas, *[box(low, high, frame) for low, high in bars]], CREATOR)


def wall_clock(name: str, radius: float, rim: Colour, face: np.ndarray, square: bool = False) -> Model:
    """A wall clock: rim and painted face."""
    r = radius
    if square:
        parts = [
            box((-r, -0.04, -r), (r, 0, r), rim),
            box((-r * 0.9, -0.042, -r * 0.9), (r * 0.9, -0.04, r * 0.9), (1, 1, 1), face, "-y"),
        ]
    else:
        parts = [lathe([(r, 0), (r, 0.045), (r * 0.88, 0.045), (r * 0.88, 0.03)], rim, axis="y", segments=28)]
        parts.append(disc(r * 0.9, 0.032, (1, 1, 1), face, "y"))
    return Model(name, parts, CREATOR)


def rug(name: str, size: tuple[float, float], image: np.ndarray) -> Model:
    """A flat rug."""
    w, d = size
    parts = [box((-w / 2, -d / 2, 0), (w / 2, d / 2, 0.012), (1, 1, 1), image, "+z")]
    parts.append(
        box((-w / 2, -d / 2, 0), (w / 2, d / 2, 0.012), tuple(image.mean((0, 1)) / 255), sides="-x +x -y +y")
    )
    return Model(name, parts, CREATOR)


def laptop(name: str, body: Colour, screen: np.ndarray, keys: np.ndarray) -> Model:
    """An open laptop, its screen leaning back."""
    parts = [box((-0.17, -0.12, 0), (0.17, 0.12, 0.018), body)]
    parts.append(box((-0.155, -0.03, 0.018), (0.155, 0.1, 0.019), (1, 1, 1), keys, "+z"))
    parts.append(box((-0.05, -0.11, 0.018), (0.05, -0.045, 0.019), tuple(0.8 * c for c in body), sides="+z"))
    lid = [
        box((-0.17, 0, 0), (0.17, 0.012, 0.23), body),
        box((-0.16, -0.001, 0.012), (0.16, 0, 0.22), (1, 1, 1), screen, "-y"),
    ]
    for part in lid:
        lean = part.vertices[:, 2] * 0.3
        part.vertices = part.vertices + np.stack([0 * lean, lean + 0.11, 0 * lean + 0.016], 1).astype(
            np.float32
        )
    return Model(name, parts + lid, CREATOR)


def television(name: str, width: float, screen: np.ndarray) -> Model:
    """A flat television on a foot."""
    w, h = width / 2, width * 0.58
    parts = [
        box((-w, -0.03, 0.06), (w, 0.03, 0.06 + h), DARK),
        box((-0.04, -0.02, 0.01), (0.04, 0.02, 0.06), DARK),
    ]
    parts.append(box((-w * 0.4, -0.12, 0), (w * 0.4, 0.12, 0.012), DARK))
    parts.append(box((-w + 0.025, -0.032, 0.09), (w - 0.025, -0.03, 0.04 + h), (1, 1, 1), screen, "-y"))
    return Model(name, parts, CREATOR)


def low_cabinet(name: str, size: Sequence[float], body: Colour, door: Colour) -> Model:
    """A low cabinet for a television: two doors beside an open bay with a shelf."""
    w, d, h = size
    parts = [
        box((-w / 2, -d / 2, 0.07), (-w / 6, d / 2, h), body),
        box((w / 6, -d / 2, 0.07), (w / 2, d / 2, h), body),
    ]
    parts += [
        box((-w / 2, -d / 2, h - 0.03), (w / 2, d / 2, h), body),
        box((-w / 2, -d / 2, 0.07), (w / 2, d / 2, 0.1), body),
    ]
    parts += [box((-w / 6, -d / 2 + 0.03, h / 2), (w / 6, d / 2, h / 2 + 0.02), body)]
    parts += [box((-w / 6, d / 2 - 0.02, 0.1), (w / 6, d / 2, h - 0.03), tuple(0.6 * c for c in body))]
    for x in (-w / 2 + 0.02, w / 6 + 0.02):
        parts.append(box((x, -d / 2 - 0.015, 0.12), (x + w / 3 - 0.04, -d / 2, h - 0.05), door))
        parts.append(
            box(
                (x + w / 6 - 0.08, -d / 2 - 0.03, h - 0.12),
                (x + w / 6 + 0.04, -d / 2 - 0.015, h - 0.105),
                METAL,
            )
        )
    for x in (-w / 2 + 0.05, w / 2 - 0.09):
        parts.append(box((x, -d / 2 + 0.04, 0), (x + 0.04, d / 2 - 0.04, 0.07), DARK))
    return Model(name, parts, CREATOR)


def stove(name: str, body: Colour) -> Model:
    """A cooker: oven door with a window, knobs, four hot plates, a splash rail."""
    parts = [
        box((-0.3, -0.29, 0.05), (0.3, 0.3, 0.87), body),
        box((-0.28, -0.26, 0), (0.28, 0.28, 0.05), DARK),
    ]
    parts.append(box((-0.3, -0.3, 0.87), (0.3, 0.3, 0.885), DARK))
    parts.append(box((-0.27, -0.315, 0.22), (0.27, -0.29, 0.68), body))
    parts.append(box((-0.2, -0.318, 0.3), (0.2, -0.315, 0.56), DARK))
    parts.append(box((-0.24, -0.36, 0.62), (0.24, -0.34, 0.64), METAL))
    parts += [box((x, -0.345, 0.62), (x + 0.02, -0.315, 0.64), METAL) for x in (-0.22, 0.2)]
    parts.append(box((-0.27, -0.305, 0.07), (0.27, -0.29, 0.2), tuple(0.92 * c for c in body)))
    parts.append(box((-0.3, 0.27, 0.885), (0.3, 0.3, 0.97), body))
    for x in (-0.22, -0.11, 0.11, 0.22):
        parts.append(lathe([(0, 0.035), (0.024, 0.03), (0.026, 0)], DARK, (x, -0.29, 0.77), "y", segments=10))
    for x, y, r in ((-0.15, -0.14, 0.09), (0.15, -0.14, 0.07), (-0.15, 0.12, 0.07), (0.15, 0.12, 0.09)):
        parts.append(
            lathe(
                [(r, 0), (r, 0.015), (r * 0.6, 0.018), (r * 0.55, 0.012), (0, 0.012)],
                (0.3, 0.3, 0.32),
                (x, y, 0.885),
            )
        )
    return Model(name, parts, CREATOR)


def washing_machine(name: str, body: Colour) -> Model:
    """A front loader with a round door, a drawer and a dial."""
    parts = [
        box((-0.3, -0.28, 0.03), (0.3, 0.3, 0.85), body),
        box((-0.28, -0.25, 0), (0.28, 0.28, 0.03), DARK),
    ]
    front = (0, -0.28, 0.42)
    parts.append(
        lathe([(0.22, 0), (0.22, 0.03), (0.17, 0.04), (0.16, 0.025)], METAL, front, "y", segments=28)
    )
    parts.append(
        lathe([(0.165, 0.025), (0.12, 0.045), (0, 0.055)], (0.2, 0.24, 0.3), front, "y", segments=28)
    )
    parts.append(box((-0.28, -0.287, 0.72), (-0.08, -0.28, 0.83), tuple(0.88 * c for c in body)))
    parts.append(box((0.08, -0.285, 0.75), (0.2, -0.28, 0.8), DARK))
    parts.append(lathe([(0, 0.03), (0.035, 0.028), (0.04, 0)], METAL, (0, -0.28, 0.775), "y", segments=14))
    return Model(name, parts, CREATOR)


def bathtub(name: str, outside: Colour) -> Model:
    """A free-standing oval tub on a plinth, with a tap."""
    out = [(0.55, 0.0), (0.62, 0.05), (0.72, 0.35), (0.8, 0.58), (0.83, 0.6)]
    inside = [(0.83, 0.6), (0.78, 0.6), (0.72, 0.45), (0.6, 0.2), (0.45, 0.14), (0.0, 0.13)]
    parts = [lathe(out, outside, stretch=0.46, segments=36), lathe(inside, WHITE, stretch=0.46, segments=36)]
    for part in parts:
        lift = 0.06 * (np.abs(part.vertices[:, 0]) / 0.83) ** 2 * (part.vertices[:, 2] > 0.4)
        part.vertices[:, 2] += lift.astype(np.float32)
    parts.append(lathe([(0.02, 0.55), (0.02, 0.85), (0, 0.86)], METAL, (0, 0.37, 0), segments=10))
    parts.append(box((-0.012, 0.2, 0.8), (0.012, 0.38, 0.825), METAL))
    return Model(name, parts, CREATOR)


def floor_lamp(name: str, pole: Colour, shade: Colour, tripod: bool) -> Model:
    """A lamp that stands on the floor, under a fabric shade."""
    parts = [
        lathe([(0.2, 1.22), (0.15, 1.55)], shade, segments=22),
        lathe([(0.19, 1.22), (0.14, 1.55)], (1, 0.97, 0.85), segments=22),
    ]
    if tripod:
        for k in range(3):
            angle = 2 * np.pi * k / 3 + 0.5
            leg = lathe([(0.014, 0), (0.014, 1.3)], pole, segments=8)
            lean = 0.24 * (1 - leg.vertices[:, 2] / 1.3)
            leg.vertices[:, 0] += (lean * np.cos(angle)).astype(np.float32)
            leg.vertices[:, 1] += (lean * np.sin(angle)).astype(np.float32)
            parts.append(leg)
    else:
        parts.append(lathe([(0.15, 0), (0.15, 0.02), (0.02, 0.035), (0.014, 0.06), (0.014, 1.4)], pole))
    return Model(name, parts, CREATOR)


def pendant(name: str, shade: Colour) -> Model:
    """A globe on a cord; the origin is the ceiling."""
    globe = [(0.15 * float(np.sin(t)), -0.45 - 0.15 * float(np.cos(t))) for t in np.linspace(0, np.pi, 9)]
    parts = [lathe(globe, shade, segments=18), lathe([(0.005, -0.31), (0.005, 0)], DARK, segments=6)]
    parts.append(lathe([(0.06, -0.03), (0.06, 0)], METAL, segments=14))
    return Model(name, parts, CREATOR)


def vase(name: str, profile: Profile, colour: Colour) -> Model:
    """A turned vase."""
    return Model(name, [lathe(profile, colour, segments=24)], CREATOR)


def ball(name: str, radius: float, image: np.ndarray) -> Model:
    """A ball with painted panels."""
    arc = np.linspace(0, np.pi, 13)
    profile = [(radius * float(np.sin(t)), radius - radius * float(np.cos(t))) for t in arc]
    return Model(name, [lathe(profile, (1, 1, 1), segments=24, texture=image)], CREATOR)


def divider(name: str, frame: Colour, fill: Colour | np.ndarray, panels: int = 3) -> Model:
    """A folding screen, its panels at an angle to one another."""
    w, h, b, fold = 0.48, 1.65, 0.035, np.radians(24)
    step = w * np.cos(fold)
    texture = fill if isinstance(fill, np.ndarray) else None
    colour: Colour = (1, 1, 1) if texture is not None else fill  # type: ignore[assignment]
    parts: list[Part] = []
    for k in range(panels):
        pieces = [box((-w / 2 + b, -0.006, 0.1), (w / 2 - b, 0.006, h - b), colour, texture, "-y +y")]
        pieces += [box((x, -0.015, 0), (x + b, 0.015, h), frame) for x in (-w / 2, w / 2 - b)]
        pieces += [
            box((-w / 2 + b, -0.015, z), (w / 2 - b, 0.015, z + b), frame) for z in (0.08, 0.86, h - b)
        ]
        centre = ((k - (panels - 1) / 2) * step, 0, 0)
        parts += [moved(p, centre, fold if k % 2 else -fold) for p in pieces]
    return Model(name, parts, CREATOR)


def _hsv(h: float, s: float, v: float) -> Colour:
    import colorsys

    return colorsys.hsv_to_rgb(h, s, v)


Shape = Callable[[], Model]
