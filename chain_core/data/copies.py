"""Changed copies of rows as a value, joined with each other and with the rows they are copies of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from chain_core.data.pointed import Places
from chain_core.data.text import Texts


@dataclass(frozen=True)
class Copies:
    """M changed rows."""

    rows: np.ndarray
    """(M,) which row each is a copy of."""
    texts: Texts
    tags: Mapping[str, pa.Array]
    """Column -> list<text> (M,), null where the row has none."""
    places: Places
    """Head -> (M, 2 P): where its labels point now."""


def join_copies(first: Copies, second: Copies) -> Copies:
    """Both, one after the other."""
    pair = None
    if first.texts.second is not None and second.texts.second is not None:
        pair = join_cells(first.texts.second, second.texts.second)
    texts = Texts(first.texts.kind, join_cells(first.texts.first, second.texts.first), pair)
    tags = {name: join_cells(column, second.tags[name]) for name, column in first.tags.items()}
    places = {head: np.concatenate([ends, second.places[head]]) for head, ends in first.places.items()}
    return Copies(np.concatenate([first.rows, second.rows]), texts, tags, places)


def append_copies(table: pa.Table, copies: Copies, replaced: Mapping[str, pa.Array]) -> pa.Table:
    """The table with the copies' rows behind its own.

    `replaced`: column -> its cells of all rows, old and new, where they are not those of the rows copied.
    """
    rows = pa.array(copies.rows)
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        cells = column.take(rows)
        columns[name] = replaced.get(name, pa.chunked_array([*column.chunks, *cells.chunks], column.type))
    return pa.table(columns)


def join_cells(old: pa.Array, new: pa.Array) -> pa.Array:
    """Cells of all rows in the old ones' type."""
    return pa.concat_arrays([old, new.cast(old.type)])
