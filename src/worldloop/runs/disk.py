"""Files that are either the old or the new content, never a part of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from worldloop.core import RunFolderError


def replace_file(
    path: Path, write: Callable[[Path], None], *, temporary_in: Path | None = None, durable: bool = True
) -> None:
    """Let `write` fill a temporary file, then rename it to `path` in one step.

    A killed process leaves the old or the new content. With `durable`, so does a power cut, at the price of
    waiting for the disk.

    Raises RunFolderError when the disk refuses (full, read-only, no permission).
    """
    name = f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp"
    temporary = (temporary_in or path.parent) / name
    try:
        write(temporary)
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunFolderError(
            f"could not write {path}: {error.strerror or error}; free space or fix the permissions, "
            "then run the same command again"
        ) from error


def replace_text(path: Path, text: str, *, durable: bool = True) -> None:
    """`replace_file` with text: UTF-8, and line ends as they are."""
    replace_file(path, lambda draft: _write_text(draft, text), durable=durable)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")


def remove_temporaries(folder: Path) -> None:
    """Delete what a killed process left half written directly inside `folder`."""
    for stale in folder.glob(".*.tmp"):
        stale.unlink(missing_ok=True)


def read_bytes(path: Path) -> bytes:
    """The content of a file; RunFolderError when it is missing or cannot be read."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunFolderError(
            f"could not read {path}: {reason}; restore the file, or run again into a new folder"
        ) from error


def now() -> str:
    """The present UTC time, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
