"""Defects of pictures: each frame spoilt by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from worldloop.core import InputError, generator
from worldloop.envs.house.world import HouseSimulator
from worldloop.metrics.cases.case import Case
from worldloop.metrics.clip import Array, Clip
from worldloop.metrics.defects.defect import defect
from worldloop.metrics.shared.grey import LUMINANCE, display, linear_light
from worldloop.metrics.shared.opencv import opencv

SIDE = 128
"""Pixels of the pictures for which lengths are given below; others have them in proportion."""
BLUR, NOISE, STOPS, TINT, SHIFT = 3.0, 40.0, 1.5, 1.0, 8.0
"""At full strength: pixels of deviation, levels of deviation, stops at the end, stops of red against blue, pixels."""
QUALITY = (60, 4)
"""Of JPEG, just above no strength and at the full."""
HOUSES = ("walk", "loop", "long", "keys")


def spoilt(case: Case, strength: float, spoil: Callable[[Array], Array]) -> Clip:
    """The truth with each run of frames changed, that of doing nothing too; the truth itself at strength 0."""
    truth = case.truth
    if not strength:
        return replace(truth, kept={})
    twin = None if truth.twin is None else spoil(truth.twin)
    return replace(truth, frames=spoil(truth.frames), twin=twin, kept={})


def ramp(count: int) -> Array:
    """How far a clip has come after each step: 1/T ... 1."""
    return np.arange(1, count + 1) / count


def blurred(frames: Array, deviations: Array) -> Array:
    """Each frame under a Gaussian of its own deviation, pixels; 0 leaves it as it is."""
    cv2 = opencv()
    return np.stack([cv2.GaussianBlur(f, (0, 0), float(d)) if d else f for f, d in zip(frames, deviations)])


def lit(frames: Array, gains: Array) -> Array:
    """Each frame with its linear light multiplied, `gains` [T] or [T,3] for red, green and blue."""
    gains = np.broadcast_to(gains.reshape(len(frames), -1), (len(frames), 3))
    out, light = np.empty_like(frames), linear_light()
    for frame, gain, row in zip(frames, gains, out):
        for channel in range(3):
            row[..., channel] = display(light * gain[channel])[frame[..., channel]]
    return out


def _pixels(frames: Array, length: float) -> float:
    return length * frames.shape[2] / SIDE


@defect("blur")
def blur(case: Case, strength: float) -> Clip:
    """Every frame is blurred."""
    return spoilt(case, strength, lambda f: blurred(f, np.full(len(f), _pixels(f, BLUR * strength))))


@defect("noise")
def noise(case: Case, strength: float) -> Clip:
    """Every frame has noise of its own."""

    def spoil(frames: Array) -> Array:
        # The same pattern at every strength, so that more strength is more of the same.
        pattern = generator("defect", "noise", case.spec.id).standard_normal(frames.shape, np.float32)
        return np.clip(np.rint(frames + NOISE * strength * pattern), 0, 255).astype(np.uint8)

    return spoilt(case, strength, spoil)


@defect("mirror")
def mirror(case: Case, strength: float) -> Clip:
    """Left and right change places, from a step on that comes earlier with strength."""

    def spoil(frames: Array) -> Array:
        start = len(frames) - round(strength * len(frames))
        return np.concatenate([frames[:start], frames[start:, :, ::-1]])

    return spoilt(case, strength, spoil)


@defect("colour-drift")
def colour_drift(case: Case, strength: float) -> Clip:
    """Colours turn warmer and warmer, at the same luminance."""

    def spoil(frames: Array) -> Array:
        stops = 0.5 * TINT * strength * ramp(len(frames))
        tint = np.stack([2**stops, np.ones(len(frames)), 2**-stops], axis=1)
        # What is neutral keeps its luminance.
        return lit(frames, tint / (tint @ LUMINANCE)[:, None])

    return spoilt(case, strength, spoil)


@defect("exposure-drift")
def exposure_drift(case: Case, strength: float) -> Clip:
    """Frames turn darker and darker."""
    return spoilt(case, strength, lambda f: lit(f, 2 ** (-STOPS * strength * ramp(len(f)))))


@defect("jpeg")
def jpeg(case: Case, strength: float) -> Clip:
    """Every frame was compressed as JPEG."""
    cv2 = opencv()
    quality = round(QUALITY[0] + strength * (QUALITY[1] - QUALITY[0]))

    def one(frame: Array) -> Array:
        _, data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        back: Array = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
        return back

    return spoilt(case, strength, lambda frames: np.stack([one(f) for f in frames]))


@defect("shift")
def shift(case: Case, strength: float) -> Clip:
    """Every frame is a few pixels to the right of where it belongs."""

    def spoil(frames: Array) -> Array:
        by = round(_pixels(frames, SHIFT * strength))
        return np.concatenate(
            [np.repeat(frames[:, :, :1], by, axis=2), frames[:, :, : frames.shape[2] - by]], 2
        )

    return spoilt(case, strength, spoil)


@defect("vanish", kinds=HOUSES)
def vanish(case: Case, strength: float) -> Clip:
    """The thing that is seen most fades into its surroundings.

    InputError when no thing but the house itself is in view.
    """
    cv2, truth, simulator = opencv(), case.truth, case.query.simulator
    if truth.segmentation is None or not isinstance(simulator, HouseSimulator):
        raise InputError(
            "a thing vanishes where the truth knows which pixels are its own, as in cases of houses"
        )
    if not strength:
        return replace(truth, kept={})
    seen = truth.segmentation[1:]
    numbers, counts = np.unique(seen, return_counts=True)
    things = simulator.loaded.things
    loose = np.array([int(n) in things and not things[int(n)].structure for n in numbers], bool)
    if not loose.any():
        raise InputError(f"nothing but the house itself is in view in {case.spec.id}; choose another case")
    chosen = numbers[loose][counts[loose].argmax()]
    frames = truth.frames.copy()
    for frame, mask in zip(frames, seen == chosen):
        if mask.any() and not mask.all():
            # A pixel more all around, for edges that are a mixture of both sides.
            wide = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8))
            without = cv2.inpaint(np.ascontiguousarray(frame), wide, 3, cv2.INPAINT_TELEA)
            mixed = (1 - strength) * frame + strength * without.astype(np.float64)
            frame[:] = np.where(wide[..., None] > 0, np.rint(mixed), frame).astype(np.uint8)
    return replace(truth, frames=frames, kept={})
