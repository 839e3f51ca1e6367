"""Which rows train, which validate, which test: given by files or a column, or drawn: stratified, seeded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chain_core.config import DataConfig, InputConfig
from chain_core.data.cells import hash_rows, split_lists
from chain_core.data.labels import encode_labels, read_gold
from chain_core.data.readers import SPLIT
from chain_core.data.task import Task
from chain_core.data.text import get_column, read_texts
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


def split_rows(
    table: pa.Table, data: DataConfig, tasks: Sequence[Task], columns: InputConfig | None = None
) -> dict[str, np.ndarray]:
    """Row numbers, ascending, of "train", "validation" and, where there are any, "test".

    A given split (the column `data.split`, or SPLIT of several files) holds; only what it leaves out is drawn
    from its train rows as `data` says. Drawn rows are the same for the same seed, as evenly spread over all
    tasks' labels as can be, and no label is left without a row to train on. With `columns`, rows of equal input
    stay together, so that no row is judged by its twin.
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
    drawn = _draw(table, train, wanted, tasks, data.split_seed, columns) if wanted else {"train": train}
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
    table: pa.Table,
    rows: np.ndarray,
    fractions: dict[str, float],
    tasks: Sequence[Task],
    seed: int,
    columns: InputConfig | None,
) -> dict[str, np.ndarray]:
    """Rows by split, drawn by units: a unit is all rows of one input, or a row where that leaves a split empty."""
    taken = table.take(rows)
    alone = np.arange(len(rows))
    units = _find_units(taken, columns)
    for choice in (units, alone):
        if len(fractions) < choice.max(initial=-1) + 1:
            place = _place_units(taken, choice, fractions, tasks, seed)
            if set(place) == {*range(len(fractions) + 1)}:
                return {split: rows[place[choice] == number] for number, split in enumerate(("train", *fractions))}
    raise DataError("too_few_rows", rows=len(rows))


def _place_units(
    table: pa.Table, units: np.ndarray, fractions: dict[str, float], tasks: Sequence[Task], seed: int
) -> np.ndarray:
    """(units,) 0 for train, n for the n-th of `fractions`: systematic samples in the order of the units' labels,
    then of their sizes, shuffled among equals."""
    sizes = np.bincount(units)
    encoded = [_encode(table, task, units) for task in tasks]
    generator = np.random.default_rng(seed)
    keys = [_find_rarest(numbers, owners, classes, len(sizes)) for numbers, owners, classes in encoded]
    left = np.lexsort([generator.random(len(sizes)), sizes, *reversed(keys)])
    place = np.zeros(len(sizes), np.int64)
    for number, fraction in enumerate(fractions.values(), start=1):
        wanted = len(units) * fraction
        # An input that stands in more rows than the whole split is to have would be the split.
        fits = left[sizes[left] <= max(wanted, sizes[left].min())]
        chosen = fits[_sample(len(fits), wanted / sizes[fits].sum(), generator)] if len(fits) > 1 else fits
        place[chosen] = number
        left = left[place[left] == 0]
    for numbers, owners, classes in encoded:
        _return_missing(place, numbers, owners, classes)
    for number in range(1, len(fractions) + 1):
        if not (place == number).any():
            place[_find_spare(place, encoded)[:1]] = number
    return place


def _find_units(table: pa.Table, columns: InputConfig | None) -> np.ndarray:
    """(N,) the number of each row's unit, by first appearance: equal inputs share one, empty inputs do not.

    Every row is a unit of its own where no `columns` are given.
    """
    alone = np.arange(table.num_rows)
    if columns is None or not (columns.text or columns.tokens):
        return alone
    texts = read_texts(table, columns)
    hashes = hash_rows(texts.first)
    if texts.second is not None:
        hashes = hashes * 31 + hash_rows(texts.second)
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    return np.unique(np.where(hashes == 0, alone, first[inverse]), return_inverse=True)[1]


def _sample(count: int, fraction: float, generator: np.random.Generator) -> np.ndarray:
    """(count,) bool: every 1/fraction-th, from a random start; at least one, and one is left."""
    wanted = min(max(round(count * fraction), 1), count - 1)
    start = generator.random()
    steps = np.floor((np.arange(count + 1) * (wanted / count)) + start)
    return steps[1:] > steps[:-1]


def _encode(table: pa.Table, task: Task, units: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """(labels, the unit of each, number of classes): one entry for each label that a row bears."""
    gold = read_gold(table, task)
    owners = np.arange(len(gold))
    if task.kind == "regression":
        scores = np.asarray(encode_labels(gold, task))
        numbers = np.where(np.isnan(scores), -1, np.searchsorted(_find_edges(scores), scores))
    elif task.kind == "span":
        answers = np.asarray(encode_labels(gold, task))
        numbers = np.where(answers[:, 0] < 0, -1, answers[:, 1] > 0)
    elif task.kind in ("classification", "relation"):
        numbers = np.asarray(encode_labels(gold, task))
    else:
        items, offsets = split_lists(gold)
        space = pa.array(task.label_space, items.type)
        numbers = pc.index_in(items, value_set=space).fill_null(-1).to_numpy(zero_copy_only=False)
        owners = np.repeat(owners, np.diff(offsets))
    known = numbers >= 0
    return numbers[known].astype(np.int64), units[owners[known]], len(task.label_space) or _BINS


def _find_edges(scores: np.ndarray) -> np.ndarray:
    """What divides the scores into _BINS equal shares."""
    known = scores[~np.isnan(scores)]
    return np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(known) else known


def _find_rarest(numbers: np.ndarray, owners: np.ndarray, classes: int, units: int) -> np.ndarray:
    """(units,) of each unit the rank of its rarest label, 0 the rarest of all; `classes` where it has none."""
    ranks = np.empty(classes, np.int64)
    ranks[np.argsort(np.bincount(numbers, minlength=classes), kind="stable")] = np.arange(classes)
    key = np.full(units, classes, np.int64)
    np.minimum.at(key, owners, ranks[numbers])
    return key


def _return_missing(place: np.ndarray, numbers: np.ndarray, owners: np.ndarray, classes: int) -> None:
    """Move to train one unit of each class that has none there."""
    trained = np.zeros(classes, bool)
    trained[numbers[place[owners] == 0]] = True
    labels, first = np.unique(numbers, return_index=True)
    place[owners[first[~trained[labels]]]] = 0


def _find_spare(place: np.ndarray, encoded: Sequence[tuple[np.ndarray, np.ndarray, int]]) -> np.ndarray:
    """Train units whose labels all stand in another train unit too."""
    spare = place == 0
    for numbers, owners, classes in encoded:
        # Each label of a unit once, however often its rows bear it.
        once = np.unique(owners * classes + numbers)
        owners, numbers = once // classes, once % classes
        trains = place[owners] == 0
        counts = np.bincount(numbers[trains], minlength=classes)
        spare[owners[trains & (counts[numbers] == 1)]] = False
    return np.flatnonzero(spare)
