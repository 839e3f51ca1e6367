"""The two spans of a row between which a relation is told: from two columns, or from marks in the text.

Spans are counted in words where a row is given as tokens, else in characters of its (first) text. Marks are those of
SemEval 2010, task 8: `<e1>…</e1>` and `<e2>…</e2>`. They are taken out before the text is read; what stands between
them stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chain_core.config import HeadConfig
from chain_core.data.cells import find_missing, is_list
from chain_core.data.words import split_words
from chain_core.errors import DataError

MISSING = (-1, -1, -1, -1)
_MARK = re.compile(r"<(/?)e([12])>")
_ORDER = {("", "1"): 0, ("/", "1"): 1, ("", "2"): 2, ("/", "2"): 3}
_SPAN = re.compile(r"\s*[\[(]?\s*(\d+)\s*[-–,:;\s]\s*(\d+)\s*[\])]?\s*")


def take_out_marks(text: str) -> tuple[str, tuple[int, ...] | None]:
    """(the text without marks, (first1, end1, first2, end2) in characters of it); None where there is no mark.

    Raises ValueError where the four marks do not each stand there once, in their order, around something.
    """
    parts: list[str] = []
    spans: list[int | None] = [None] * 4
    length = last = 0
    for mark in _MARK.finditer(text):
        parts.append(text[last : mark.start()])
        length += mark.start() - last
        last = mark.end()
        place = _ORDER[mark[1], mark[2]]
        if spans[place] is not None:
            raise ValueError(mark[0])
        spans[place] = length
    if not parts:
        return text, None
    clean = "".join(parts) + text[last:]
    first1, end1, first2, end2 = spans
    if first1 is None or end1 is None or first2 is None or end2 is None or first1 >= end1 or first2 >= end2:
        raise ValueError(text)
    return clean, (first1, end1, first2, end2)


def put_marks_in(text: str, spans: Sequence[int]) -> str:
    """The text with marks around its two spans, in characters; the inverse of `take_out_marks`."""
    marks = [(spans[1], 0, "</e1>"), (spans[3], 0, "</e2>"), (spans[0], 1, "<e1>"), (spans[2], 1, "<e2>")]
    for place, _, mark in sorted(marks, reverse=True):
        text = text[:place] + mark + text[place:]
    return text


def split_marked_words(text: str) -> tuple[list[str], tuple[int, ...] | None]:
    """(words of a text without its marks, its spans in words). Raises ValueError as `take_out_marks` does."""
    _, spans = take_out_marks(text)
    if spans is None:
        return split_words(text), None
    words: list[str] = []
    places = [0] * 4
    last = 0
    for mark in _MARK.finditer(text):
        words += split_words(text[last : mark.start()])
        last = mark.end()
        places[_ORDER[mark[1], mark[2]]] = len(words)
    if places[0] >= places[1] or places[2] >= places[3]:
        raise ValueError(text)
    return words + split_words(text[last:]), tuple(places)


def take_out_all_marks(texts: pa.Array, column: str) -> tuple[pa.Array, np.ndarray]:
    """(texts without marks, spans (N, 4) int32, MISSING where there is no mark). Raises DataError naming the row."""
    if not pc.any(pc.match_substring_regex(texts, _MARK.pattern)).as_py():
        return texts, np.tile(np.array(MISSING, np.int32), (len(texts), 1))
    clean: list[str] = []
    spans: list[tuple[int, ...]] = []
    for row, text in enumerate(texts.to_pylist(), start=1):
        try:
            without, found = take_out_marks(text)
        except ValueError:
            raise DataError("marks_incomplete", column=column, row=row, text=text[:80]) from None
        clean.append(without)
        spans.append(found or MISSING)
    return pa.array(clean, texts.type), np.array(spans, np.int32).reshape(len(clean), 4)


def list_span_columns(heads: Mapping[str, HeadConfig]) -> tuple[str, ...]:
    """The columns in which relations' spans stand, each once."""
    return tuple(dict.fromkeys(name for head in heads.values() for name in head.spans or ()))


def read_span_columns(columns: Mapping[str, pa.Array], lengths: np.ndarray, start: int = 0) -> np.ndarray:
    """Spans from two columns by their names, (N, 4) int32, MISSING where neither says one.

    `lengths`: words or characters of each row, (N,); `start`: rows before these, for what an error says.
    Raises DataError naming row and column of a span that cannot be read, is empty, or ends beyond its row.
    """
    names = list(columns)
    sides = [_read_side(cells.to_pylist(), name, lengths, start) for name, cells in columns.items()]
    half = np.flatnonzero((sides[0][:, 0] < 0) != (sides[1][:, 0] < 0))
    if len(half):
        side = 0 if sides[0][half[0], 0] < 0 else 1
        raise DataError("span_missing", column=names[side], row=start + int(half[0]) + 1)
    return np.concatenate(sides, 1).astype(np.int32)


def _read_side(cells: list[Any], name: str, lengths: np.ndarray, start: int) -> np.ndarray:
    spans = np.full((len(cells), 2), -1, np.int64)
    for row, (cell, length) in enumerate(zip(cells, lengths, strict=True)):
        text = " ".join(map(str, cell)) if isinstance(cell, list) else str(cell or "")
        if not text.strip():
            continue
        match = _SPAN.fullmatch(text)
        if match is None:
            raise DataError("span_unreadable", column=name, row=start + row + 1, value=text[:60])
        first, end = int(match[1]), int(match[2])
        if not first < end <= length:
            raise DataError("span_outside", column=name, row=start + row + 1, first=first, end=end, length=int(length))
        spans[row] = first, end
    return spans


def check_labelled(labels: pa.Array, spans: np.ndarray, column: str, given: tuple[str, str] | None) -> None:
    """Every row that has a relation's label has its spans. Raises DataError naming the first that has not."""
    labelled = ~labels.is_null().to_numpy(zero_copy_only=False) if is_list(labels.type) else ~find_missing(labels)
    wrong = np.flatnonzero(labelled & (spans[:, 0] < 0))
    if len(wrong):
        where = ", ".join(given) if given else "<e1>…</e1>, <e2>…</e2>"
        raise DataError("relation_without_spans", column=column, row=int(wrong[0]) + 1, spans=where)
