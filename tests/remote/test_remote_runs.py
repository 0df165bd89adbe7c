"""A run with a remote model makes the tables of a local one, whatever happens to the server meanwhile."""

from __future__ import annotations

import threading
import time

import pytest

from worldloop.core import ModelCard
from worldloop.engine import RunSettings, run
from worldloop.models import retrying
from worldloop.models.remote.client import RemoteModel
from worldloop.runs import read_run, table_digest

from fakes import FakeTask, fake_agent
from served import Faulty, Shift, serving

SETTINGS = RunSettings("fake", "fake", concurrency=4, keep_frames=0)


class Served:
    """Reads nothing but the picture; another plan or seed is another future."""

    card = ModelCard("shift", "a test model", "code")

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay

    def simulate(self, queries):
        time.sleep(self.delay)
        return [Shift.rollout(self, q) for q in queries]


def play(model, folder) -> str:
    run(FakeTask(count=16), model, fake_agent(), SETTINGS, folder)
    done = read_run(folder)
    assert done.header.status == "complete"
    assert all(e.episode.status == "finished" for e in done.records())
    return table_digest(folder)


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 0.01)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    return play(Served(), tmp_path_factory.mktemp("local"))


def test_the_tables_are_the_same(tmp_path, local):
    with serving(Served()) as url:
        assert play(RemoteModel(url), tmp_path) == local


def test_with_faults_on_the_way(tmp_path, local):
    made = []

    def wrap(app):
        made.append(Faulty(app))
        return made[0]

    with serving(Served(), wrap=wrap) as url:
        assert play(RemoteModel(url), tmp_path) == local
    assert set(made[0].faults) == {"500", "cut off", "late"}


def test_with_a_server_that_dies_and_comes_back(tmp_path, local):
    with serving(Served(delay=0.01)) as url:
        port = int(url.rpartition(":")[2])
        remote, found = RemoteModel(url, retries=30), []
        playing = threading.Thread(target=lambda: found.append(play(remote, tmp_path)))
        playing.start()
        journal = tmp_path / "journal.jsonl"
        while not (journal.exists() and journal.read_text().count("\n") > 2):
            time.sleep(0.01)
    time.sleep(0.3)
    assert playing.is_alive(), "the server died before the run was over"
    with serving(Served(), port=port):
        playing.join(60)
    assert found == [local]
