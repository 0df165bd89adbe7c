"""SIGKILL at random moments: the same call goes on, nothing is lost, doubled or changed."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import numpy as np
import pytest

from worldloop.engine import RunSettings, run
from worldloop.runs import read_run, table_digest

from fakes import FakeModel, FakeTask, fake_agent

SETTINGS = RunSettings("fake", "fake", concurrency=4, keep_frames=2)


def _play(folder, delay: float) -> None:
    run(FakeTask(count=16, delay=delay), FakeModel(), fake_agent(), SETTINGS, folder)


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="needs fork and SIGKILL")
def test_killed_twenty_times_and_resumed(tmp_path):
    _play(tmp_path / "whole", delay=0.0)
    rng = np.random.default_rng(3)
    kills = 0
    folder = tmp_path / "killed"
    while kills < 20:
        child = os.fork()
        if child == 0:
            try:
                _play(folder, delay=0.02)
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0.0, 0.12))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
        journal = folder / "journal.jsonl"
        if journal.exists() and kills % 5 == 0:  # a torn last line, as a crash of the machine leaves it
            with journal.open("ab") as file:
                file.write(b'{"episode": {"episode_id": "fake-0')
        if folder.exists() and (folder / "run.json").exists():
            json.loads((folder / "run.json").read_text())
    _play(folder, delay=0.0)
    killed = read_run(folder)
    assert killed.header.status == "complete"
    ids = [e.episode.episode_id for e in killed.records()]
    assert ids == list(killed.header.episode_ids)
    assert table_digest(folder) == table_digest(tmp_path / "whole")
    assert len(killed.header.resumed) >= 1
    stored = sorted(p.name for p in (folder / "frames").rglob("*.png"))
    assert stored == sorted(p.name for p in (tmp_path / "whole" / "frames").rglob("*.png"))
