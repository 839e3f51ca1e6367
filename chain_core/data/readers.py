"""A file of any known format -> batches of rows, in bounded memory.

Every cell becomes text, a list of texts, or null; numbers and booleans keep the letters the file gives them.
What was mended on the way (names of columns) stands as notes in the schema's metadata under NOTES_KEY.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chain_core.data.cells import LIST, TEXT, Note, build_note, is_list
from chain_core.data.conll import read_conll
from chain_core.data.detect import Source, detect_source
from chain_core.data.encodings import find_bad_line
from chain_core.data.json_rows import read_json, read_json_lines
from chain_core.data.list_cells import find_list_columns, parse_list
from chain_core.errors import DataError

__all__ = ["Source", "detect_source", "get_notes", "read_batches"]

BATCH_ROWS = 5000
MAX_COLUMNS = 2000
MAX_CELL = 10_000_000  # characters
NOTES_KEY = b"notes"
SPLIT = "__split__"
_ROW_READERS = {"json": read_json, "jsonl": read_json_lines, "conll": read_conll}


def read_batches(path: Path, source: Source) -> Iterator[pa.RecordBatch]:
    """All rows of a file in batches of one schema. Raises DataError with the file and the line, if it is a line's."""
    try:
        if source.format == "parquet":
            yield from _read_parquet(path)
        elif source.format in _ROW_READERS:
            yield from _read_rows(path, source)
        else:
            yield from _read_csv(path, source)
    except DataError as error:
        error.params.setdefault("name", path.name)
        raise
    except UnicodeError:
        encoding = source.encoding or "utf-8"
        line = find_bad_line(path, encoding)
        raise DataError("undecodable", name=path.name, encoding=encoding, line=line) from None


def get_notes(schema: pa.Schema) -> list[Note]:
    """What the reader mended."""
    return json.loads((schema.metadata or {}).get(NOTES_KEY, b"[]"))


def _read_csv(path: Path, source: Source) -> Iterator[pa.RecordBatch]:
    with _open_text(path, source) as file:
        rows = _iterate_csv(file, source)
        header = next(rows, (0, []))[1]
        chunk = [row for _, row in islice(rows, BATCH_ROWS)]
        lists = _find_lists(path, source, chunk, len(header))
        types = [LIST if column in lists else TEXT for column in range(len(header))]
        schema, _ = _build_schema(header, types)
        if not chunk:
            raise DataError("header_only", columns=", ".join(schema.names))
        while chunk:
            columns = [
                _to_array([parse_list(cell) for cell in cells] if kind == LIST else cells, kind)
                for cells, kind in zip(zip(*chunk, strict=True), types, strict=True)
            ]
            yield pa.record_batch(columns, schema=schema)
            chunk = [row for _, row in islice(rows, BATCH_ROWS)]


def _find_lists(path: Path, source: Source, chunk: Sequence[list[str]], width: int) -> set[int]:
    """Numbers of the columns that hold nothing but lists. The whole file is looked through only where some may."""
    candidates = find_list_columns(chunk, range(width))
    if not candidates or len(chunk) < BATCH_ROWS:
        return candidates
    with _open_text(path, source) as file:
        rows = _iterate_csv(file, source)
        return find_list_columns((row for _, row in islice(rows, 1, None)), candidates)


def _iterate_csv(file: TextIO, source: Source) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row that is not blank, all as wide as the first."""
    csv.field_size_limit(MAX_CELL)
    options: dict[str, Any] = {} if source.quoting else {"quoting": csv.QUOTE_NONE}
    reader = csv.reader(file, delimiter=source.delimiter or ",", strict=True, **options)
    width, line = 0, 1
    try:
        for row in reader:
            if row:
                width = width or len(row)
                if len(row) != width:
                    row = _mend_width(row, width, line)
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError("broken_quoting", line=line, reason=str(error)) from None


def _mend_width(row: list[str], width: int, line: int) -> list[str]:
    """Empty cells beyond the header's last column, as spreadsheets write them, are dropped."""
    if len(row) > width and not any(row[width:]):
        return row[:width]
    raise DataError("ragged_row", line=line, expected=width, found=len(row))


