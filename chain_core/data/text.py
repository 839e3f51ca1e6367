"""The columns that the backbone reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chain_core.config import InputConfig
from chain_core.data.cells import combine, split_lists, to_lists, to_text
from chain_core.errors import DataError
from chain_core.registry import nearest


@dataclass(frozen=True)
class Texts:
    """What a row gives the backbone, N rows.

    kind    "text", "pair" or "tokens"
    first   text (N,), or list<text> (N,) for tokens; never null
    second  text (N,) of a pair, else None
    """

    kind: str
    first: pa.Array
    second: pa.Array | None = None

    def __len__(self) -> int:
        return len(self.first)


def get_column(table: pa.Table, name: str) -> pa.Array:
    """One column as one array. Raises DataError that names the columns there are."""
    if name not in table.column_names:
        close = nearest(name, table.column_names)
        known = ", ".join(table.column_names[:20])
        raise DataError("column_missing_nearest" if close else "column_missing",
                        column=name, nearest=close, known=known)  # fmt: skip
    return combine(table[name])


def read_texts(table: pa.Table, columns: InputConfig) -> Texts:
    """The input of every row; a missing cell is "" or no tokens. Tokens are a list or separated by spaces."""
    if columns.tokens:
        lists = to_lists(get_column(table, columns.tokens))
        return Texts("tokens", pc.fill_null(lists, pa.scalar([], lists.type)))
    if not columns.text:
        raise DataError("no_input", known=", ".join(table.column_names[:20]))
    first = to_text(get_column(table, columns.text))
    if columns.pair:
        return Texts("pair", first, to_text(get_column(table, columns.pair)))
    return Texts("text", first)


def check_lengths(tokens: pa.Array, tags: pa.Array, tokens_name: str, tags_name: str) -> None:
    """Each row has as many tags as tokens, or none at all. Raises DataError naming the first row, from 1."""
    counts = np.diff(split_lists(tokens)[1])
    tagged = np.diff(split_lists(tags)[1])
    wrong = np.flatnonzero((tagged > 0) & (tagged != counts))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            "tags_length", row=row + 1, tokens=int(counts[row]), tags=int(tagged[row]),
            rows=len(wrong), tokens_column=tokens_name, tags_column=tags_name,
        )  # fmt: skip
