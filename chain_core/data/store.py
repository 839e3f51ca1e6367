"""From files to stored data sets, and from a config to its rows. The database is services' matter."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from chain_core.config import DataConfig
from chain_core.data.cells import TEXT, Note, build_note
from chain_core.data.detect import SUFFIXES, Source
from chain_core.data.readers import SPLIT, detect_source, get_notes, read_batches
from chain_core.data.samples import SAMPLES, load_sample
from chain_core.data.splits import SPLIT_NAMES
from chain_core.data.writer import (
    ROWS,
    DataSet,
    delete_stored,
    find_all_stored,
    find_stored,
    hash_parts,
    import_table,
    write_data_set,
)
from chain_core.errors import DataError
from chain_core.paths import place_path
from chain_core.registry import nearest

__all__ = [
    "SPLIT", "DataSet", "delete_stored", "find_split_files", "import_files", "import_table",
    "list_data_sets", "load_data_set", "open_rows", "read_table",
]  # fmt: skip


def import_files(
    files: Mapping[str, Path],
    *,
    name: str,
    encoding: str | None = None,
    delimiter: str | None = None,
    check: Callable[[], None] = lambda: None,
) -> DataSet:
    """Store one file, or one for each of "train", "validation", "test"; then a SPLIT column tells them apart.

    `encoding` and `delimiter` overrule what is found. The same bytes read the same way are one data set,
    under the name they were first given. Raises DataError for a file that cannot be read as a table.
    `check` is called now and then and may raise.
    """
    sources = {split: detect_source(path, encoding=encoding, delimiter=delimiter) for split, path in files.items()}
    parts = [f"{split} {_hash_file(files[split])} {source}" for split, source in sorted(sources.items())]
    identity = hash_parts(*parts)
    if stored := find_stored(identity):
        return stored
    streams = {split: _open_stream(files[split], source) for split, source in sources.items()}
    if len(streams) == 1:
        schema, batches = next(iter(streams.values()))
        notes = get_notes(schema)
    else:
        merged, notes = _merge_schemas({split: schema for split, (schema, _) in streams.items()})
        batches = chain.from_iterable(_fit(stream, split, merged) for split, (_, stream) in streams.items())
    return write_data_set(_watch(batches, check), name=name, identity=identity, sources=sources, notes=notes)


def find_split_files(path: Path) -> dict[str, Path]:
    """{"train": …, "validation": …, "test": …} by a folder's file names; {"train": path} of a file."""
    if path.is_file():
        return {"train": path}
    if not path.is_dir():
        raise DataError("file_missing", path=str(path))
    try:
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    except OSError as error:
        raise DataError("file_unreadable", name=str(path), reason=error.strerror or str(error)) from None
    found: dict[str, Path] = {}
    for split, names in SPLIT_NAMES.items():
        for file in files:
            if file.stem.lower() in names and split not in found:
                found[split] = file
    if "train" in found:
        return found
    if len(files) == 1:
        return {"train": files[0]}
    raise DataError("folder_without_train", path=str(path), files=", ".join(file.name for file in files[:10]))


def name_files(files: Mapping[str, Path]) -> str:
    """A name for what was imported: the file's, or its folder's where the file is called `train`."""
    path = files["train"].resolve()
    return path.parent.name if path.stem.lower() in SPLIT_NAMES["train"] else path.stem


def list_data_sets() -> list[DataSet]:
    """All stored data sets, the newest first."""
    return find_all_stored()


def load_data_set(name_or_id: str) -> DataSet:
    """A stored data set by its name or id, or a sample by its name. Raises DataError that names the nearest one."""
    if re.fullmatch(r"[0-9a-f]{16}", name_or_id) and (stored := find_stored(name_or_id)):
        return stored
    known = find_all_stored()
    for data_set in known:
        if data_set.name == name_or_id:
            return data_set
    if name_or_id in SAMPLES:
        return load_sample(name_or_id)
    names = [*SAMPLES, *(data_set.name for data_set in known)]
    close = nearest(name_or_id, names)
    code = "data_set_unknown_nearest" if close else "data_set_unknown"
    raise DataError(code, name=name_or_id, nearest=close)


