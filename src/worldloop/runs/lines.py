"""Files of JSON lines that survive a crash: each line is on disk when it has been written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from worldloop.core import InputError, RunFolderError
from worldloop.runs.disk import read_bytes

T = TypeVar("T")


def read_lines(path: Path, parse: Callable[[Any], T], remedy: str) -> tuple[list[T], int]:
    """What `parse` makes of each line's JSON, and the number of bytes that hold whole lines.

    A last line that is cut short or unreadable is left out: the process died while writing it. Damage
    anywhere else is a RunFolderError that ends with `remedy`. A missing file is an empty one.
    """
    if not path.exists():
        return [], 0
    lines = read_bytes(path).split(b"\n")[:-1]  # what follows the last newline was never finished
    parsed: list[T] = []
    size = 0
    for number, line in enumerate(lines, start=1):
        try:
            parsed.append(parse(json.loads(line.decode("utf-8"))))
        except (ValueError, RecursionError, InputError) as error:
            if number == len(lines):
                break
            raise RunFolderError(f"{path}, line {number} is damaged ({error}); {remedy}") from None
        size += len(line) + 1
    return parsed, size


class LineFile:
    """Appends lines; opened at `size` bytes, everything beyond is cut off."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        try:
            self._handle: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            os.ftruncate(self._handle, size)
        except OSError as error:
            raise RunFolderError(f"could not open {path}: {error.strerror}; is it writable?") from error
        self._size = size

    def append(self, data: Mapping[str, Any]) -> None:
        """Write one line and wait until it is on disk; on failure the file is as before."""
        if self._handle is None:
            raise InputError(f"{self._path} is closed; open the run again to write to it")
        line = json.dumps(data, separators=(",", ":")).encode() + b"\n"
        try:
            written = 0
            while written < len(line):  # one write, unless the disk fills up or a signal cuts in
                written += os.write(self._handle, line[written:])
            os.fsync(self._handle)
        except OSError as error:
            os.ftruncate(self._handle, self._size)
            raise RunFolderError(
                f"could not write {self._path}: {error.strerror}; free space, then run the same command again"
            ) from error
        self._size += len(line)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
