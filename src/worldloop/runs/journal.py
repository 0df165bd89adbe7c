"""The journal: one JSON line per episode, appended and flushed to disk as each episode ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worldloop.core import InputError
from worldloop.runs.lines import read_lines
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

    def parse(data: Any) -> Entry:
        entry = Entry.from_dict(data)
        check_member(header, entry)
        return entry

    remedy = "restore the file, or delete that line and run the same command again to repeat its episode"
    entries, size = read_lines(path, parse, remedy)
    return {entry.episode.episode_id: entry for entry in entries}, size
