"""The journal: one JSON line per episode, appended and flushed to disk as each episode ends."""

from __future__ import annotations

import json
import os
from pathlib import Path

from worldloop.core import InputError, RunFolderError
from worldloop.runs.disk import read_bytes
from worldloop.runs.schema import Entry, RunHeader

JOURNAL_NAME = "journal.jsonl"


def check_member(header: RunHeader, entry: Entry) -> None:
    """InputError unless the entry is of an episode of this run, at its place in the list."""
    episode = entry.episode
    ids = header.episode_ids
    if episode.index >= len(ids) or ids[episode.index] != episode.episode_id:
        raise InputError(
            f"episode {episode.episode_id!r} is not number {episode.index} of this run's episode list"
        )


def read_journal(path: Path, header: RunHeader) -> tuple[dict[str, Entry], int]:
    """The last entry of every episode by id, and the number of bytes that hold whole lines.

    A last line that is cut short or unreadable is left out: the process died while writing it. Damage
    anywhere else is a RunFolderError. A missing journal is an empty one.
    """
    if not path.exists():
        return {}, 0
    data = read_bytes(path)
    lines = data.split(b"\n")[:-1]  # what follows the last newline was never finished
    entries: dict[str, Entry] = {}
    size = 0
    for number, line in enumerate(lines, start=1):
        try:
            entry = Entry.from_dict(json.loads(line.decode("utf-8")))
            check_member(header, entry)
        except (ValueError, RecursionError, InputError) as error:
            if number == len(lines):
                break
            raise RunFolderError(
                f"{path}, line {number} is damaged ({error}); restore the file, or delete that line "
                "and run the same command again to repeat its episode"
            ) from None
        entries[entry.episode.episode_id] = entry
        size += len(line) + 1
    return entries, size


class Journal:
    """Appends entries; opened at `size` bytes, everything beyond is cut off."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        try:
            self._handle: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            os.ftruncate(self._handle, size)
        except OSError as error:
            raise RunFolderError(f"could not open {path}: {error.strerror}; is it writable?") from error
        self._size = size

    def append(self, entry: Entry) -> None:
        """Write one line and wait until it is on disk; on failure the journal is as before."""
        if self._handle is None:
            raise InputError(f"{self._path} is closed; open the run again to write to it")
        line = json.dumps(entry.to_dict(), separators=(",", ":")).encode() + b"\n"
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
