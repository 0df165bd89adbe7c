"""Pictures as H.264 in mp4 files, and pictures out of mp4 files that others made. Lossy on purpose: small on a network."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np

from worldloop.core import MissingExtraError, WorldloopError

QUALITY = 18
"""Constant rate factor of x264, 0 to 51; smaller is closer to the picture."""
CODECS = ("h264", "hevc", "av1", "vp9", "mpeg4")
"""What is decoded; containers can name decoders that hardly anybody tests."""
LARGEST_FRAME = 2**25
"""Pixels of one picture, beyond which nothing is decoded."""
MOST_STREAMS = 64
BLOCK = 32
"""Pixels that are converted at once, at most."""
_ENCODER = {"preset": "veryfast", "crf": str(QUALITY), "bf": "0"}
_DECODER = {"max_pixels": str(LARGEST_FRAME), "err_detect": "explode"}


class VideoError(WorldloopError):
    """Bytes that are no usable video."""


def load_av() -> ModuleType:
    """PyAV; MissingExtraError when it is not installed."""
    try:
        import av
    except ImportError:
        raise MissingExtraError("pictures as mp4", "video") from None
    return av


def available() -> bool:
    """Whether pictures can be written and read here."""
    try:
        load_av()
    except MissingExtraError:
        return False
    return True


_ONE_AT_A_TIME = threading.Lock()
"""Held while encoding: with several encoders at work, about one file in three thousand came out with other bytes."""


def encode(frames: Sequence[np.ndarray], fps: int = 8) -> bytes:
    """An mp4 file of pictures uint8 [H,W,3] of one size. The same pictures give the same bytes, one file at a time.

    Sides that are odd grow by a copy of the last row or column, which `decode` takes off again.
    """
    av, out = load_av(), io.BytesIO()
    height, width = frames[0].shape[:2]
    with _ONE_AT_A_TIME, av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width, stream.pix_fmt = height + height % 2, width + width % 2, "yuv420p"
        stream.options = _ENCODER
        stream.codec_context.thread_count = 1  # more would make the bytes depend on the machine
        stream.codec_context.time_base = Fraction(1, fps)
        for i, picture in enumerate(frames):
            frame = _planes(av, picture, stream.height, stream.width)
            frame.pts, frame.time_base = i, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def _planes(av: ModuleType, picture: np.ndarray, height: int, width: int) -> Any:
    """A picture uint8 [H,W,3] as a yuv420p frame of an even size, what it lacks being copied from its border.

    The conversion works on blocks of pixels, and takes in whatever is in memory beside a row that is no whole number of them. So it is
    given whole blocks, and the rest is cut off.
    """
    rows, columns = (-(-n // BLOCK) * BLOCK for n in (height, width))
    below, beside = rows - picture.shape[0], columns - picture.shape[1]
    whole = np.pad(picture, ((0, below), (0, beside), (0, 0)), mode="edge")
    flat = av.VideoFrame.from_ndarray(whole, format="rgb24").to_ndarray(format="yuv420p").reshape(-1)
    size = rows * columns
    planes = [flat[:size].reshape(rows, columns)[:height, :width]]
    for start in (size, size * 5 // 4):
        plane = flat[start : start + size // 4].reshape(rows // 2, columns // 2)
        planes.append(plane[: height // 2, : width // 2])
    parts = np.concatenate([p.reshape(-1) for p in planes])
    return av.VideoFrame.from_ndarray(parts.reshape(-1, width), format="yuv420p")


def decode(data: bytes | memoryview, shape: tuple[int, int, int]) -> np.ndarray:
    """The pictures uint8 [L,H,W,3] of a file that `encode` wrote. VideoError unless it holds just those."""
    length, height, width = shape
    size = (height + height % 2, width + width % 2)
    out = np.empty((length, height, width, 3), np.uint8)
    got = 0
    for frame in _frames(data, size):
        if got == length:
            raise VideoError(f"it holds more than {length} pictures")
        out[got] = frame.to_ndarray(format="rgb24")[:height, :width]
        got += 1
    if got != length:
        raise VideoError(f"it holds {got} pictures, not {length}")
    return out


def count(data: bytes, most: int) -> int:
    """How many pictures a file holds. VideoError when it holds none, more than `most`, or is damaged."""
    total = 0
    for _ in _frames(data):
        total += 1
        if total > most:
            raise VideoError(f"it holds more than {most} pictures")
    if not total:
        raise VideoError("it holds no picture")
    return total


def read(data: bytes | memoryview, most: int) -> np.ndarray:
    """All pictures of a file, uint8 [L,H,W,3]. VideoError when it holds none, more than `most`, or is damaged."""
    found: list[np.ndarray] = []
    for frame in _frames(data):
        if len(found) == most:
            raise VideoError(f"it holds more than {most} pictures")
        found.append(frame.to_ndarray(format="rgb24"))
    if not found:
        raise VideoError("it holds no picture")
    return np.stack(found)


def pick(data: bytes, numbers: Sequence[int], size: tuple[int, int]) -> list[np.ndarray]:
    """The pictures of these rising numbers (one may come again), uint8 [H,W,3], brought to a size (rows, columns)."""
    from PIL import Image

    wanted, found = set(numbers), {}
    for i, frame in enumerate(_frames(data)):
        if i in wanted:
            picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
            if (picture.height, picture.width) != size:
                picture = picture.resize(size[::-1], Image.Resampling.BICUBIC)
            found[i] = np.array(picture)
        if i >= numbers[-1]:
            break
    if missing := wanted - found.keys():
        raise VideoError(f"it has no picture {min(missing)}")
    return [found[i] for i in numbers]


def _frames(data: bytes | memoryview, size: tuple[int, int] | None = None) -> Iterator[Any]:
    """The decoded pictures in order; memory for one at a time, and none for one that is too large."""
    av = load_av()
    try:
        # The limit holds while the file is opened, too: looking into it decodes a picture of each of its streams.
        file = io.BytesIO(data)
        with av.open(file, "r", format="mp4", stream_options=[_DECODER] * MOST_STREAMS) as container:
            if len(container.streams) > MOST_STREAMS:
                raise VideoError(f"it has more than {MOST_STREAMS} streams")
            if not container.streams.video:
                raise VideoError("it holds no video")
            stream = container.streams.video[0]
            codec = stream.codec_context
            if codec is None or codec.name not in (*CODECS, "libdav1d"):
                raise VideoError(f"its codec is none of {', '.join(CODECS)}")
            first = (stream.height, stream.width)
            if (size is not None and first != size) or not 0 < first[0] * first[1] <= LARGEST_FRAME:
                raise VideoError(
                    f"its pictures are {first[0]} x {first[1]}"
                    + (f", not {size[0]} x {size[1]}" if size else "")
                )
            codec.thread_count, codec.thread_type = 1, "NONE"
            codec.options = _DECODER
            for frame in container.decode(stream):
                if frame.is_corrupt or (frame.height, frame.width) != first:
                    raise VideoError("one of its pictures is damaged, or of another size")
                yield frame
    except (av.FFmpegError, OSError, ValueError, TypeError, IndexError, MemoryError) as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise VideoError(f"it cannot be read: {said[:150]}") from None
