"""Image arguments, crops and resizing, the same to the bit everywhere (Pillow's fixed-point resampling)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from worldloop.core import InputError

GREY = 127
"""Value of everything outside the image; the Lite networks see it as zero."""


def as_images(images: np.ndarray | Sequence[np.ndarray], min_size: int = 1) -> list[np.ndarray]:
    """Contiguous uint8 [H,W,3] arrays from a batch [B,H,W,3] or a sequence of images.

    InputError for another dtype or shape, or for a side shorter than `min_size` pixels.
    """
    if isinstance(images, np.ndarray) and images.ndim != 4:
        raise InputError(f"expected images uint8 [B,H,W,3], got {images.dtype} {list(images.shape)}")
    out = []
    for image in images:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(f"expected an image uint8 [H,W,3], got {image.dtype} {list(image.shape)}")
        if min(image.shape[:2]) < min_size:
            raise InputError(
                f"an image of {image.shape[1]}x{image.shape[0]}; each side must be >= {min_size}"
            )
        out.append(np.ascontiguousarray(image))
    return out


def resize(rgb: np.ndarray, size: int) -> np.ndarray:
    """uint8 [H,W,3] to [size,size,3]: bilinear upwards, antialiased downwards; aspect is not kept."""
    if rgb.shape[:2] == (size, size):
        return rgb
    return np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.BILINEAR))


def clip_box(box: Sequence[float] | np.ndarray, height: int, width: int) -> np.ndarray:
    """The part of a box x0, y0, x1, y1 (pixels) inside the image, float64 [4].

    A box outside the image becomes the nearest point of the border (width or height 0).
    """
    x0, y0, x1, y1 = (float(v) for v in box)
    return np.array(
        [
            np.clip(min(x0, x1), 0, width),
            np.clip(min(y0, y1), 0, height),
            np.clip(max(x0, x1), 0, width),
            np.clip(max(y0, y1), 0, height),
        ]
    )


def crop_and_resize(
    rgb: np.ndarray, box: Sequence[float] | np.ndarray, out_size: int, margin: float = 0.25
) -> np.ndarray:
    """A square crop around a box, uint8 [out_size,out_size,3]; aspect is kept.

    The crop is centred on the box x0, y0, x1, y1 (pixels of `rgb`, fractions allowed); its side is
    (1 + margin) x the longer side of the box and at least 4 pixels. The box is first cut to the image plus
    one image size all around, so that a thing behind one's nose costs no memory. Outside the image is grey.
    InputError for a box that is not finite.
    """
    if not np.isfinite(np.asarray(box, float)).all():
        raise InputError(f"a box must be finite, got {list(box)}")
    height, width = rgb.shape[:2]
    x0, y0, x1, y1 = clip_box(np.asarray(box, float) + [width, height] * 2, 3 * height, 3 * width)
    x0, x1, y0, y1 = x0 - width, x1 - width, y0 - height, y1 - height
    side = max((x1 - x0) * (1 + margin), (y1 - y0) * (1 + margin), 4.0)
    left, top = (x0 + x1 - side) / 2, (y0 + y1 - side) / 2
    pad = int(np.ceil(max(-left, -top, left + side - width, top + side - height, 0.0)))
    padded = np.pad(rgb, ((pad, pad), (pad, pad), (0, 0)), constant_values=GREY) if pad else rgb
    area = (left + pad, top + pad, left + pad + side, top + pad + side)
    # Rounding may leave the area a hair outside, which Pillow refuses.
    limit = (padded.shape[1], padded.shape[0]) * 2
    area = tuple(min(max(value, 0.0), float(most)) for value, most in zip(area, limit))
    image = Image.fromarray(padded).resize((out_size, out_size), Image.Resampling.BILINEAR, box=area)
    return np.asarray(image)
