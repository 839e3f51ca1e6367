"""The columns that the backbone reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chain_core.config import HeadConfig, InputConfig
from chain_core.data.cells import combine, split_lists, to_lists, to_text
from chain_core.data.readers import SPLIT
from chain_core.data.relations import check_labelled, put_marks_in, read_span_columns, take_out_all_marks
from chain_core.errors import DataError
from chain_core.registry import nearest


@dataclass(frozen=True)
class Texts:
    """What a row gives the backbone, N rows.

    kind    "text", "pair" or "tokens"
    first   text (N,), or list<text> (N,) for tokens; never null
    second  text (N,) of a pair, else None
    spans   relation head -> (N, 4) int32: first word or character of its two spans and the one after their last;
            -1 where a row has none
    files   (N,) int64: the number of the file that a row stands in, one after the other; -1 for changed copies and
            rows of a sample, which stand in none. None: all in one
    """

    kind: str
    first: pa.Array
    second: pa.Array | None = None
    spans: Mapping[str, np.ndarray] = field(default_factory=dict)
    files: np.ndarray | None = None

    @property
    def searched(self) -> pa.Array:
        """Where answers stand: the pair's second text, or the only one."""
        return self.first if self.second is None else self.second

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


def read_texts(table: pa.Table, columns: InputConfig, heads: Mapping[str, HeadConfig] | None = None) -> Texts:
    """The input of every row; a missing cell is "" or no tokens. Tokens are a list or separated by spaces.

    Of `heads`, those that tell a relation give `spans`; where one finds them by marks, the text is without them.
    Raises DataError naming row and column of a span that is no span, or that a labelled row lacks.
    """
    relations = {name: head for name, head in (heads or {}).items() if head.kind == "relation"}
    if columns.tokens:
        lists = to_lists(get_column(table, columns.tokens))
        texts = Texts("tokens", pc.fill_null(lists, pa.scalar([], lists.type)))
    elif columns.text:
        first = to_text(get_column(table, columns.text))
        second = to_text(get_column(table, columns.pair)) if columns.pair else None
        texts = Texts("pair" if columns.pair else "text", first, second)
    else:
        raise DataError("no_input", known=", ".join(table.column_names[:20]))
    if SPLIT in table.column_names:
        texts = replace(texts, files=_number_files(get_column(table, SPLIT)))
    return _add_spans(texts, table, columns.text or "", relations) if relations else texts


def _number_files(names: pa.Array) -> np.ndarray:
    return pc.dictionary_encode(names).indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _add_spans(texts: Texts, table: pa.Table, column: str, relations: Mapping[str, HeadConfig]) -> Texts:
    marked = None
    if any(head.spans is None for head in relations.values()):
        first, marked = take_out_all_marks(texts.first, column)
        texts = replace(texts, first=first)
    lengths = np.diff(split_lists(texts.first)[1]) if texts.kind == "tokens" else count_characters(texts.first)
    spans: dict[str, np.ndarray] = {}
    for name, head in relations.items():
        if head.spans is not None:
            spans[name] = read_span_columns({side: get_column(table, side) for side in head.spans}, lengths)
        elif marked is not None:
            spans[name] = marked
        if head.column in table.column_names:
            check_labelled(get_column(table, head.column), spans[name], head.column, head.spans)
    return replace(texts, spans=spans)


def count_characters(texts: pa.Array) -> np.ndarray:
    """(N,) int64"""
    return pc.utf8_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)


def mark_texts(texts: Texts, rows: np.ndarray, spans: np.ndarray) -> list[str]:
    """The (first) texts of some rows with marks around their two spans, for people to read; tokens joined by spaces."""
    marked = []
    for text, places in zip(texts.first.take(pa.array(rows)).to_pylist(), spans[rows].tolist(), strict=True):
        if places[0] < 0:
            marked.append(" ".join(text) if texts.kind == "tokens" else text)
        elif texts.kind == "tokens":
            ends = [0, *np.cumsum([len(word) + 1 for word in text]).tolist()]
            first1, end1, first2, end2 = places
            marked.append(put_marks_in(" ".join(text), (ends[first1], ends[end1] - 1, ends[first2], ends[end2] - 1)))
        else:
            marked.append(put_marks_in(text, places))
    return marked


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