def _read_rows(path: Path, source: Source) -> Iterator[pa.RecordBatch]:
    """Rows that name their cells: a first pass finds the columns, a second one reads them."""
    reader = _ROW_READERS[source.format]
    has_text: dict[str, bool] = {}
    has_list: dict[str, bool] = {}
    seen: set[tuple[Any, ...]] = set()  # rows of the same names and types say nothing new
    with _open_text(path, source) as file:
        for row in reader(file):
            signature = (*row, *map(type, row.values()))
            if signature in seen:
                continue
            if len(seen) < MAX_COLUMNS:
                seen.add(signature)
            for name, value in row.items():
                has_text.setdefault(name, False)
                has_list.setdefault(name, False)
                if isinstance(value, list):
                    has_list[name] = True
                elif value is not None:
                    has_text[name] = True
            if len(has_text) > MAX_COLUMNS:
                raise DataError("too_many_columns", limit=MAX_COLUMNS)
    if not has_text:
        raise DataError("no_rows")
    mixed = [name for name in has_text if has_text[name] and has_list[name]]
    notes = [build_note("columns_mixed", names=", ".join(mixed))] if mixed else []
    types = [LIST if has_list[name] else TEXT for name in has_text]
    schema, _ = _build_schema(list(has_text), types, notes)
    with _open_text(path, source) as file:
        rows = reader(file)
        while chunk := list(islice(rows, BATCH_ROWS)):
            columns = [
                _to_array([_to_cell(row.get(name), kind) for row in chunk], kind)
                for name, kind in zip(has_text, types, strict=True)
            ]
            yield pa.record_batch(columns, schema=schema)


def _read_parquet(path: Path) -> Iterator[pa.RecordBatch]:
    try:
        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        types = [LIST if is_list(field.type) else TEXT for field in file.schema_arrow]
        schema, _ = _build_schema(names, types)
        if file.metadata.num_rows == 0:
            raise DataError("header_only", columns=", ".join(schema.names))
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            columns = [_cast(column, kind) for column, kind in zip(batch.columns, types, strict=True)]
            yield pa.record_batch(columns, schema=schema)
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise DataError("parquet_broken", reason=str(error).splitlines()[0]) from None


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Any Arrow column as text or lists of text."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_floating(column.type):
        # Whole numbers became floats where one was missing: 3.0 is the label "3".
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        valid = column.drop_null()
        if len(valid) and pc.all(pc.equal(valid, pc.floor(valid))).as_py() and _is_short(valid):
            return column.cast(pa.int64()).cast(kind)
    try:
        return column.cast(kind)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return _to_array([_to_cell(value, kind) for value in column.to_pylist()], kind)


def _is_short(valid: pa.Array) -> bool:
    return pc.max(pc.abs(valid)).as_py() < 2**53


def _to_cell(value: Any, kind: pa.DataType) -> Any:
    """A Python value as the cell of a text or list column."""
    if value is None:
        return None
    if kind == LIST:
        items = value if isinstance(value, list) else [value]
        return [None if item is None else _to_plain(item) for item in items]
    return _to_plain(value)


def _to_plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _to_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can spell but no encoding can hold
        return pa.array([mend_surrogates(value) for value in values], kind)


def mend_surrogates(value: Any) -> Any:
    """What JSON gave, with "?" for each half of a surrogate pair that lacks the other."""
    if isinstance(value, dict):
        return {mend_surrogates(key): mend_surrogates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [mend_surrogates(item) for item in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _build_schema(
    names: Sequence[str], types: Sequence[pa.DataType], notes: Iterable[Note] = ()
) -> tuple[pa.Schema, list[Note]]:
    """The schema with every column named once; empty, repeated and reserved names are mended and noted."""
    if len(names) > MAX_COLUMNS:
        raise DataError("too_many_columns", limit=MAX_COLUMNS)
    mended, notes = _mend_names(names), list(notes)
    changed = [new for old, new in zip(names, mended, strict=True) if " ".join(old.split()) != new]
    if changed:
        notes.append(build_note("columns_renamed", names=", ".join(changed[:10])))
    metadata = {NOTES_KEY: json.dumps(notes)}
    return pa.schema([pa.field(*pair) for pair in zip(mended, types, strict=True)], metadata), notes


def _mend_names(names: Sequence[str]) -> list[str]:
    plain = [" ".join(mend_surrogates(name).replace("\0", "").split()) for name in names]
    taken = {SPLIT}
    kept = []
    for position, name in enumerate(plain, start=1):
        name = name or f"column_{position}"
        unique, count = name, 1
        while unique in taken or (count > 1 and unique in plain):
            count += 1
            unique = f"{name}_{count}"
        taken.add(unique)
        kept.append(unique)
    return kept


def _open_text(path: Path, source: Source) -> TextIO:
    encoding = source.encoding or "utf-8"
    # A mark at the start is part of no cell; these codecs drop it where it stands.
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    return path.open(encoding=encoding, newline="")
