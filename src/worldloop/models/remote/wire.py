"""Bytes of the protocol: msgpack, with arrays as `{"dtype", "shape", "data"}` and nothing that could run code."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np

from worldloop.core import MissingExtraError, WorldloopError

VERSION = 1
MEDIA_TYPE = "application/msgpack"
_ARRAY, _PNG = {"dtype", "shape", "data"}, {"shape", "png"}
_KINDS = "biuf"
"""Truth values, integers and floats."""
LARGEST_PICTURE = 2**26
"""Pixels that one PNG may claim to have."""


class WireError(WorldloopError):
    """Bytes that are no message of this protocol."""


def pack(message: Any, *, png: bool = False) -> bytes:
    """A message as bytes; arrays may stand anywhere in it.

    png: pictures (uint8 [...,H,W,3]) are compressed without loss, which is smaller and slower.
    """
    msgpack = _msgpack()

    def coded(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return _picture(value) if png and _is_picture(value) else _array(value)
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"{type(value).__name__} has no place in a message")

    return msgpack.packb(message, default=coded)  # type: ignore[no-any-return]


def unpack(data: bytes) -> Any:
    """The message; its arrays are read-only. WireError for anything else."""
    msgpack = _msgpack()
    try:
        return msgpack.unpackb(data, object_hook=_decoded, strict_map_key=True)
    except WireError:
        raise
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise WireError(f"no message: {type(error).__name__}: {str(error)[:200]}") from None


def _array(value: np.ndarray) -> dict[str, Any]:
    if value.dtype.kind not in _KINDS:
        raise TypeError(f"arrays of {value.dtype} have no place in a message")
    flat = np.ascontiguousarray(value.reshape(-1), value.dtype.newbyteorder("<"))
    data = flat.view(np.uint8).data if flat.size else b""
    return {"dtype": flat.dtype.str, "shape": list(value.shape), "data": data}


def _is_picture(value: np.ndarray) -> bool:
    return value.dtype == np.uint8 and value.ndim >= 3 and value.shape[-1] == 3 and value.size > 0


def _picture(value: np.ndarray) -> dict[str, Any]:
    from PIL import Image

    files = []
    for image in value.reshape(-1, *value.shape[-3:]):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG", compress_level=1)
        files.append(file.getvalue())
    return {"shape": list(value.shape), "png": files}


def _decoded(item: dict[str, Any]) -> Any:
    if item.keys() == _ARRAY:
        return _read_array(item["dtype"], item["shape"], item["data"])
    if item.keys() == _PNG:
        return _read_pictures(item["shape"], item["png"])
    return item


def _sizes(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, list) or len(shape) > 16:
        raise WireError("the shape of an array is a list of at most 16 sizes")
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape):
        raise WireError("sizes of an array are whole numbers from 0 on")
    return tuple(shape)


def _read_array(name: Any, shape: Any, data: Any) -> np.ndarray:
    sizes = _sizes(shape)
    try:
        dtype = np.dtype(name) if isinstance(name, str) and len(name) <= 4 else None
    except TypeError:
        dtype = None
    if dtype is None or dtype.kind not in _KINDS or dtype.byteorder == ">":
        raise WireError(
            f"arrays hold truth values, integers or floats, little-endian; not {str(name)[:20]!r}"
        )
    if not isinstance(data, bytes) or len(data) != math.prod(sizes) * dtype.itemsize:
        raise WireError(f"the bytes of an array do not fit its shape {list(sizes)} of {dtype}")
    return np.frombuffer(data, dtype).reshape(sizes)


def _read_pictures(shape: Any, files: Any) -> np.ndarray:
    from PIL import Image

    sizes = _sizes(shape)
    if len(sizes) < 3 or sizes[-1] != 3 or 0 in sizes or not isinstance(files, list):
        raise WireError("pictures have a shape [...,H,W,3] and a list of PNG files")
    if len(files) != math.prod(sizes[:-3]) or math.prod(sizes) // 3 > LARGEST_PICTURE:
        raise WireError(f"{len(files)} PNG files do not make pictures of {list(sizes)}")
    images = []
    for file in files:
        try:
            with Image.open(io.BytesIO(file), formats=["PNG"]) as image:
                if (image.height, image.width) != sizes[-3:-1] or image.mode != "RGB":
                    raise WireError(
                        f"a PNG of {image.height} x {image.width} {image.mode} is none of {list(sizes)}"
                    )
                images.append(np.asarray(image))
        except WireError:
            raise
        except (OSError, ValueError, TypeError, SyntaxError) as error:
            raise WireError(f"a picture cannot be read: {str(error)[:200]}") from None
    return np.stack(images).reshape(sizes)


def _msgpack() -> Any:
    try:
        import msgpack
    except ImportError:
        raise MissingExtraError("the protocol of remote world models", "remote") from None
    return msgpack
