"""Writing: create, kill, resume, retry, refuse."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from worldloop.core import InputError, RunFolderError
from worldloop.runs import EpisodeRecord, RunWriter, find_runs, frame_hash, read_run, table_digest
from worldloop.runs.tables import is_timing

from synthetic_run import IDS, entry, header, write_run


def test_round_trip(run: Path) -> None:
    back = read_run(run)
    assert back.header.status == "complete" and back.complete and back.coverage == 1.0
    for index, got in enumerate(back.records()):
        episode, decisions, candidates = entry(index, clock=got.episode.seconds["total"])
        assert got.episode == episode
        assert [replace(d, seconds={}) for d in got.decisions] == [
            replace(d, seconds={}) for d in reversed(decisions)
        ]
        assert {(c.decision, c.candidate, c.score) for c in got.candidates} == {
            (c.decision, c.candidate, c.score) for c in candidates
        }
    assert "metric.spl" in back.episodes.column_names
    assert back.episodes["metric.spl"].null_count == 3


def test_the_journal_of_an_unfinished_run_gives_the_same_records(tmp_path: Path) -> None:
    write_run(tmp_path, [3, 1], finish=False)
    back = read_run(tmp_path)
    assert back.header.status == "running" and not back.complete
    assert back.episodes["episode_id"].to_pylist() == [IDS[1], IDS[3]]
    assert back.coverage == pytest.approx(2 / 6)


@pytest.mark.parametrize("cut", [0, 1, 7, -1])
def test_a_killed_and_resumed_run_has_the_same_tables(run: Path, tmp_path: Path, cut: int) -> None:
    other = write_run(tmp_path / "other", [5, 0, 2], finish=False)
    journal = other / "journal.jsonl"
    torn = json.dumps(json.loads(journal.read_bytes().splitlines()[0]))[: cut or None].encode()
    journal.write_bytes(journal.read_bytes() + torn)
    assert len(read_run(other).records()) == 3
    write_run(other, [1, 4, 3, 2])
    assert table_digest(other) == table_digest(run)
    assert len(read_run(other).header.resumed) == 1
    for name in ("episodes", "decisions", "candidates"):
        a, b = (pq.read_table(f / f"{name}.parquet") for f in (run, other))
        kept = [c for c in a.column_names if not is_timing(c)]
        assert a.select(kept).equals(b.select(kept))


def test_equal_results_and_clocks_give_byte_identical_tables(tmp_path: Path) -> None:
    for name, order in (("a", range(6)), ("b", (5, 3, 1, 0, 2, 4))):
        with RunWriter.open(tmp_path / name, header()) as writer:
            for index in order:
                writer.write_episode(*entry(index))
            writer.finish()
    for table in ("episodes", "decisions", "candidates"):
        file = f"{table}.parquet"
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize(
    "garbage", [b"\x00" * 50, b"\x00" * 50 + b"\n", b"{}\n", b'{"episode"', b"\xff\n", b"\n"]
)
def test_a_garbage_tail_is_cut_off(tmp_path: Path, garbage: bytes) -> None:
    write_run(tmp_path, [0, 1], finish=False)
    journal = tmp_path / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + garbage)
    with RunWriter.open(tmp_path, header()) as writer:
        assert writer.done == set(IDS[:2])
    assert journal.read_bytes() == whole


def test_damage_in_the_middle_is_an_error(tmp_path: Path) -> None:
    write_run(tmp_path, [0, 1], finish=False)
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(b"rubbish\n" + journal.read_bytes())
    with pytest.raises(RunFolderError, match=r"line 1 is damaged.*restore"):
        RunWriter.open(tmp_path, header())
    with pytest.raises(RunFolderError, match="line 1"):
        read_run(tmp_path)


def test_kill_minus_nine_loses_at_most_the_episode_in_flight(tmp_path: Path) -> None:
    code = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from synthetic_run import entry, header
        from worldloop.runs import RunWriter
        writer = RunWriter.open(Path({str(tmp_path)!r}), header())
        for index in range(3):
            writer.write_episode(*entry(index))
        print("ready", flush=True)
        sys.stdin.read()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    assert child.stdout and child.stdout.readline().strip() == b"ready"
    with pytest.raises(RunFolderError, match=f"being written by process {child.pid}"):
        RunWriter.open(tmp_path, header())
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    with RunWriter.open(tmp_path, header()) as writer:
        assert writer.done == set(IDS[:3])


def test_two_writers_are_refused_within_one_process(tmp_path: Path) -> None:
    with RunWriter.open(tmp_path, header()), pytest.raises(RunFolderError, match="being written by"):
        RunWriter.open(tmp_path, header())
    RunWriter.open(tmp_path, header()).close()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"spec": {"task": "image_goal", "model": "oracle"}}, 'spec.model is "none" there, "oracle" asked'),
        ({"episode_ids": IDS[:3]}, "episode list .6 episodes there, 3 asked"),
        ({"weights_hash": "w"}, "weights_hash"),
        ({"episodes_hash": "x"}, "episodes_hash"),
        ({"privileges": ("simulator",)}, "privileges"),
    ],
)
def test_another_specification_is_refused(run: Path, change: dict, text: str) -> None:
    with pytest.raises(RunFolderError, match=text):
        RunWriter.open(run, header(**change))


def test_versions_may_differ_and_are_noted(tmp_path: Path) -> None:
    write_run(tmp_path, [0], finish=False)
    with RunWriter.open(tmp_path, header(versions={"python": "3.12"})) as writer:
        assert writer.header.versions == {"python": "3.11"}
        assert writer.header.resumed[0]["versions"] == {"python": "3.12"}


def test_folders_that_are_not_runs_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunFolderError, match=r"thesis\.tex"):
        RunWriter.open(tmp_path, header())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis.tex"]
    with pytest.raises(RunFolderError, match="cannot be a run folder"):
        RunWriter.open(tmp_path / "thesis.tex", header())


def test_a_complete_run_is_recognised_and_untouched(run: Path) -> None:
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != ".lock"}
    with RunWriter.open(run, header(), retry_failed=True) as writer:
        assert writer.complete and writer.done == set(IDS)
        assert writer.finish().status == "complete"
        with pytest.raises(InputError, match="done already"):
            writer.write_episode(*entry(0))
    assert before == {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != ".lock"}


def test_failed_episodes_stay_and_are_retried_only_on_request(tmp_path: Path) -> None:
    with RunWriter.open(tmp_path, header()) as writer:
        for index in range(6):
            writer.write_episode(*entry(index, "crashed" if index == 2 else "finished"))
        assert writer.finish().status == "complete"
    assert read_run(tmp_path).episodes["status"].to_pylist()[2] == "crashed"
    with RunWriter.open(tmp_path, header(), retry_failed=True) as writer:
        assert writer.done == set(IDS) - {IDS[2]} and not writer.complete
        assert writer.header.resumed[0]["retried"] == [IDS[2]]
        assert read_run(tmp_path).episodes.num_rows == 6  # the old row stays until the new one is there
        writer.write_episode(*entry(2))
        writer.finish()
    assert read_run(tmp_path).episodes["status"].to_pylist() == ["finished"] * 6


def test_an_incomplete_run_says_so_and_can_go_on(tmp_path: Path) -> None:
    with RunWriter.open(tmp_path, header()) as writer:
        writer.write_episode(*entry(4))
        assert writer.finish().status == "incomplete"
        writer.write_episode(*entry(1))
    assert read_run(tmp_path).episodes.num_rows == 2
    assert read_run(write_run(tmp_path)).header.status == "complete"


def test_entries_must_belong_to_the_run(tmp_path: Path) -> None:
    episode, decisions, candidates = entry(0)
    with RunWriter.open(tmp_path, header()) as writer:
        with pytest.raises(InputError, match="is not number 1"):
            writer.write_episode(replace(episode, index=1))
        with pytest.raises(InputError, match="belongs to another episode"):
            writer.write_episode(episode, [replace(decisions[0], episode_id="x")])
        with pytest.raises(InputError, match="repeats a decision"):
            writer.write_episode(episode, [decisions[0], decisions[0]])
        with pytest.raises(InputError, match="repeats a candidate"):
            writer.write_episode(episode, decisions, [candidates[0], candidates[0]])
        assert not writer.done


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"status": "lost"}, "finished, crashed"),
        ({"status": "crashed", "success": True}, "cannot be a success"),
        ({"score": float("nan")}, "leave an undefined number out"),
        ({"metrics": {"spl": float("inf")}}, "metrics is inf"),
        ({"steps": 1.5}, "steps should be int"),
        ({"steps": True}, "steps should be int"),
        ({"steps": -1}, "counts from 0"),
        ({"seed": 2**63}, "64 bits"),
        ({"success": 1}, "success should be bool"),
        ({"scene": None}, "scene should be str"),
        ({"score": 10**400}, "too large"),
    ],
)
def test_records_check_themselves(change: dict, text: str) -> None:
    with pytest.raises(InputError, match=text):
        replace(EpisodeRecord(**(entry(0)[0].to_dict() | {"success": False})), **change)


def test_numpy_values_and_odd_text_are_converted() -> None:
    made = replace(entry(0)[0], seed=np.int32(4), score=np.float32(0.5), success=np.True_, error="\ud800 x")
    assert (type(made.seed), type(made.score), type(made.success)) == (int, float, bool)
    assert made.error == "? x"


def test_frames_are_stored_once_and_lossless(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((8, 9, 3), (8, 9), (1, 1, 3))]
    with RunWriter.open(tmp_path, header()) as writer:
        with ThreadPoolExecutor(4) as pool:
            keys = list(pool.map(writer.put_frame, frames * 8))
        assert keys == [frame_hash(f) for f in frames] * 8
        files = sorted(p for p in (tmp_path / "frames").rglob("*") if p.is_file())
        assert len(files) == 3 and all(p.parent.name == p.stem[:2] for p in files)
        files[0].write_bytes(b"")  # what a power cut leaves
    with RunWriter.open(tmp_path, header()) as writer:
        for f in frames:
            writer.put_frame(f)
    for key, f in zip(keys, frames):
        np.testing.assert_array_equal(read_run(tmp_path).frame(key), f)
    assert frame_hash(np.zeros((2, 3, 3), np.uint8)) != frame_hash(np.zeros((3, 2, 3), np.uint8))


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4), np.uint8), None]
)
def test_other_arrays_are_no_frames(tmp_path: Path, bad: object) -> None:
    with RunWriter.open(tmp_path, header()) as writer, pytest.raises(InputError, match="a frame is uint8"):
        writer.put_frame(bad)


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunWriter.open(tmp_path, header()) as writer:
        writer.write_episode(*entry(0))
        before = (tmp_path / "journal.jsonl").read_bytes()
        real = os.write

        def full(handle: int, data: bytes) -> int:
            if len(data) > 10:
                return real(handle, data[: len(data) // 2])
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("worldloop.runs.lines.os.write", full)
            with pytest.raises(RunFolderError, match="No space left on device; free space"):
                writer.write_episode(*entry(1))
        assert (tmp_path / "journal.jsonl").read_bytes() == before
        writer.write_episode(*entry(1))
    assert len(read_run(tmp_path).records()) == 2


def test_find_runs(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "x" / "a", [0]), write_run(tmp_path / "model=none" / "b")
    assert find_runs(tmp_path) == sorted([a, b]) == find_runs([b, tmp_path, a])
    assert "model" not in read_run(b).episodes.column_names
    (tmp_path / "empty").mkdir()
    for path, text in ((tmp_path / "empty", "no run in"), (tmp_path / "gone", "does not exist")):
        with pytest.raises(RunFolderError, match=text):
            find_runs([a, path])
