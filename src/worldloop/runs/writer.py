"""Writing a run: create or resume, one atomic line per episode, tables at the end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from worldloop.core import InputError, RunFolderError
from worldloop.runs.disk import now, remove_temporaries, replace_text
from worldloop.runs.fields import canonical
from worldloop.runs.frames import FrameStore
from worldloop.runs.journal import JOURNAL_NAME, check_member, read_journal
from worldloop.runs.lines import LineFile
from worldloop.runs.lock import LOCK_NAME, FolderLock
from worldloop.runs.reader import FRAMES_NAME, HEADER_NAME, read_header, tables_of
from worldloop.runs.schema import CandidateRecord, DecisionRecord, Entry, EpisodeRecord, RunHeader
from worldloop.runs.tables import write_table


class RunWriter:
    """The only writer of a run folder. Use as a context manager, or call `close`.

    Leaving the context does not finish the run: call `finish` when the episodes are through.
    """

    def __init__(
        self,
        folder: Path,
        header: RunHeader,
        lock: FolderLock,
        entries: dict[str, Entry],
        done: set[str],
        size: int,
    ) -> None:
        """Use `RunWriter.open`."""
        self.folder = folder
        self.header = header
        self.done = done
        """Ids of the episodes that need not be run (again)."""
        self._entries = entries
        self._lock = lock
        self._frames = FrameStore(folder / FRAMES_NAME)
        self._journal = LineFile(folder / JOURNAL_NAME, size)
        self._mutex = threading.Lock()
        self._begun = time.monotonic()

    @classmethod
    def open(
        cls, folder: str | Path, header: RunHeader, *, retry_failed: bool = False, continued: bool = False
    ) -> RunWriter:
        """Create the run, or resume it where it stopped.

        `header.spec`, the episode list, the weights and the privileges must equal those of the run that is
        in the folder; everything else (arguments, versions) may differ and is noted in `header.resumed`.
        With `retry_failed`, episodes that did not finish leave `done`; their rows stay until they are
        written anew, and the retry is noted in the header. `continued` says that the same process had the
        run open before, which is no resumption worth noting.

        Raises RunFolderError when the folder holds another run or something else, is being written by
        another process, or is damaged.
        """
        folder = Path(folder)
        try:
            foreign = folder.exists() and _foreign_content(folder)
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"{folder} cannot be a run folder: {error.strerror or error}") from error
        if foreign:
            raise RunFolderError(
                f"{folder} holds other files ({foreign}) and no run; choose an empty or a new folder"
            )
        lock = FolderLock(folder)
        try:
            remove_temporaries(folder)
            FrameStore(folder / FRAMES_NAME).clean()
            if not (folder / HEADER_NAME).exists():
                header = replace(header, status="running", started=header.started or now(), finished="")
                _save_header(folder, header)
                return cls(folder, header, lock, {}, set(), 0)
            return cls._resume(folder, header, lock, retry_failed, continued)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _resume(
        cls, folder: Path, header: RunHeader, lock: FolderLock, retry_failed: bool, continued: bool
    ) -> RunWriter:
        old = read_header(folder)
        if old.spec_hash != header.spec_hash:
            raise RunFolderError(
                f"{folder} holds another run: {_difference(old, header)}; repeat the run's own settings to "
                "resume it, or choose another folder"
            )
        entries, size = read_journal(folder / JOURNAL_NAME, old)
        if old.status == "complete" and len(entries) < len(old.episode_ids):
            raise RunFolderError(
                f"{folder} says it is complete, but its {JOURNAL_NAME} lacks episodes; restore that file, "
                "or run again into a new folder"
            )
        failed = [i for i in old.episode_ids if i in entries and entries[i].episode.status != "finished"]
        retried = failed if retry_failed else []
        if (old.status != "complete" and not (continued and old.status == "running")) or retried:
            note: dict[str, Any] = {
                "at": now(),
                "versions": header.versions,
                "git_revision": header.git_revision,
                "arguments_given": header.arguments_given,
                "retried": retried,
            }
            # Readers trust the tables unless the status is `running`: it must change before the journal does.
            old = replace(old, status="running", finished="", resumed=(*old.resumed, note))
            _save_header(folder, old)
        return cls(folder, old, lock, entries, set(entries) - set(retried), size)

    @property
    def complete(self) -> bool:
        """True when there is nothing left to do: the run was finished with a row for every episode."""
        return self.header.status == "complete"

    def write_episode(
        self,
        episode: EpisodeRecord,
        decisions: Sequence[DecisionRecord] = (),
        candidates: Sequence[CandidateRecord] = (),
    ) -> None:
        """Append one episode to the journal; it is on disk when this returns. Safe between threads.

        Raises InputError for an episode that is not in the run's list or is done already, and
        RunFolderError when the disk refuses.
        """
        entry = Entry(episode, tuple(decisions), tuple(candidates))
        check_member(self.header, entry)
        with self._mutex:
            if episode.episode_id in self.done:
                raise InputError(f"episode {episode.episode_id!r} is done already")
            if self.header.status != "running":  # more episodes after `finish` left the run incomplete
                self.header = replace(self.header, status="running", finished="")
                _save_header(self.folder, self.header)
            self._journal.append(entry.to_dict())
            self._entries[episode.episode_id] = entry
            self.done.add(episode.episode_id)

    def put_frame(self, frame: np.ndarray) -> str:
        """Store a uint8 frame, [H,W,3] or [H,W], once by content; its hash. Safe between threads."""
        return self._frames.put(frame)

    def finish(self) -> RunHeader:
        """Write the tables, then the status: `complete` when every episode has a row, else `incomplete`.

        Nothing happens to a run that is complete already. The folder stays locked until `close`.
        """
        with self._mutex:
            if self.complete:
                return self.header
            for name, table in tables_of(self._entries.values()).items():
                write_table(table, self.folder / f"{name}.parquet")
            status = "complete" if len(self._entries) == len(self.header.episode_ids) else "incomplete"
            self.header = replace(self.header, status=status, finished=now(), seconds=self._seconds())
            _save_header(self.folder, self.header)
            return self.header

    def close(self) -> None:
        """Release the folder; safe to call twice."""
        with self._mutex:
            if self.header.status == "running":
                self.header = replace(self.header, seconds=self._seconds())
                _save_header(self.folder, self.header)
            self._journal.close()
            self._lock.release()

    def _seconds(self) -> float:
        """Seconds of all sessions so far; restarts the clock."""
        begun, self._begun = self._begun, time.monotonic()
        return self.header.seconds + self._begun - begun

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _save_header(folder: Path, header: RunHeader) -> None:
    replace_text(folder / HEADER_NAME, json.dumps(header.to_dict(), indent=2) + "\n")


def _foreign_content(folder: Path) -> str:
    """Names of a few files that make a folder unusable for a new run; empty when it can be used."""
    names = sorted(p.name for p in folder.iterdir())  # raises NotADirectoryError for a file
    if HEADER_NAME in names:
        return ""
    # A process killed while creating the run leaves only these.
    return ", ".join([n for n in names if n != LOCK_NAME and not n.endswith(".tmp")][:3])


def _difference(old: RunHeader, new: RunHeader) -> str:
    """What differs between two runs, in a few words."""
    before, after = old.identity(), new.identity()
    parts = []
    for key in sorted(before | after):
        was, now_ = before.get(key), after.get(key)
        if canonical(was) != canonical(now_):
            if key == "episode_ids":
                parts.append(
                    f"the episode list ({len(was or ())} episodes there, {len(now_ or ())} asked for)"
                )
            else:
                parts.append(f"{key} is {_short(was)} there, {_short(now_)} asked for")
    return "; ".join(parts[:6])


def _short(value: Any) -> str:
    text = canonical(value)
    return text if len(text) <= 60 else text[:57] + "..."
