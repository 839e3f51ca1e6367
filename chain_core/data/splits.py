"""Which rows train, which validate, which test: given by files or a column, or drawn: stratified, seeded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chain_core.config import DataConfig
from chain_core.data.cells import split_lists
from chain_core.data.labels import encode_labels, read_gold
from chain_core.data.readers import SPLIT
from chain_core.data.task import Task
from chain_core.data.text import get_column
from chain_core.errors import DataError

SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {
    "train": ("train", "training", "trn", "tr"),
    "validation": ("validation", "valid", "val", "dev", "development", "eval"),
    "test": ("test", "testing", "tst"),
}
_BINS = 10  # into which scores are sorted to be stratified


def name_split(value: str | None) -> str | None:
    """The split that a cell or a file's name means, or None."""
    value = (value or "").strip().lower()
    return next((split for split, names in SPLIT_NAMES.items() if value in names), None)


def split_rows(table: pa.Table, data: DataConfig, tasks: Sequence[Task]) -> dict[str, np.ndarray]:
    """Row numbers, ascending, of "train", "validation" and, where there are any, "test".

    A given split (the column `data.split`, or SPLIT of several files) holds; only what it leaves out is drawn
    from its train rows as `data` says. Drawn rows are the same for the same seed, as evenly spread over all
    tasks' labels as can be, and no label is left without a row to train on.
    """
    given = _read_given(table, data)
    train = given.get("train", np.arange(table.num_rows) if not given else np.zeros(0, np.int64))
    if not len(train):
        raise DataError("no_train_rows")
    wanted = {
        split: fraction
        for split in ("test", "validation")
        if split not in given and isinstance(fraction := getattr(data, split), float)
    }
    drawn = _draw(table, train, wanted, tasks, data.split_seed) if wanted else {"train": train}
    rows = {**given, **drawn}
    return {split: rows[split] for split in SPLITS if split in rows}


def _read_given(table: pa.Table, data: DataConfig) -> dict[str, np.ndarray]:
    """Rows of each split that a column names. A row with an empty cell trains."""
    name = data.split or (SPLIT if SPLIT in table.column_names else None)
    if name is None:
        return {}
    coded = pc.dictionary_encode(get_column(table, name).fill_null(""))
    splits = []
    for value in coded.dictionary.to_pylist():
        split = name_split(value) if value.strip() else "train"
        if split is None:
            raise DataError("split_value", column=name, value=value[:60])
        splits.append(SPLITS.index(split))
    numbers = np.array(splits, np.int64)[coded.indices.to_numpy(zero_copy_only=False)]
    return {split: rows for place, split in enumerate(SPLITS) if len(rows := np.flatnonzero(numbers == place))}


def _draw(
    table: pa.Table, rows: np.ndarray, fractions: dict[str, float], tasks: Sequence[Task], seed: int
) -> dict[str, np.ndarray]:
    """Systematic samples along the rows in the order of their labels, shuffled among equals."""
    if len(rows) <= len(fractions):
        raise DataError("too_few_rows", rows=len(rows))
    taken = table.take(rows)
    encoded = [_encode(taken, task) for task in tasks]
    generator = np.random.default_rng(seed)
    keys = [_find_rarest(numbers, owners, classes, len(rows)) for numbers, owners, classes in encoded]
    order = np.lexsort([generator.random(len(rows)), *reversed(keys)])
    place = np.zeros(len(rows), np.int64)  # 0: train
    left, share = order, 1.0
    for number, fraction in enumerate(fractions.values(), start=1):
        chosen = _sample(len(left), fraction / share, generator)
        place[left[chosen]] = number
        left, share = left[~chosen], share - fraction
    for numbers, owners, classes in encoded:
        _return_missing(place, numbers, owners, classes)
    for number in range(1, len(fractions) + 1):
        if not (place == number).any():
            place[_find_spare(place, encoded)[:1]] = number
    drawn = {split: rows[place == number] for number, split in enumerate(("train", *fractions))}
    empty = next((split for split, chosen in drawn.items() if not len(chosen)), None)
    if empty:
        raise DataError("too_few_rows", rows=len(rows))
    return drawn


def _sample(count: int, fraction: float, generator: np.random.Generator) -> np.ndarray:
    """(count,) bool: every 1/fraction-th, from a random start; at least one, and one is left."""
    wanted = min(max(round(count * fraction), 1), count - 1)
    start = generator.random()
    steps = np.floor((np.arange(count + 1) * (wanted / count)) + start)
    return steps[1:] > steps[:-1]


def _encode(table: pa.Table, task: Task) -> tuple[np.ndarray, np.ndarray, int]:
    """(labels, the row of each, number of classes): one entry for each label that a row bears."""
    gold = read_gold(table, task)
    owners = np.arange(len(gold))
    if task.kind == "regression":
        scores = np.asarray(encode_labels(gold, task))
        numbers = np.where(np.isnan(scores), -1, np.searchsorted(_find_edges(scores), scores))
    elif task.kind == "classification":
        numbers = np.asarray(encode_labels(gold, task))
    else:
        items, offsets = split_lists(gold)
        space = pa.array(task.label_space, items.type)
        numbers = pc.index_in(items, value_set=space).fill_null(-1).to_numpy(zero_copy_only=False)
        owners = np.repeat(owners, np.diff(offsets))
    known = numbers >= 0
    return numbers[known].astype(np.int64), owners[known], len(task.label_space) or _BINS


def _find_edges(scores: np.ndarray) -> np.ndarray:
    """What divides the scores into _BINS equal shares."""
    known = scores[~np.isnan(scores)]
    return np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(known) else known


def _find_rarest(numbers: np.ndarray, owners: np.ndarray, classes: int, rows: int) -> np.ndarray:
    """(rows,) of each row the rank of its rarest label, 0 the rarest of all; `classes` where it has none."""
    ranks = np.empty(classes, np.int64)
    ranks[np.argsort(np.bincount(numbers, minlength=classes), kind="stable")] = np.arange(classes)
    key = np.full(rows, classes, np.int64)
    np.minimum.at(key, owners, ranks[numbers])
    return key


def _return_missing(place: np.ndarray, numbers: np.ndarray, owners: np.ndarray, classes: int) -> None:
    """Move to train one row of each class that has none there."""
    trained = np.zeros(classes, bool)
    trained[numbers[place[owners] == 0]] = True
    labels, first = np.unique(numbers, return_index=True)
    place[owners[first[~trained[labels]]]] = 0


def _find_spare(place: np.ndarray, encoded: Sequence[tuple[np.ndarray, np.ndarray, int]]) -> np.ndarray:
    """Train rows whose labels all stand in another train row too."""
    spare = place == 0
    for numbers, owners, classes in encoded:
        trains = place[owners] == 0
        counts = np.bincount(numbers[trains], minlength=classes)
        spare[owners[trains & (counts[numbers] == 1)]] = False
    return np.flatnonzero(spare)
