"""One writer per run folder. The operating system drops the lock when its holder dies, so none goes stale."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from worldloop.core import RunFolderError

LOCK_NAME = ".lock"


class FolderLock:
    """An exclusive lock on a folder, held from creation to `release`.

    Raises RunFolderError, naming the holder, while another process (or another writer here) holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_NAME
        try:
            self._handle: int | None = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunFolderError(f"could not open {self._path}: {error.strerror}; is it writable?") from error
        try:
            _lock(self._handle)
        except OSError:
            holder = os.pread(self._handle, 200, 0).decode("utf-8", "replace").strip()
            os.close(self._handle)
            raise RunFolderError(
                f"{folder} is being written by {holder or 'another process'}; wait for it, stop it, "
                "or choose another folder"
            ) from None
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def release(self) -> None:
        """Let others write; safe to call twice. The file stays: removing it would race with a new holder."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _lock(handle: int) -> None:
    """Take the lock or raise OSError at once."""
    import fcntl  # POSIX only: imported here so that reading runs works on every system

    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
