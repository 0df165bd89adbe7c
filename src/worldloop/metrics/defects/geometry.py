"""Defects of geometry: pictures that are bent, or whose content comes and goes."""

from __future__ import annotations

import numpy as np

from worldloop.core import generator
from worldloop.metrics.cases.case import Case
from worldloop.metrics.clip import Clip
from worldloop.metrics.defects.defect import defect
from worldloop.metrics.shared.opencv import opencv

BEND = 0.06
"""Share of the width by which the strongest wobble displaces pixels, root mean square."""
CELLS = 8
"""Patches across a picture that pop."""


@defect("nudge")
def nudge(case: Case, strength: float) -> Clip:
    """All frames are seen slightly to the side, those of the twin too, at most by a 128th of their width."""
    twin = case.truth.twin
    return case.clip(_aside(case.truth.frames, strength), None if twin is None else _aside(twin, strength))


def _aside(frames: np.ndarray, strength: float) -> np.ndarray:
    shift = round(strength * frames.shape[2] / 128)
    moved = np.roll(frames, shift, axis=2)
    if shift:
        moved[:, :, :shift] = moved[:, :, shift : shift + 1]
    return moved


@defect("wobble")
def wobble(case: Case, strength: float) -> Clip:
    """Every frame is bent like rubber, each in its own way."""
    if strength == 0:
        return case.clip(case.truth.frames, case.truth.twin)
    cv2 = opencv()
    height, width = case.truth.frames.shape[1:3]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    frames = np.empty_like(case.truth.frames)
    for t, frame in enumerate(case.truth.frames):
        knots = generator("wobble", case.spec.id, t).standard_normal((5, 5, 2)).astype(np.float32)
        bend = cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC) * strength * BEND * width
        frames[t] = cv2.remap(
            frame, x + bend[..., 0], y + bend[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )
    return case.clip(frames, case.truth.twin)


@defect("popping")
def popping(case: Case, strength: float) -> Clip:
    """A growing share of patches shows, at each moment anew, what belongs elsewhere in the picture."""
    frames = case.truth.frames.copy()
    height, width = frames.shape[1:3]
    rows, columns = height // CELLS, width // CELLS
    for t, frame in enumerate(case.truth.frames):
        random = generator("popping", case.spec.id, t)
        order, sources = random.permutation(CELLS**2), random.permutation(CELLS**2)
        for cell in order[: round(0.6 * strength * CELLS**2)]:
            (i, j), (k, m) = divmod(int(cell), CELLS), divmod(int(sources[cell]), CELLS)
            frames[t, i * rows : (i + 1) * rows, j * columns : (j + 1) * columns] = frame[
                k * rows : (k + 1) * rows, m * columns : (m + 1) * columns
            ]
    return case.clip(frames, case.truth.twin)
