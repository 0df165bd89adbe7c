"""Where the verbs print: results to stdout, progress and complaints to stderr."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from worldloop.core import InputError

# Into a pipe or a log file, tables are as wide as they like to be.
out = Console(width=None if sys.stdout.isatty() else 120)
errors = Console(stderr=True)


def print_json(data: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(data, indent=1, sort_keys=True, allow_nan=False) + "\n")


def progress(quiet: bool = False) -> Progress:
    """A progress bar with counts and remaining time, on stderr."""
    return Progress(
        TextColumn("{task.description:<36}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=errors,
        disable=quiet,
    )


def names(text: str) -> list[str]:
    """Split `a,b:k=v,c`: a comma starts a new name unless what follows is a setting of the last one."""
    parts: list[str] = []
    for piece in filter(None, (p.strip() for p in text.split(","))):
        if parts and ":" in parts[-1] and "=" in piece and ":" not in piece.partition("=")[0]:
            parts[-1] += "," + piece
        else:
            parts.append(piece)
    return parts


def episode_numbers(text: str) -> int | dict[str, int]:
    """What `--episodes` says: a number for all tasks, or `TASK=N,...`. InputError for anything else."""
    try:
        if "=" not in text:
            return int(text)
        parts = [part.partition("=") for part in names(text)]
        return {task.strip(): int(count) for task, _, count in parts}
    except ValueError:
        raise InputError(
            f"--episodes takes a number, or TASK=N with commas between them, got {text!r}"
        ) from None
