"""Several data sets as one long table."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from chain_core.config import InputConfig
from chain_core.data.rows import RowSet, join_gold, join_splits, take_texts
from chain_core.data.task import Task
from chain_core.data.text import Texts

TOKENS = Texts("tokens", pa.array([["turn", "on"], ["stop", "the", "music"]], pa.list_(pa.string())))
TEXTS = Texts("text", pa.array(["good day", "red", "a b c"], pa.string()))
PAIRS = Texts("pair", pa.array(["the light"], pa.string()), pa.array(["off"], pa.string()))


def make_set(name: str, texts: Texts, task: Task, cells: list[str | None], **splits: list[int]) -> RowSet:
    chosen = {split: np.array(rows) for split, rows in splits.items()}
    table = pa.table({"column": pa.array(cells, pa.string())})
    return RowSet(name, name, InputConfig(text="text"), table, texts, (task,), chosen)


FIRST, SECOND = Task("a", "classification", "column", ("x",)), Task("b", "regression", "column")
SETS = (
    make_set("", TOKENS, FIRST, ["x", None], train=[0], validation=[1]),
    make_set("two", TEXTS, SECOND, ["1", "2", None], train=[0, 2], test=[1]),
)


def test_splits_and_gold_count_on() -> None:
    assert {name: rows.tolist() for name, rows in join_splits(SETS).items()} == {
        "train": [0, 2, 4], "validation": [1], "test": [3],
    }  # fmt: skip
    gold = join_gold(
        SETS, [Task("a", "classification", "c"), Task("b", "regression", "c"), Task("lm", "causal_lm", "")]
    )
    assert gold["a"].to_pylist() == ["x", None, None, None, None]
    assert gold["b"].to_pylist() == [None, None, 1, 2, None]
    assert set(gold) == {"a", "b"}


@given(st.permutations(range(6)), st.integers(1, 6))
def test_columns_of_any_rows_in_any_order(order: list[int], count: int) -> None:
    columns = take_texts((TOKENS, TEXTS, PAIRS), np.array(order[:count]))
    whole = {
        "text": ["turn on", "stop the music", "good day", "red", "a b c", "the light"],
        "tokens": [["turn", "on"], ["stop", "the", "music"], None, None, None, None],
        "pair": [None] * 5 + ["off"],
    }
    assert {name: cells.to_pylist() for name, cells in columns.items()} == {
        name: [cells[row] for row in order[:count]] for name, cells in whole.items()
    }


def test_one_set_has_its_own_columns_only() -> None:
    assert set(take_texts((TEXTS,), np.array([0]))) == {"text"}
    assert list(take_texts((TOKENS,), np.array([0]))) == ["tokens", "text"]
