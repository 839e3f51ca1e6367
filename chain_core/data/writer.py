"""Stored data sets: `datasets/<id>/` with `rows.arrow` and `meta.json`, under the hash of their content.

A folder is written under a temporary name and renamed when it is whole: what a crash leaves is never read.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa

from chain_core.data.cells import Note
from chain_core.data.detect import Source
from chain_core.errors import DataError
from chain_core.paths import get_folder
from chain_core.storage.disk import explain_full_disk

VERSION = 2  # of what readers make of a file: a change gives the same file a new id
ROWS = "rows.arrow"
META = "meta.json"
_STALE = 24 * 3600  # seconds after which a half-written folder is a crash's


@dataclass(frozen=True)
class DataSet:
    """A stored data set. `sources`: split name -> how its file was read; empty for a sample."""

    id: str
    name: str
    folder: Path
    rows: int
    columns: tuple[str, ...]
    sources: Mapping[str, Source]
    notes: tuple[Note, ...]
    created: float


def hash_parts(*parts: str) -> str:
    """The id of what these texts describe."""
    return hashlib.sha256("\0".join((str(VERSION), *parts)).encode()).hexdigest()[:16]


def import_table(batches: Iterable[pa.RecordBatch], *, name: str, key: str) -> DataSet:
    """Store rows that come from no file. The same `key` stands for the same content: one data set."""
    identity = hash_parts("table", key)
    return find_stored(identity) or write_data_set(batches, name=name, identity=identity)


def find_stored(identity: str) -> DataSet | None:
    """The data set of this id, where it is stored and whole."""
    folder = get_folder("datasets") / identity
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        if not (folder / ROWS).is_file():
            return None
        return _build_data_set(folder, meta)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_all_stored() -> list[DataSet]:
    """Every stored data set, the newest first."""
    folders = [folder for folder in get_folder("datasets").iterdir() if not folder.name.startswith(".")]
    found = [data_set for folder in folders if (data_set := find_stored(folder.name))]
    return sorted(found, key=lambda data_set: -data_set.created)


def write_data_set(
    batches: Iterable[pa.RecordBatch],
    *,
    name: str,
    identity: str,
    sources: Mapping[str, Source] | None = None,
    notes: Sequence[Note] = (),
) -> DataSet:
    """Write rows and meta, all or nothing. Raises ResourceError on a full disk, DataError for no row."""
    root = get_folder("datasets")
    _remove_stale(root)
    temporary = root / f".{identity}.{uuid4().hex[:8]}"
    try:
        with explain_full_disk(root):
            temporary.mkdir()
            rows, columns = write_rows(batches, temporary / ROWS)
            meta = {
                "id": identity,
                "name": _find_free_name(name, identity),
                "rows": rows,
                "columns": columns,
                "sources": {split: asdict(source) for split, source in (sources or {}).items()},
                "notes": list(notes),
                "created": time.time(),
            }
            text = json.dumps(meta, ensure_ascii=False, indent=1)
            (temporary / META).write_text(text, encoding="utf-8")
            _rename(temporary, root / identity)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    stored = find_stored(identity)
    assert stored is not None, "a data set that was just written can be read"
    return stored


def write_rows(batches: Iterable[pa.RecordBatch], path: Path) -> tuple[int, list[str]]:
    """(rows, columns) of an Arrow file written batch by batch."""
    iterator: Iterator[pa.RecordBatch] = iter(batches)
    first = next(iterator, None)
    if first is None:
        raise DataError("no_rows")
    schema = first.schema.remove_metadata()
    rows = 0
    with path.open("wb") as file:
        with pa.ipc.new_file(file, schema) as writer:
            for batch in chain((first,), iterator):
                writer.write_batch(batch.replace_schema_metadata(None))
                rows += batch.num_rows
        file.flush()
        os.fsync(file.fileno())
    if not rows:
        raise DataError("no_rows")
    return rows, schema.names


def delete_stored(identity: str) -> None:
    """Remove a data set's folder; nothing happens where there is none."""
    if data_set := find_stored(identity):
        gone = data_set.folder.with_name(f".{identity}.{uuid4().hex[:8]}")
        data_set.folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _build_data_set(folder: Path, meta: Mapping[str, Any]) -> DataSet:
    return DataSet(
        id=folder.name,
        name=meta["name"],
        folder=folder,
        rows=meta["rows"],
        columns=tuple(meta["columns"]),
        sources={split: Source(**source) for split, source in meta["sources"].items()},
        notes=tuple(meta["notes"]),
        created=meta["created"],
    )


def _find_free_name(name: str, identity: str) -> str:
    """The name itself, or with a number where another data set has it."""
    taken = {data_set.name for data_set in find_all_stored() if data_set.id != identity}
    name = " ".join(name.split())[:120] or identity
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{name} ({count})"
    return free


def _rename(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if find_stored(folder.name) is None:  # a damaged one stands there: put the whole one in its place
            shutil.rmtree(folder)
            temporary.rename(folder)


def _remove_stale(root: Path) -> None:
    for folder in root.glob(".*"):
        try:
            if time.time() - folder.stat().st_mtime > _STALE:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue
