"""The path of an episode seen from above, as a small SVG drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

SIDE = 180
"""Pixels of a drawing."""
Place = tuple[float, float, float]
"""x and y in metres, and heading in degrees (0 looks along +x, 90 along +y)."""


def path_bounds(places: Sequence[Place]) -> tuple[float, float, float] | None:
    """Centre x, centre y and side in metres of a square that holds all places.

    None when they all coincide (the run recorded no poses) or are too far apart to draw.
    """
    if not places:
        return None
    xs, ys = [p[0] for p in places], [p[1] for p in places]
    extent = max(max(xs) - min(xs), max(ys) - min(ys))
    if not extent > 0.0 and len({p[2] for p in places}) == 1:
        return None
    if not extent < 1e6 or max(map(abs, (*xs, *ys))) > 1e9:
        return None
    return (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2, max(extent * 1.3, 1.0)


def path_plot(places: Sequence[Place], bounds: tuple[float, float, float], name: str) -> Markup:
    """The places of an episode's decisions seen from above, +x to the right and +y up, as SVG.

    Each dot carries `data-step`, the number of its decision in order, so that a script can mark it.
    """
    cx, cy, side = bounds
    scale = SIDE / side

    def at(px: float, py: float) -> tuple[float, float]:
        return round(SIDE / 2 + (px - cx) * scale, 1), round(SIDE / 2 - (py - cy) * scale, 1)

    dots = [at(px, py) for px, py, _ in places]
    parts = [Markup('<polyline points="{}"/>').format(" ".join(f"{a},{b}" for a, b in dots))]
    for i, ((a, b), (_, _, yaw)) in enumerate(zip(dots, places)):
        angle = math.radians(yaw)
        tip = f"M{a},{b}L{a + 11 * math.cos(angle):.1f},{b - 11 * math.sin(angle):.1f}"
        shape = Markup('<circle cx="{}" cy="{}" r="{}"/>').format(a, b, 5 if i == 0 else 3.5)
        parts.append(
            Markup('<g class="place{}" data-step="{}"><path d="{}"/>{}</g>').format(
                " start" if i == 0 else "", i, tip, shape
            )
        )
    metre = _round_length(side / 4)
    parts.append(
        Markup('<path class="scale" d="M8,{0}h{1}"/><text x="8" y="{2}">{3} m</text>').format(
            SIDE - 8, round(metre * scale, 1), SIDE - 13, f"{metre:g}"
        )
    )
    return Markup('<svg class="path" viewBox="0 0 {0} {0}" role="img" aria-label="{1}">{2}</svg>').format(
        SIDE, name, Markup("").join(parts)
    )


def _round_length(length: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above `length`."""
    power = 10.0 ** math.floor(math.log10(length))
    return next(m * power for m in (5.0, 2.0, 1.0) if m * power <= length)
