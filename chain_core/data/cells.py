"""Columns as Arrow arrays: every stored cell is text, a list of texts, or missing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

TEXT = pa.string()
LIST = pa.list_(pa.string())
MISSING = ("", "nan", "NaN", "NAN", "null", "NULL", "<NA>", "#N/A", "N/A", "n/a")
"""What a label cell holds when nobody labelled it. `NA`, `none` and `None` may be labels, so they are."""
_LIMIT = 2**31 - 1  # bytes that an Arrow string array addresses

HASHED_ROWS = 65_536

Note = dict[str, Any]


def build_note(code: str, /, **params: object) -> Note:
    """Something worth knowing that stops nothing; its sentence stands under `notes.<code>`."""
    return {"code": code, "params": params}


def is_list(kind: pa.DataType) -> bool:
    """Whether cells of this type hold lists."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def combine(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One array of all chunks: text or list of text, 64-bit offsets only where the bytes need them."""
    if isinstance(column, pa.Array):
        return column
    if column.nbytes > _LIMIT:
        wide = pa.large_list(pa.large_string()) if is_list(column.type) else pa.large_string()
        column = column.cast(wide)
    merged = column.combine_chunks()
    return merged.chunk(0) if isinstance(merged, pa.ChunkedArray) else merged


def find_missing(array: pa.Array) -> np.ndarray:
    """(N,) bool: null, blank, or one of MISSING; a list is missing only where it is null."""
    if is_list(array.type):
        return array.is_null().to_numpy(zero_copy_only=False)
    known = pa.array(MISSING, array.type)
    blank = pc.is_in(pc.utf8_trim_whitespace(array), value_set=known, skip_nulls=True)
    return pc.or_(array.is_null(), blank).to_numpy(zero_copy_only=False)


def to_text(array: pa.Array) -> pa.Array:
    """Text of each cell, "" where null; the items of a list joined by a space."""
    if is_list(array.type):
        array = pc.binary_join(_fill_items(array), " ")
    return pc.fill_null(array, "")


def to_lists(array: pa.Array) -> pa.Array:
    """A list of texts a cell: lists stay, text is split at white space; null stays, a null item is ""."""
    if is_list(array.type):
        return _fill_items(array)
    trimmed = pc.utf8_trim_whitespace(array)
    pieces = pc.utf8_split_whitespace(trimmed)
    empty = pa.scalar([], pieces.type)
    return pc.if_else(pc.equal(pc.utf8_length(trimmed), 0), empty, pieces)


def split_lists(array: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Lists (N,) as (all items, offsets int64 (N+1,)); a null list has length 0."""
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = np.zeros(len(array) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return array.flatten(), offsets


def join_lists(items: pa.Array, offsets: np.ndarray, missing: np.ndarray) -> pa.Array:
    """Lists again, null where `missing` (N,) bool; the inverse of `split_lists`."""
    mask = np.append(missing, False)
    if offsets[-1] > _LIMIT:
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64(), mask=mask), items)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32), pa.int32(), mask=mask), items)


def _fill_items(array: pa.Array) -> pa.Array:
    items, offsets = split_lists(array)
    if items.null_count == 0:
        return array
    return join_lists(pc.fill_null(items, ""), offsets, array.is_null().to_numpy(zero_copy_only=False))


def hash_cells(columns: Iterable[pa.Array | pa.ChunkedArray]) -> str:
    """A hash of what the cells hold, however they are cut into chunks; a part of the rows in memory at a time."""
    digest = hashlib.sha256()
    for column in columns:
        digest.update(f"{len(column)} {is_list(column.type)};".encode())
        for start in range(0, len(column), HASHED_ROWS):
            part = combine(column.slice(start, HASHED_ROWS))
            digest.update(part.is_null().to_numpy(zero_copy_only=False).tobytes())
            if is_list(part.type):
                part, offsets = split_lists(part)
                digest.update(np.diff(offsets).tobytes())
            lengths = pc.fill_null(pc.binary_length(part), 0).to_numpy(zero_copy_only=False)
            digest.update(lengths.astype(np.int64).tobytes())
            digest.update(_get_bytes(part))
    return digest.hexdigest()


def hash_rows(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """(N,) int64: equal for equal cells, 0 for empty ones, else different but for one chance in billions.

    The numbers are this process's own: what is kept must not depend on them.
    """
    hashes = np.zeros(len(column), np.int64)
    for start in range(0, len(column), HASHED_ROWS):
        part = combine(column.slice(start, HASHED_ROWS))
        if is_list(part.type):
            part = pc.binary_join(_fill_items(part), "\x1f")
        texts = pc.fill_null(part, "").to_pylist()
        hashes[start : start + len(part)] = np.fromiter(map(hash, texts), np.int64, len(texts))
    return hashes


def _get_bytes(texts: pa.Array) -> memoryview:
    """The bytes of all texts, one after the other, without a copy."""
    if not len(texts):
        return memoryview(b"")
    if texts.null_count:
        texts = pc.fill_null(texts, "")
    _, offsets, data = texts.buffers()
    dtype = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    ends = np.frombuffer(offsets, dtype)[[texts.offset, texts.offset + len(texts)]]
    return memoryview(data)[int(ends[0]) : int(ends[1])] if data is not None else memoryview(b"")
