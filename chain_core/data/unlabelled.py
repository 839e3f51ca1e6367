"""Rows without labels, for the stages that learn the texts themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chain_core.config import DataConfig, InputConfig
from chain_core.data.encodings import detect_encoding
from chain_core.data.store import load_data_set, open_rows
from chain_core.data.text import Texts, read_texts
from chain_core.errors import DataError
from chain_core.paths import place_path

HELD_OUT = 0.1
MOST_HELD_OUT = 2000
"""Rows that judge a stage; more would only take time."""


def read_unlabelled(source: str, folder: Path, columns: InputConfig, check: Callable[[], None] = lambda: None) -> Texts:
    """The texts of a source: a `.txt` file, one text a line, or any table with the same input columns.

    A table need not have the pair's second column. Raises DataError where it lacks the first, or has no text at all.
    `check` as in `open_rows`.
    """
    path = place_path(source, folder)
    if path.suffix.lower() == ".txt":
        texts = Texts("text", pa.array(_read_lines(path), pa.string()))
    else:
        _, table = open_rows(DataConfig(train=source), folder, check)
        if columns.pair not in table.column_names:
            columns = columns.model_copy(update={"pair": None})
        texts = read_texts(table, columns)
    if len(texts) < 2:
        raise DataError("too_few_rows", rows=len(texts))
    return texts


def check_source(source: str, folder: Path) -> None:
    """Raises DataError where a source is neither there nor a stored data set's name; reads no row."""
    path = place_path(source, folder)
    if os.path.exists(path):
        return
    if path.suffix.lower() == ".txt":
        raise DataError("file_missing", path=str(path))
    load_data_set(source)


def _read_lines(path: Path) -> list[str]:
    """The lines that are not blank, without white space around."""
    if not os.path.isfile(path):
        raise DataError("file_missing", path=str(path))
    try:
        text = path.read_text(encoding=detect_encoding(path, path.name))
    except OSError as error:
        raise DataError("file_unreadable", name=path.name, reason=error.strerror or str(error)) from None
    return [stripped for line in text.removeprefix("\ufeff").splitlines() if (stripped := line.strip())]


def hold_out(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Split -> row numbers: a tenth of the rows, at most MOST_HELD_OUT, judges the others."""
    count = min(max(round(rows * HELD_OUT), 1), MOST_HELD_OUT)
    order = np.random.default_rng(seed).permutation(rows)
    return {"train": np.sort(order[count:]), "validation": np.sort(order[:count]), "test": np.zeros(0, np.int64)}


@dataclass(frozen=True)
class Sentences:
    """Pairs of texts, half of them true."""

    texts: Texts
    follows: np.ndarray
    """(2M,) int64: 1 where the second text belongs to the first, else 0."""
    splits: dict[str, np.ndarray]


def pair_sentences(parts: Sequence[Texts], splits: dict[str, np.ndarray], seed: int) -> Sentences:
    """Each text with the one after it in its file, and with another one; rows that are pairs with their own second
    text, and with another row's. What stands in no file (changed copies, samples) is left out.

    `splits`, "train" and "validation", count over all parts. What one trains on are train rows alone; the text after a
    validation row may be a train row. Raises DataError where there is nothing to pair.
    """
    random = np.random.default_rng(seed)
    firsts, seconds = [], []
    for part in parts:
        first = _join_words(part)
        firsts.append(first)
        seconds.append(part.second if part.second is not None else pa.concat_arrays([first[1:], first[:1]]))
    first, second = pa.concat_arrays(firsts), pa.concat_arrays(seconds)
    filled = pc.and_(pc.greater(pc.utf8_length(first), 0), pc.greater(pc.utf8_length(second), 0))
    usable = filled.to_numpy(zero_copy_only=False)
    left, right, follows, chosen = [], [], [], {}
    start, files = 0, _number_files(parts)
    paired = np.concatenate([np.full(len(part), part.second is not None) for part in parts])
    for split, rows in splits.items():
        known = splits["train"] if split == "train" else np.concatenate(list(splits.values()))
        rows = rows[usable[rows] & (files[rows] >= 0) & (paired[rows] | _is_followed(files, rows, known))]
        if len(rows) < 2:
            chosen[split] = np.zeros(0, np.int64)
            continue
        others = np.roll(rows, int(random.integers(1, len(rows))))
        left += [rows, rows]
        right += [rows, others]
        follows += [np.ones(len(rows), np.int64), np.zeros(len(rows), np.int64)]
        chosen[split] = start + np.arange(2 * len(rows))
        start += 2 * len(rows)
    if not len(chosen["train"]) or not len(chosen["validation"]):
        raise DataError("nothing_to_pair")
    texts = Texts("pair", first.take(pa.array(np.concatenate(left))), second.take(pa.array(np.concatenate(right))))
    return Sentences(texts, np.concatenate(follows), chosen)


def _join_words(part: Texts) -> pa.Array:
    if part.kind != "tokens":
        return part.first
    return pa.array([" ".join(words) for words in part.first.to_pylist()], pa.string())


def _number_files(parts: Sequence[Texts]) -> np.ndarray:
    """(N,) int64: a number for the file of each row, no two parts sharing one; -1 where it stands in none."""
    numbers, start = [], 0
    for part in parts:
        files = np.zeros(len(part), np.int64) if part.files is None else part.files
        numbers.append(np.where(files < 0, -1, files + start))
        start += int(files.max(initial=0)) + 1
    return np.concatenate(numbers)


def _is_followed(files: np.ndarray, rows: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Whether the row after each of the rows stands in the same file and is one of those known."""
    after = np.minimum(rows + 1, len(files) - 1)
    return np.isin(rows + 1, known) & (files[after] == files[rows])
