"""Bytes of the protocol: msgpack, with arrays as `{"dtype", "shape", "data"}` and nothing that could run code."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from worldloop.core import MissingExtraError, WorldloopError
from worldloop.models import mp4

VERSION = 1
MEDIA_TYPE = "application/msgpack"
ENCODINGS = ("raw", "png", "mp4")
"""Of pictures: as they are, smaller without loss, or much smaller with loss."""
LOSSY = ("mp4",)
LARGE = 2**16
"""Bytes, from which on a piece of a message is sent by itself."""
_ARRAY, _PNG, _MP4 = {"dtype", "shape", "data"}, {"shape", "png"}, {"shape", "mp4"}
_KINDS = "biuf"
"""Truth values, integers and floats."""
LARGEST_PICTURE = 2**26
"""Pixels that compressed pictures of one array may have together."""
LARGEST_PICTURES = 2**28
"""The same for all arrays of a message."""


class WireError(WorldloopError):
    """Bytes that are no message of this protocol."""


@dataclass(frozen=True)
class Stack:
    """Arrays of one shape and type that stand in a message as one array, without being copied together first."""

    arrays: Sequence[np.ndarray]


def pack(message: Any, *, encoding: str = "raw") -> bytes:
    """A message as bytes; arrays, and a `Stack` of them, may stand anywhere in it.

    encoding: `png` compresses pictures (uint8 [...,H,W,3]) without loss, which is smaller and slower; `mp4` compresses
    those that follow one another (uint8 [L,H,W,3]) with loss. TypeError for what has no place in a message.
    """
    return b"".join(pack_pieces(message, encoding=encoding))  # the only copy that is made of an array


def pack_pieces(message: Any, *, encoding: str = "raw") -> list[bytes | memoryview]:
    """The same bytes in pieces, for whoever sends them one after the other: arrays are not copied at all."""
    pieces: list[bytes | memoryview] = []
    _walk(message, pieces, _msgpack().Packer(), encoding)
    out: list[bytes | memoryview] = []
    for large, run in groupby(pieces, lambda p: len(p) >= LARGE):
        if large:
            out += run
        else:
            out.append(b"".join(run))
    return out


def _walk(value: Any, pieces: list[bytes | memoryview], packer: Any, encoding: str) -> None:
    if isinstance(value, dict):
        pieces.append(packer.pack_map_header(len(value)))
        for key, inner in value.items():
            pieces.append(packer.pack(key))
            _walk(inner, pieces, packer, encoding)
    elif isinstance(value, list | tuple):
        pieces.append(packer.pack_array_header(len(value)))
        for inner in value:
            _walk(inner, pieces, packer, encoding)
    elif isinstance(value, np.ndarray):
        _walk_array([value], value.shape, pieces, packer, encoding)
    elif isinstance(value, Stack):
        _walk_array(value.arrays, (len(value.arrays), *value.arrays[0].shape), pieces, packer, encoding)
    else:
        pieces.append(packer.pack(value.item() if isinstance(value, np.generic) else value))


def _walk_array(
    arrays: Sequence[np.ndarray],
    shape: tuple[int, ...],
    pieces: list[bytes | memoryview],
    packer: Any,
    encoding: str,
) -> None:
    dtype, size = arrays[0].dtype.newbyteorder("<"), sum(a.nbytes for a in arrays)
    if dtype.kind not in _KINDS:
        raise TypeError(f"arrays of {dtype} have no place in a message")
    pictures = dtype == np.uint8 and len(shape) >= 3 and shape[-1] == 3 and size > 0
    if encoding == "mp4" and pictures and len(shape) == 4:
        frames = [image for array in arrays for image in array.reshape(-1, *shape[1:])]
        _walk({"shape": list(shape), "mp4": mp4.encode(frames)}, pieces, packer, encoding)
        return
    if encoding == "png" and pictures:
        files = [_png(image) for array in arrays for image in array.reshape(-1, *shape[-3:])]
        _walk({"shape": list(shape), "png": files}, pieces, packer, encoding)
        return
    if size >= 2**32:
        raise TypeError("an array in a message has less than 4 GiB")
    pieces.append(packer.pack_map_header(3))
    for part in ("dtype", dtype.str, "shape", list(shape), "data"):
        pieces.append(packer.pack(part))
    pieces.append(b"\xc6" + size.to_bytes(4, "big"))  # msgpack's bin 32
    for array in arrays:
        if array.size:
            pieces.append(np.ascontiguousarray(array.reshape(-1), dtype).view(np.uint8).data)


def unpack(data: bytes | bytearray | memoryview) -> Any:
    """The message; its arrays are read-only. WireError for anything else."""
    msgpack = _msgpack()
    try:
        return msgpack.unpackb(data, object_hook=_Reader().decoded, strict_map_key=True)
    except WireError:
        raise
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise WireError(f"no message: {type(error).__name__}: {str(error)[:200]}") from None


def _png(image: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


class _Reader:
    """Makes arrays of one message's maps; what compressed pictures of the whole message unpack to is bounded."""

    def __init__(self) -> None:
        self._room = LARGEST_PICTURES

    def decoded(self, item: dict[str, Any]) -> Any:
        if item.keys() == _ARRAY:
            return _read_array(item["dtype"], item["shape"], item["data"])
        if item.keys() not in (_PNG, _MP4):
            return item
        sizes = _sizes(item["shape"])
        pixels = math.prod(sizes) // 3
        if len(sizes) < 3 or sizes[-1] != 3 or 0 in sizes:
            raise WireError("pictures have a shape [...,H,W,3]")
        self._room -= pixels
        if pixels > LARGEST_PICTURE or self._room < 0:
            raise WireError(f"pictures of {list(sizes)} are too large, or too many for one message")
        return _read_video(sizes, item["mp4"]) if "mp4" in item else _read_pictures(sizes, item["png"])


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


def _read_pictures(sizes: tuple[int, ...], files: Any) -> np.ndarray:
    from PIL import Image

    if not isinstance(files, list) or len(files) != math.prod(sizes[:-3]):
        raise WireError(f"pictures of {list(sizes)} come as a list of as many PNG files")
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
        except (OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError) as error:
            raise WireError(f"a picture cannot be read: {str(error)[:200]}") from None
    return np.stack(images).reshape(sizes)


def _read_video(sizes: tuple[int, ...], file: Any) -> np.ndarray:
    if len(sizes) != 4 or not isinstance(file, bytes):
        raise WireError("a video has a shape [L,H,W,3] and an mp4 file")
    try:
        return mp4.decode(file, (sizes[0], sizes[1], sizes[2]))
    except mp4.VideoError as error:
        raise WireError(f"a video of {list(sizes)} cannot be used: {error}") from None


def _msgpack() -> Any:
    try:
        import msgpack
    except ImportError:
        raise MissingExtraError("the protocol of remote world models", "remote") from None
    return msgpack
