"""What a table holds, counted before anything is trained: lengths, labels, gaps, twins, leaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chain_core.config import InputConfig
from chain_core.data.cells import combine, find_missing, is_list, split_lists, to_text
from chain_core.data.readers import SPLIT
from chain_core.data.schema import Task
from chain_core.data.splits import name_split
from chain_core.data.task import Column
from chain_core.data.text import read_texts

LENGTH_ROWS = 10_000
"""Texts whose lengths are counted, evenly taken from the table."""
Counter = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Profile:
    """Counts over the rows of one table.

    lengths     (≤ LENGTH_ROWS,) int: tokens, or words where no counter was given, of each sampled text
    unit        "tokens" or "words"
    missing     column -> rows without a value, of the columns that have a role
    duplicates  rows whose text stands in an earlier row too
    leaks       rows of validation or test whose text stands in train too; None without given splits
    splits      split -> rows; empty without given splits
    labels      task -> label -> count, the most frequent first
    scores      task -> (≤ LENGTH_ROWS,) float32 of a regression task
    """

    rows: int
    lengths: np.ndarray
    unit: str
    missing: Mapping[str, int]
    duplicates: int
    leaks: int | None
    splits: Mapping[str, int]
    labels: Mapping[str, Mapping[str, int]]
    scores: Mapping[str, np.ndarray]


def compute_profile(
    table: pa.Table,
    columns: Sequence[Column],
    count_tokens: Counter | None = None,
    gold: Mapping[str, tuple[Task, pa.Array]] | None = None,
) -> Profile:
    """Count everything. `gold`: task name -> its task and gold labels, as `read_gold` gives them."""
    texts = _join_texts(table, columns)
    splits = _read_splits(table, columns)
    codes = texts.dictionary_encode().indices.to_numpy(zero_copy_only=False) if texts is not None else None
    lengths, unit = _count_lengths(texts, count_tokens)
    counted = {name: (task, array) for name, (task, array) in (gold or {}).items()}
    return Profile(
        rows=table.num_rows,
        lengths=lengths,
        unit=unit,
        missing=_count_missing(table, columns),
        duplicates=0 if codes is None else len(codes) - len(np.unique(codes)),
        leaks=None if codes is None or splits is None else _count_leaks(codes, splits),
        splits={} if splits is None else _count_splits(splits),
        labels={n: count_labels(array) for n, (task, array) in counted.items() if task.kind != "regression"},
        scores={n: _sample(array) for n, (task, array) in counted.items() if task.kind == "regression"},
    )


def count_labels(gold: pa.Array) -> dict[str, int]:
    """Label -> how often it stands, the most frequent first."""
    labels = split_lists(gold)[0] if is_list(gold.type) else gold
    counted = pc.value_counts(labels.drop_null())
    pairs = zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True)
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def _join_texts(table: pa.Table, columns: Sequence[Column]) -> pa.Array | None:
    """(N,) the whole input of each row as one text; None where no column is read."""
    roles = {column.role: column.name for column in reversed(columns)}
    if "tokens" in roles:
        read = read_texts(table, InputConfig(tokens=roles["tokens"]))
    elif "text" in roles:
        read = read_texts(table, InputConfig(text=roles["text"], pair=roles.get("pair")))
    else:
        return None
    first = to_text(read.first)
    return first if read.second is None else pc.binary_join_element_wise(first, read.second, " ")


def _read_splits(table: pa.Table, columns: Sequence[Column]) -> np.ndarray | None:
    """(N,) text: each row's split; None where no column names it."""
    name = next((column.name for column in columns if column.role == "split"), None)
    name = name or (SPLIT if SPLIT in table.column_names else None)
    if name is None or name not in table.column_names:
        return None
    coded = to_text(combine(table[name])).dictionary_encode()
    named = np.array([name_split(value) or "train" for value in coded.dictionary.to_pylist()])
    return named[coded.indices.to_numpy(zero_copy_only=False)]


def _count_splits(splits: np.ndarray) -> dict[str, int]:
    return {split: int((splits == split).sum()) for split in ("train", "validation", "test") if (splits == split).any()}


def _count_leaks(codes: np.ndarray, splits: np.ndarray) -> int:
    trained = np.unique(codes[splits == "train"])
    return int(np.isin(codes[splits != "train"], trained).sum())


def _count_missing(table: pa.Table, columns: Sequence[Column]) -> dict[str, int]:
    used = [column for column in columns if column.role not in ("ignore", "split")]
    return {column.name: int(find_missing(combine(table[column.name])).sum()) for column in used}


def _count_lengths(texts: pa.Array | None, count_tokens: Counter | None) -> tuple[np.ndarray, str]:
    if texts is None or not len(texts):
        return np.zeros(0, np.int64), "words"
    rows = np.unique(np.linspace(0, len(texts) - 1, min(len(texts), LENGTH_ROWS)).astype(np.int64))
    sample = texts.take(pa.array(rows)).to_pylist()
    if count_tokens is None:
        return np.array([len(text.split()) for text in sample]), "words"
    return np.asarray(count_tokens(sample)), "tokens"


def _sample(scores: pa.Array) -> np.ndarray:
    known = scores.drop_null().to_numpy(zero_copy_only=False)
    return known[:: max(1, len(known) // LENGTH_ROWS)][:LENGTH_ROWS]
