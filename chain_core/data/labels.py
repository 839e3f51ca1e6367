"""Label columns: what the file says -> gold labels -> numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chain_core.data.answers import encode_answers, read_answers
from chain_core.data.cells import MISSING, combine, find_missing, is_list, join_lists, split_lists, to_lists
from chain_core.data.task import Task
from chain_core.data.text import get_column
from chain_core.errors import DataError

PART_ROWS = 65_536
"""Rows that are read at a time: what is made on the way stays small."""
SEPARATORS = (";", "|", ",", "/", "+")
_SCHEME = re.compile(r"(?:O|([BIESLU])-(.+))$", re.DOTALL)
_BEGIN = {"B": "B", "S": "B", "U": "B", "I": "I", "E": "I", "L": "I"}


def read_gold(table: pa.Table, task: Task) -> pa.Array:
    """The gold labels (N,): text, list of text, float32 or answers by the task's kind; null where missing."""
    if task.kind == "span":
        return read_answers(table, task)
    column = get_column(table, task.column)
    if task.kind in ("classification", "relation"):
        return read_classes(column, task.column)
    if task.kind == "multilabel":
        return read_label_lists(column, task.separator)
    if task.kind == "regression":
        return read_scores(column, task.column)
    return read_tags(column, is_bio(task.label_space))[0]


def encode_labels(gold: pa.Array, task: Task) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Gold labels as numbers, rows (N,), classes K.

    classification  int32 (N,), -1 where missing or not in the label space; relation as well
    multilabel      float32 (N, K) of 0 and 1, a missing row all NaN
    regression      float32 (N,), NaN where missing
    span            int64 (N, 2), what `data.answers.encode_answers` gives
    tagging         (int32 of all words, offsets int64 (N+1,)); a missing row has length 0, unseen tags are -1
    """
    if task.kind == "regression":
        return gold.fill_null(float("nan")).to_numpy(zero_copy_only=False).astype(np.float32)
    if task.kind == "span":
        return encode_answers(gold)
    if task.kind in ("classification", "relation"):
        return _find_numbers(gold, task.label_space)
    items, offsets = split_lists(gold)
    numbers = _find_numbers(items, task.label_space)
    if task.kind == "tagging":
        return numbers, offsets
    encoded = np.zeros((len(gold), len(task.label_space)), np.float32)
    rows = np.repeat(np.arange(len(gold)), np.diff(offsets))
    known = numbers >= 0
    encoded[rows[known], numbers[known]] = 1
    encoded[gold.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return encoded


def read_classes(column: pa.Array, name: str) -> pa.Array:
    """One label a row, null where missing. A list may hold one label; DataError where it holds more."""
    if is_list(column.type):
        items, offsets = split_lists(column)
        lengths = np.diff(offsets)
        if len(many := np.flatnonzero(lengths > 1)):
            raise DataError("label_is_list", column=name, row=int(many[0]) + 1, count=int(lengths[many[0]]))
        places = pa.array(offsets[:-1], mask=lengths == 0)
        column = items.take(places)
    return _clean(column)


def read_label_lists(column: pa.Array, separator: str | None) -> pa.Array:
    """A list of labels a row, each once. An empty list means none of them; an empty text means missing."""
    if is_list(column.type):
        missing, lists = find_missing(column), column
    else:
        missing = find_missing(column)
        lists = pc.split_pattern(column, separator) if separator else _wrap(column)
    items, offsets = split_lists(lists)
    items = _clean(items)
    rows = np.repeat(np.arange(len(column)), np.diff(offsets))
    codes = pc.dictionary_encode(items).indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    pairs = rows * (int(codes.max(initial=0)) + 1) + codes
    first = np.zeros(len(items), bool)
    first[np.unique(pairs, return_index=True)[1]] = True
    keep = first & (codes >= 0) & ~missing[rows]
    counts = np.bincount(rows[keep], minlength=len(column))
    ends = np.concatenate([[0], np.cumsum(counts)])
    return join_lists(items.filter(pa.array(keep)), ends, missing)


def find_separator(column: pa.Array) -> str | None:
    """What stands between several labels of one cell: the separator whose parts recur most; None for none."""
    cells = column.filter(pa.array(~find_missing(column)))
    whole = pc.count_distinct(cells).as_py()
    for separator in SEPARATORS:
        share = pc.mean(pc.match_substring(cells, separator)).as_py() or 0
        if share > 0.02:
            parts = pc.count_distinct(pc.utf8_trim_whitespace(pc.split_pattern(cells, separator).flatten()))
            if parts.as_py() <= whole:
                return separator
    return None


def read_scores(column: pa.Array, name: str) -> pa.Array:
    """float32 (N,), null where missing. Raises DataError naming the first cell that is no finite number."""
    if is_list(column.type):
        raise DataError("score_is_list", column=name)
    clean = _clean(column)
    try:
        numbers = clean.cast(pa.float64())
    except pa.ArrowInvalid:
        numbers = pa.array([_parse_number(cell, row, name) for row, cell in enumerate(clean.to_pylist())],
                           pa.float64())  # fmt: skip
    single = numbers.cast(pa.float32(), safe=False)
    if len(wrong := np.flatnonzero(pc.invert(pc.is_finite(single)).fill_null(False))):
        row = int(wrong[0])
        raise DataError("not_numbers", column=name, row=row + 1, value=str(clean[row])[:60])
    return single


def read_tags(column: pa.Array, scheme: bool | None = None) -> tuple[pa.Array, int, bool]:
    """(tags a row, how many were repaired, whether another scheme was turned into BIO).

    Where the tags are BIO (found from them if `scheme` is None), an I-x that continues nothing begins: B-x;
    BIOES and BILOU become BIO. Other tags stay as they are. Null where missing or empty.
    """
    if scheme is None:
        scheme = has_scheme(_list_tags(column))
    parts = [_read_tags(column.slice(start, PART_ROWS), scheme) for start in range(0, max(len(column), 1), PART_ROWS)]
    lists = [tags for tags, _, _ in parts]
    tags = pa.concat_arrays(lists) if len({part.type for part in lists}) == 1 else combine(pa.chunked_array(lists))
    return tags, sum(repaired for _, repaired, _ in parts), any(converted for _, _, converted in parts)


def _list_tags(column: pa.Array) -> list[str]:
    """The different tags of all rows."""
    names: dict[str, None] = {}
    for start in range(0, len(column), PART_ROWS):
        items, _ = split_lists(to_lists(column.slice(start, PART_ROWS)))
        names.update(dict.fromkeys(pc.unique(pc.utf8_trim_whitespace(items)).to_pylist()))
    return list(names)


def _read_tags(column: pa.Array, scheme: bool) -> tuple[pa.Array, int, bool]:
    """As `read_tags`, of some of the rows."""
    lists = to_lists(column)
    items, offsets = split_lists(lists)
    items = pc.utf8_trim_whitespace(items)
    missing = np.diff(offsets) == 0
    coded = pc.dictionary_encode(items)
    names = coded.dictionary.to_pylist()
    if not scheme:
        return join_lists(items, offsets, missing), 0, False
    prefixes, types = zip(*[_split_tag(name) for name in names], strict=True) if names else ((), ())
    converted = any(prefix in "ESLU" for prefix in prefixes if prefix)
    codes = coded.indices.to_numpy(zero_copy_only=False)
    kinds = _number(types)[codes] if names else np.zeros(0, np.int64)
    inside = np.array([_BEGIN.get(prefix) == "I" for prefix in prefixes], bool)[codes]
    entity = np.array([bool(prefix) for prefix in prefixes], bool)[codes]
    continues = np.zeros(len(codes), bool)
    continues[1:] = entity[:-1] & (kinds[1:] == kinds[:-1])
    continues[offsets[:-1][~missing]] = False
    wrong = inside & ~continues
    plain = [_BEGIN[prefix] + "-" + kind if prefix else name
             for name, prefix, kind in zip(names, prefixes, types, strict=True)]  # fmt: skip
    begun = ["B-" + kind if prefix else name
             for name, prefix, kind in zip(names, prefixes, types, strict=True)]  # fmt: skip
    mended = pa.array(plain + begun, pa.string()).take(pa.array(np.where(wrong, codes + len(names), codes)))
    return join_lists(mended, offsets, missing), int(wrong.sum()), converted


def order_labels(labels: Iterable[str], kind: str) -> tuple[str, ...]:
    """A label space in its order: sorted, of tags "O" first."""
    return tuple(sorted(labels, key=lambda label: (label != "O" or kind != "tagging", label)))


def is_bio(label_space: Sequence[str]) -> bool:
    """Whether tags of this space are O, B-x, I-x, and so must follow BIO's rule."""
    return has_scheme(label_space) and all(_split_tag(name)[0] in ("", "B", "I") for name in label_space)


