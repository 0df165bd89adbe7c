"""Records to Parquet and back. Dictionaries become one column per key: `metric.spl`, `seconds.act`."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from worldloop.core import InputError, RunFolderError
from worldloop.runs.disk import read_bytes, replace_file
from worldloop.runs.fields import arrow_type, canonical, field_types, optional
from worldloop.runs.schema import CandidateRecord, DecisionRecord, EpisodeRecord

Record = TypeVar("Record", EpisodeRecord, DecisionRecord, CandidateRecord)
PREFIXES = {"metrics": "metric.", "seconds": "seconds."}
TABLES: dict[str, type] = {
    "episodes": EpisodeRecord,
    "decisions": DecisionRecord,
    "candidates": CandidateRecord,
}


def is_timing(column: str) -> bool:
    """Whether a column holds wall-clock time, which no two runs share."""
    return column == "seconds" or column.startswith("seconds.")


def flattened(kind: type) -> dict[str, str]:
    """Field -> column prefix of the dictionary fields of a record class."""
    return {n: PREFIXES[n] for n, hint in field_types(kind).items() if hint == dict[str, float]}


def to_table(kind: type, records: Sequence[Any]) -> pa.Table:
    """One row per record, in the order given; a key that a record lacks is null."""
    columns: dict[str, pa.Array] = {}
    flat = flattened(kind)
    for name, hint in field_types(kind).items():
        values = [getattr(r, name) for r in records]
        if name not in flat:
            columns[name] = pa.array(values, arrow_type(hint))
            continue
        for key in sorted({k for v in values for k in v}):
            columns[flat[name] + key] = pa.array([v.get(key) for v in values], pa.float64())
    return pa.table(columns)


def to_records(kind: type[Record], table: pa.Table) -> list[Record]:
    """The inverse of `to_table`; InputError when a row is no valid record."""
    flat = flattened(kind)
    keys = {n: {k: k[len(p) :] for k in table.column_names if k.startswith(p)} for n, p in flat.items()}
    plain = [n for n in field_types(kind) if n not in flat]
    records = []
    for row in table.to_pylist():
        data = {n: row[n] for n in plain}
        for name, columns in keys.items():
            data[name] = {key: row[k] for k, key in columns.items() if row[k] is not None}
        records.append(kind(**data))
    return records


def write_table(table: pa.Table, path: Path) -> None:
    """Write a Parquet file in one step, with page checksums."""
    replace_file(
        path, lambda temporary: pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
    )


def read_table(kind: type, path: Path, header: str = "run.json") -> pa.Table:
    """Read and check a Parquet file; RunFolderError when it is missing, damaged or not of this kind.

    header: the file beside it that holds the status.
    """
    data = read_bytes(path)
    try:
        # From bytes: a path with `key=value` in it would otherwise gain partition columns.
        with pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True) as file:
            table = file.read()
        table.validate(full=True)
        _check_columns(kind, table)
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError, MemoryError) as error:
        raise _damaged(path, header, error) from error
    except InputError as error:
        raise _damaged(path, header, error) from None
    return table


def _check_columns(kind: type, table: pa.Table) -> None:
    flat = flattened(kind)
    names = table.column_names
    if len(set(names)) != len(names):
        raise InputError("a column appears twice")
    wanted = {n: hint for n, hint in field_types(kind).items() if n not in flat}
    if missing := [n for n in wanted if n not in names]:
        raise InputError(f"it lacks the columns {', '.join(missing)}")
    for name in names:
        column = table.column(name)
        if name not in wanted:
            if not name.startswith(tuple(flat.values())) or column.type != pa.float64():
                raise InputError(f"column {name[:80]!r} is unknown or of the wrong type")
            continue
        expected = arrow_type(wanted[name])
        if column.type != expected:
            raise InputError(f"column {name!r} is {column.type}, not {expected}")
        if column.null_count and not optional(wanted[name]):
            raise InputError(f"column {name!r} has empty cells")
        if pa.types.is_list(column.type) and pc.list_flatten(column).null_count:
            raise InputError(f"column {name!r} has empty entries")


def digest(tables: Iterable[tuple[str, pa.Table]]) -> str:
    """32 hex digits that identify the content of named tables, timing columns aside."""
    out = hashlib.blake2b(digest_size=16)
    for name, table in tables:
        kept = table.select([c for c in table.column_names if not is_timing(c)])
        out.update(canonical([name, kept.column_names, [str(t) for t in kept.schema.types]]).encode())
        for row in kept.to_pylist():
            out.update(canonical(row).encode())
    return out.hexdigest()


def _damaged(path: Path, header: str, error: object) -> RunFolderError:
    reason = str(error).split("\n", 1)[0][:200]
    return RunFolderError(
        f"{path} is damaged or not a table of a run ({reason}); restore it, or set the status in {header} to "
        "running and run the same command again: the table is rebuilt from the journal"
    )
