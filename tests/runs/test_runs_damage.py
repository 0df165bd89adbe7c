"""Whatever happens to the files of a run, reading gives a run or a RunFolderError, never anything else."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from worldloop.core import InputError, RunFolderError
from worldloop.runs import EpisodeRecord, Run, RunHeader, RunWriter, find_runs, read_run, table_digest
from worldloop.runs.schema import Entry

from synthetic_run import IDS, header, write_run

FILES = ("run.json", "journal.jsonl", "episodes.parquet", "decisions.parquet", "candidates.parquet")
fuzz = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The files of a finished and of an unfinished run."""
    root = tmp_path_factory.mktemp("pristine")
    runs = {"finished": write_run(root / "a"), "unfinished": write_run(root / "b", [0, 3], finish=False)}
    return {k: {f: (v / f).read_bytes() for f in FILES if (v / f).exists()} for k, v in runs.items()}


def lay_out(folder: Path, files: dict[str, bytes]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def read_everything(folder: Path) -> Run | None:
    """Use every reading function; only RunFolderError may come out."""
    try:
        run = read_run(folder)
        run.records()
        table_digest(folder)
        assert find_runs(folder) == [folder]
        return run
    except RunFolderError as error:
        assert len(str(error)) > 20
        return None
    finally:
        with contextlib.suppress(RunFolderError):
            RunWriter.open(folder, header()).close()


@fuzz
@given(st.sampled_from(["finished", "unfinished"]), st.sampled_from(FILES), st.data())
def test_random_bytes_anywhere(
    tmp_path: Path, pristine: dict, which: str, name: str, data: st.DataObject
) -> None:
    files = dict(pristine[which])
    old = files.get(name, b"")
    start = data.draw(st.integers(0, len(old)))
    stop = data.draw(st.integers(start, len(old)))
    files[name] = old[:start] + data.draw(st.binary(max_size=40)) + old[stop:]
    read_everything(lay_out(tmp_path / "run", files))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@fuzz
@given(st.sampled_from(sorted(header().to_dict())), json_values)
@example("spec", {"a": "\ud800"})
@example("seconds", 10**400)
@example("episode_ids", [])
def test_any_value_in_the_header(tmp_path: Path, pristine: dict, field: str, value: object) -> None:
    files = dict(pristine["finished"])
    content = json.loads(files["run.json"]) | {field: value}
    files["run.json"] = json.dumps(content).encode()
    read_everything(lay_out(tmp_path / "run", files))


@fuzz
@given(st.sampled_from(["episode", "decisions", "candidates"]), json_values, st.data())
def test_any_value_in_the_journal(
    tmp_path: Path, pristine: dict, part: str, value: object, data: st.DataObject
) -> None:
    files = dict(pristine["unfinished"])
    lines = [json.loads(line) for line in files["journal.jsonl"].splitlines()]
    row = lines[0][part] if part == "episode" else lines[0][part][0]
    row[data.draw(st.sampled_from(sorted(row)))] = value
    files["journal.jsonl"] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    read_everything(lay_out(tmp_path / "run", files))


@pytest.mark.parametrize("name", ["episodes", "decisions", "candidates"])
def test_a_missing_or_retyped_column_is_named(run: Path, name: str) -> None:
    path = run / f"{name}.parquet"
    table = pq.read_table(path)
    for column in table.column_names:
        if column.startswith(("metric.", "seconds.")):
            continue
        position = table.column_names.index(column)
        pq.write_table(table.remove_column(position), path)
        with pytest.raises(RunFolderError, match=f"lacks the columns {column}"):
            read_run(run)
        wrong = pa.array([None] * table.num_rows, pa.binary())
        pq.write_table(table.set_column(position, column, wrong), path)
        with pytest.raises(RunFolderError, match=f"column '{column}' is binary"):
            read_run(run)
    pq.write_table(table.append_column("surprise", pa.array([1.0] * table.num_rows)), path)
    with pytest.raises(RunFolderError, match="surprise"):
        read_run(run)
    path.unlink()
    with pytest.raises(RunFolderError, match="could not read"):
        read_run(run)


def edit(path: Path, column: str, change: object) -> None:
    table = pq.read_table(path)
    position = table.column_names.index(column)
    values = change(table.column(column).to_pylist())
    pq.write_table(
        table.set_column(position, column, pa.array(values, table.schema.field(column).type)), path
    )


@pytest.mark.parametrize(
    ("table", "column", "change", "text"),
    [
        ("episodes", "status", lambda v: ["lost", *v[1:]], "EpisodeRecord.status"),
        ("episodes", "score", lambda v: [float("nan"), *v[1:]], "score is nan"),
        ("episodes", "index", lambda v: [1, *v[1:]], "is not number 1"),
        ("episodes", "scene", lambda v: [None, *v[1:]], "has empty cells"),
        ("decisions", "episode_id", lambda v: ["x", *v[1:]], "unknown episode, 'x'"),
        ("episodes", "index", lambda v: [*v[:-1], 0], "is not number 0"),
        ("decisions", "decision", lambda v: [1, *v[1:]], "decisions repeats a row"),
        ("decisions", "actions", lambda v: [[None], *v[1:]], "has empty entries"),
        ("decisions", "position", lambda v: [[1.0], *v[1:]], "needs 2 values"),
        ("candidates", "candidate", lambda v: [1, *v[1:]], "candidates repeats a row"),
    ],
)
def test_rows_that_do_not_fit(run: Path, table: str, column: str, change: object, text: str) -> None:
    edit(run / f"{table}.parquet", column, change)
    with pytest.raises(RunFolderError, match=text):
        read_run(run).records()


def test_a_complete_run_that_lost_rows_is_an_error(run: Path) -> None:
    for name in ("episodes", "decisions", "candidates"):
        table = pq.read_table(run / f"{name}.parquet")
        keep = [i != IDS[2] for i in table["episode_id"].to_pylist()]
        pq.write_table(table.filter(pa.array(keep)), run / f"{name}.parquet")
    with pytest.raises(RunFolderError, match="1 episodes have no row"):
        read_run(run)
    text = (run / "run.json").read_text().replace('"status": "complete"', '"status": "running"')
    (run / "run.json").write_text(text)
    write_run(run)
    assert read_run(run).complete


def test_a_lost_journal_of_a_complete_run_is_refused_by_the_writer_only(run: Path) -> None:
    (run / "journal.jsonl").unlink()
    assert read_run(run).complete
    with pytest.raises(RunFolderError, match="lacks episodes"):
        RunWriter.open(run, header())


def test_another_format_version_is_refused(run: Path) -> None:
    text = (run / "run.json").read_text().replace('"format_version": 1', '"format_version": 2')
    (run / "run.json").write_text(text)
    with pytest.raises(RunFolderError, match="run format 2"):
        read_run(run)


def test_not_a_run_folder(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(RunFolderError, match="is not a run folder"):
            read_run(path)


@fuzz
@given(st.data())
def test_damaged_frames(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "frames-run"
    with RunWriter.open(folder, header()) as writer:
        key = writer.put_frame(np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3))
    path = folder / "frames" / key[:2] / f"{key}.png"
    old = path.read_bytes()
    start = data.draw(st.integers(0, len(old)))
    stop = data.draw(st.integers(start, len(old)))
    path.write_bytes(old[:start] + data.draw(st.binary(max_size=20)) + old[stop:])
    try:
        assert read_run(folder).frame(key).shape == (5, 4, 3)  # damage that the pixels survive
    except RunFolderError as error:
        assert "damaged" in str(error)
    path.write_bytes(old)


@pytest.mark.parametrize("key", ["../../run", "", "0" * 31, "G" * 32, None])
def test_frame_keys_cannot_leave_the_folder(run: Path, key: object) -> None:
    with pytest.raises(InputError, match="not a frame hash"):
        read_run(run).frame(key)
    with pytest.raises(RunFolderError, match="could not read"):
        read_run(run).frame("0" * 32)


@given(json_values)
@settings(max_examples=100, deadline=None)
def test_records_from_any_json(value: object) -> None:
    for kind in (EpisodeRecord, RunHeader, Entry):
        with pytest.raises(InputError):
            kind.from_dict(value)
