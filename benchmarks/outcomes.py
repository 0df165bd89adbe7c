"""How each episode of a finished run ended, small enough to keep beside the figures.

One JSON file for a run: its header, and the columns of its table of episodes. Any statistic on outcomes can be computed again
from these files, and a model that is run later is paired with those that were run before, on any machine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from worldloop.runs import EpisodeRecord, Run, RunHeader
from worldloop.runs.reader import tables_of
from worldloop.runs.schema import Entry

DROPPED = ("seconds", "index")
"""Times differ from run to run, and the order is the header's."""
MACHINE = ("arguments_given", "arguments_resolved", "resumed")
"""What a header says of the machine and the folders it ran in."""


def keep(run: Run, path: Path, **noted: Any) -> None:
    """Write the outcomes of a run, with further figures that need its folder."""
    records = [entry.episode.to_dict() for entry in run.records()]
    columns = {k: [r[k] for r in records] for k in records[0] if k not in DROPPED}
    dropped = (*MACHINE, "episode_ids", "scenes")
    header = {k: v for k, v in run.header.to_dict().items() if k not in dropped}
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"header": header, "noted": noted, "episodes": columns}
    path.write_text(json.dumps(content, sort_keys=True, separators=(",", ":")) + "\n")


def kept(path: Path) -> tuple[Run, dict[str, Any]]:
    """The run behind a file, without decisions, candidates and frames, and what was noted of it."""
    content = json.loads(path.read_text())
    columns = content["episodes"]
    rows = [dict(zip(columns, values)) for values in zip(*columns.values())]
    lists = {"episode_ids": columns["episode_id"], "scenes": columns["scene"], "resumed": []}
    header = RunHeader.from_dict({**{key: {} for key in MACHINE}, **content["header"], **lists})
    entries = [
        Entry(EpisodeRecord.from_dict({**row, "index": i, "seconds": {}}), (), ())
        for i, row in enumerate(rows)
    ]
    return Run(path.with_suffix(""), header, **tables_of(entries)), content["noted"]
