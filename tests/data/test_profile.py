"""The profile counts what a person would count by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from chain_core.config import HeadConfig
from chain_core.data.labels import read_gold
from chain_core.data.profile import compute_profile
from chain_core.data.schema import Column, build_tasks

TABLE = pa.table(
    {
        "text": ["one two", "three", "one two", "", "five six seven", "one two"],
        "label": ["a", "b", "a", "a", None, ""],
        "score": ["1", "2", "3", "", "5", "6"],
        "tags": ["O B-x", "O", "O O", None, "O O O", "B-x I-x"],
        "part": ["train", "train", "train", "dev", "test", "test"],
    }
)
ROLES = {"text": "text", "label": "label", "score": "score", "tags": "tags", "part": "split"}
COLUMNS = [Column(name, role, "text") for name, role in ROLES.items()]
HEADS = {
    "label": HeadConfig(kind="classification", column="label"),
    "score": HeadConfig(kind="regression", column="score"),
    "tags": HeadConfig(kind="tagging", column="tags"),
}


def profile(columns=COLUMNS, **options):
    gold = {task.name: (task, read_gold(TABLE, task)) for task in build_tasks(TABLE, HEADS)}
    return compute_profile(TABLE, columns, gold=gold, **options)


def test_counts():
    found = profile()
    assert found.rows == 6
    assert found.duplicates == 2
    assert found.leaks == 1
    assert dict(found.splits) == {"train": 3, "validation": 1, "test": 2}
    assert dict(found.missing) == {"text": 1, "label": 2, "score": 1, "tags": 1}
    assert found.labels["label"] == {"a": 3, "b": 1}
    assert list(found.labels["tags"].items()) == [("O", 7), ("B-x", 2), ("I-x", 1)]
    assert found.scores["score"].tolist() == [1, 2, 3, 5, 6]
    assert (found.unit, found.lengths.tolist()) == ("words", [2, 1, 2, 0, 3, 2])


def test_lengths_in_tokens():
    found = profile(count_tokens=lambda texts: np.array([len(text) for text in texts]))
    assert (found.unit, found.lengths.tolist()) == ("tokens", [7, 5, 7, 0, 14, 7])


def test_without_splits_or_text_nothing_is_invented():
    found = profile([Column("label", "label", "text")])
    assert found.leaks is None
    assert (found.duplicates, len(found.lengths), dict(found.splits)) == (0, 0, {})


def test_pairs_are_twins_only_together():
    table = pa.table({"a": ["x", "x", "x"], "b": ["1", "2", "1"]})
    found = compute_profile(table, [Column("a", "text", "text"), Column("b", "pair", "text")])
    assert found.duplicates == 1