def read_table(data_set: DataSet, columns: Iterable[str] | None = None) -> pa.Table:
    """The rows, memory-mapped: nothing is read before it is used."""
    try:
        with pa.memory_map(str(data_set.folder / ROWS)) as source:
            table = pa.ipc.open_file(source).read_all()
    except (OSError, pa.ArrowException):
        raise DataError("data_set_damaged", name=data_set.name) from None
    return table if columns is None else table.select(list(columns))


def open_rows(data: DataConfig, folder: Path, check: Callable[[], None] = lambda: None) -> tuple[DataSet, pa.Table]:
    """A config's rows. Each source is a path relative to `folder`, or a stored data set's name or id.

    `check` is called now and then while a file is read for the first time, and may raise.
    """
    given = {"train": data.train, "validation": data.validation, "test": data.test}
    sources = {split: value for split, value in given.items() if isinstance(value, str)}
    paths = {split: path for split, value in sources.items() if (path := _find_path(value, folder))}
    options = {"encoding": data.encoding, "delimiter": data.delimiter}
    if len(paths) == len(sources):
        files = find_split_files(paths["train"]) if len(paths) == 1 else paths
        data_set = import_files(files, name=name_files(files), check=check, **options)
        return data_set, read_table(data_set)
    parts = {
        split: import_files({"train": paths[split]}, name=paths[split].stem, check=check, **options)
        if split in paths
        else load_data_set(value)
        for split, value in sources.items()
    }
    data_set = parts["train"] if len(parts) == 1 else _join_data_sets(parts)
    return data_set, read_table(data_set)


def _watch(batches: Iterable[pa.RecordBatch], check: Callable[[], None]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        check()
        yield batch


def _find_path(value: str, folder: Path) -> Path | None:
    """The file or folder that a source names; None where it can only be a stored data set's name."""
    path = place_path(value, folder)
    if os.path.exists(path):
        return path.resolve()
    if Path(value).suffix.lower() in SUFFIXES or "/" in value or "\\" in value:
        raise DataError("file_missing", path=str(path))
    return None


def _join_data_sets(parts: Mapping[str, DataSet]) -> DataSet:
    """Stored data sets as one with a SPLIT column; of the one for "train", only its train rows."""
    tables = {split: read_table(data_set) for split, data_set in parts.items()}
    if SPLIT in tables["train"].column_names:
        tables["train"] = tables["train"].filter(pc.equal(tables["train"][SPLIT], "train"))
    tables = {split: table.drop_columns([SPLIT] if SPLIT in table.column_names else [])
              for split, table in tables.items()}  # fmt: skip
    merged, notes = _merge_schemas({split: table.schema for split, table in tables.items()})
    batches = (_fit(iter(table.to_batches()), split, merged) for split, table in tables.items())
    identity = hash_parts("join", *(f"{split} {data_set.id}" for split, data_set in sorted(parts.items())))
    name = " + ".join(data_set.name for data_set in parts.values())
    return find_stored(identity) or write_data_set(
        chain.from_iterable(batches), name=name, identity=identity, notes=notes
    )


def _open_stream(path: Path, source: Source) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema and the batches of one file, of which the first is read already."""
    batches = read_batches(path, source)
    first = next(batches, None)
    if first is None:
        raise DataError("no_rows")
    return first.schema, chain((first,), batches)


def _merge_schemas(schemas: Mapping[str, pa.Schema]) -> tuple[pa.Schema, list[Note]]:
    """All columns of all files and SPLIT; a column that a file lacks is missing in its rows, and noted."""
    types: dict[str, pa.DataType] = {}
    notes: list[Note] = []
    for split, schema in schemas.items():
        notes += get_notes(schema)
        for field in schema:
            if types.setdefault(field.name, field.type) != field.type:
                raise DataError("column_types_differ", column=field.name, split=split)
    for split, schema in schemas.items():
        lacking = [name for name in types if name not in schema.names]
        if not set(schema.names) & set(schemas["train"].names):
            raise DataError("no_common_column", split=split)
        if lacking:
            notes.append(build_note("columns_lacking", split=split, names=", ".join(lacking[:10])))
    return pa.schema([*types.items(), (SPLIT, TEXT)]), notes


def _fit(batches: Iterable[pa.RecordBatch], split: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        columns = [
            batch.column(field.name) if field.name in batch.schema.names else pa.nulls(batch.num_rows, field.type)
            for field in schema
            if field.name != SPLIT
        ]
        yield pa.record_batch([*columns, pa.repeat(split, batch.num_rows)], schema=schema)


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
