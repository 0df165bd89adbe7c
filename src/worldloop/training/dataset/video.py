"""Pictures into video files and back. Lossless files decode to the very bytes that were written."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType, TracebackType

import numpy as np

from worldloop.core import InputError, MissingExtraError
from worldloop.training.dataset.layout import KEYFRAMES

# The fastest preset of the encoder costs a fifth more space than the next one, and its files, which do without
# arithmetic coding, decode three times as fast.
_LOSSLESS = ("libx264rgb", "rgb24", {"preset": "ultrafast", "qp": "0"})
_LOSSY = ("libx264", "yuv420p", {"preset": "veryfast", "crf": "18"})
# One thread and no scene cuts: the same pictures give the same file. No B-frames: order is time.
_COMMON = {"bf": "0", "sc_threshold": "0", "forced-idr": "1"}


def load_av() -> ModuleType:
    """PyAV; MissingExtraError when it is not installed."""
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("video in datasets", "train") from error
    return av


class VideoWriter:
    """Writes uint8 [H,W,3] pictures to one mp4 file. A context manager; the file is whole once it is closed."""

    def __init__(self, path: Path, shape: tuple[int, int], fps: int, lossless: bool) -> None:
        """shape: rows and columns; lossy video needs both even."""
        self._av = load_av()
        codec, pixels, options = _LOSSLESS if lossless else _LOSSY
        self._container = self._av.open(str(path), "w", format="mp4")
        self._stream = self._container.add_stream(codec, rate=fps)
        self._stream.height, self._stream.width = shape
        self._stream.pix_fmt = pixels
        self._stream.gop_size = KEYFRAMES
        self._stream.options = {**options, **_COMMON}
        self._stream.codec_context.thread_count = 1
        self._base = Fraction(1, fps)
        self._stream.codec_context.time_base = self._base
        self._count = 0

    def write(self, frames: np.ndarray) -> None:
        """Append one episode, uint8 [T,H,W,3]; its first picture is a key frame."""
        for i, picture in enumerate(frames):
            frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = self._count, self._base
            if i == 0:
                frame.pict_type = self._av.video.frame.PictureType.I
            self._container.mux(self._stream.encode(frame))
            self._count += 1

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()


def read_frames(
    path: Path, first: int, count: int, shape: tuple[int, int], out: np.ndarray | None = None
) -> np.ndarray:
    """Pictures `first` to `first + count` of a video file, uint8 [count,H,W,3].

    out: where to put them, if given. Decoding starts at the key frame before `first`. Raises InputError naming
    the file when it is missing, damaged, too short or of another shape.
    """
    av = load_av()
    if out is None:
        out = np.empty((count, *shape, 3), np.uint8)
    got = 0
    try:
        with av.open(str(path), "r", format="mp4") as container:
            if not container.streams.video:
                raise InputError("it holds no video")
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            stream.thread_type = "NONE"
            if (stream.height, stream.width) != shape:
                raise InputError(
                    f"its pictures are {stream.height} x {stream.width}, not {shape[0]} x {shape[1]}"
                )
            scale = stream.time_base * stream.average_rate
            if first:
                container.seek(int(first / scale), stream=stream, backward=True)
            for frame in container.decode(stream):
                number = round(frame.pts * scale)
                if number >= first:
                    if number != first + got or (frame.height, frame.width) != shape:
                        raise InputError(f"picture {first + got} is missing or misshapen")
                    _unpack(frame, out[got])
                    got += 1
                    if got == count:
                        return out
    except (av.FFmpegError, OSError, ValueError, TypeError, ZeroDivisionError, IndexError) as error:
        raise _damaged(path, error) from error
    except InputError as error:
        raise _damaged(path, error) from None
    raise _damaged(path, f"it ends at picture {first + got}, before {first + count}")


def _unpack(frame: object, out: np.ndarray) -> None:
    """One decoded frame into uint8 [H,W,3]."""
    if frame.format.name == "gbrp":  # type: ignore[attr-defined]
        # Planes of green, blue and red, copied as they are: a third faster than the general converter.
        for plane, channel in zip(frame.planes, (1, 2, 0)):  # type: ignore[attr-defined]
            rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
            out[..., channel] = rows[:, : plane.width]
    else:
        out[:] = frame.to_ndarray(format="rgb24")  # type: ignore[attr-defined]


def _damaged(path: Path, reason: object) -> InputError:
    if not path.is_file():
        return InputError(f"{path} is missing; restore it or collect the dataset again")
    short = str(reason).split("\n", 1)[0][:200]
    return InputError(f"{path} is damaged ({short}); restore it or collect the dataset again")


def keyframes(path: Path) -> Sequence[int]:
    """Numbers of the pictures from which decoding can start."""
    av = load_av()
    with av.open(str(path), "r", format="mp4") as container:
        stream = container.streams.video[0]
        scale = stream.time_base * stream.average_rate
        return [round(p.pts * scale) for p in container.demux(stream) if p.pts is not None and p.is_keyframe]