def has_scheme(names: Sequence[str]) -> bool:
    """Whether all tags are O or carry a prefix of BIO, BIOES or BILOU, and one at least does."""
    matches = [_SCHEME.match(name) for name in names if name]
    return all(matches) and any(match and match.group(1) for match in matches)


def _split_tag(name: str) -> tuple[str, str]:
    match = _SCHEME.match(name or "")
    return (match.group(1) or "", match.group(2) or "") if match else ("", "")


def _number(names: Sequence[str]) -> np.ndarray:
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.array([places[name] for name in names], np.int64)


def _clean(cells: pa.Array) -> pa.Array:
    """Without white space around, null where missing."""
    trimmed = pc.utf8_trim_whitespace(cells)
    absent = pc.is_in(trimmed, value_set=pa.array(MISSING, trimmed.type), skip_nulls=True)
    return pc.if_else(absent, pa.scalar(None, trimmed.type), trimmed)


def _wrap(column: pa.Array) -> pa.Array:
    offsets = np.arange(len(column) + 1, dtype=np.int64)
    return join_lists(column, offsets, np.zeros(len(column), bool))


def _find_numbers(labels: pa.Array, label_space: Sequence[str]) -> np.ndarray:
    """(N,) int32 places in the label space, -1 where missing or elsewhere; a part at a time, which holds less."""
    space = pa.array(label_space, labels.type)
    numbers = np.empty(len(labels), np.int32)
    for start in range(0, len(labels), PART_ROWS):
        part = labels.slice(start, PART_ROWS)
        found = pc.index_in(part, value_set=space, skip_nulls=True)
        numbers[start : start + len(part)] = found.fill_null(-1).to_numpy(zero_copy_only=False)
    return numbers


def _parse_number(cell: str | None, row: int, name: str) -> float | None:
    if cell is None:
        return None
    try:
        return float(cell.replace("_", "x"))
    except ValueError:
        raise DataError("not_numbers", column=name, row=row + 1, value=cell[:60]) from None
