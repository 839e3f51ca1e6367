"""Splits are given or drawn: seeded, stratified, and every label keeps a row to train on."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_core.config import DataConfig, HeadConfig
from chain_core.data.schema import build_tasks
from chain_core.data.splits import split_rows
from chain_core.data.store import SPLIT
from chain_core.errors import DataError

KINDS = {"c": "classification", "m": "multilabel", "r": "regression", "t": "tagging"}


def split(table: pa.Table, columns: str = "c", **data):
    heads = {name: HeadConfig(kind=KINDS[name], column=name) for name in columns}
    return split_rows(table, DataConfig(train="x", **data), build_tasks(table, heads))


def test_fractions_are_stratified_over_all_tasks():
    generator = np.random.default_rng(0)
    count = 2000
    classes = generator.choice(["a", "b", "c"], count, p=[0.7, 0.25, 0.05])
    table = pa.table(
        {
            "c": classes,
            "m": [["x", "y"] if number % 10 == 0 else ["x"] for number in generator.permutation(count)],
            "r": generator.random(count).astype(str),
            "t": ["B-q O" if number % 20 == 0 else "O O" for number in generator.permutation(count)],
        }
    )
    rows = split(table, "cmrt", validation=0.1, test=0.2)
    assert {name: len(chosen) for name, chosen in rows.items()} == {"train": 1400, "validation": 200, "test": 400}
    assert sorted(np.concatenate(list(rows.values()))) == list(range(count))
    for name, chosen in rows.items():
        assert (np.diff(chosen) > 0).all()
        shares = Counter(classes[chosen])
        for label, share in Counter(classes).items():
            assert shares[label] / len(chosen) == pytest.approx(share / count, abs=0.012), name
    assert len(rows["validation"]) * 0.1 == pytest.approx(
        sum(len(table["m"][int(row)]) == 2 for row in rows["validation"]), abs=4
    )


def test_the_seed_decides():
    table = pa.table({"c": ["a", "b"] * 50})
    first, again, other = (split(table, split_seed=seed)["validation"].tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_rare_class_stays_among_the_rows_to_train_on():
    table = pa.table({"c": ["a"] * 20 + ["b"] * 20 + ["only"]})
    for seed in range(20):
        assert 40 in split(table, validation=0.3, test=0.3, split_seed=seed)["train"]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("xyz"), max_size=3)), min_size=6, max_size=60
    ),
    st.floats(0.05, 0.45),
    st.floats(0.05, 0.45),
    st.integers(0, 5),
)
def test_every_label_is_trained_on_and_every_row_used_once(cells, validation, test, seed):
    if len({label for label, _ in cells}) < 2 or len(cells) < 20:
        cells = cells + [(label, ["x"]) for label in "ab" * 10]
    table = pa.table({"c": [label for label, _ in cells], "m": pa.array([m for _, m in cells], pa.list_(pa.string()))})
    columns = "cm" if any(m for _, m in cells) else "c"
    rows = split(table, columns, validation=validation, test=test, split_seed=seed)
    assert sorted(np.concatenate(list(rows.values()))) == list(range(len(cells)))
    assert {cells[row][0] for row in rows["train"]} == {label for label, _ in cells}
    assert {m for row in rows["train"] for m in cells[row][1]} == {m for _, ms in cells for m in ms}


def test_a_split_column_holds():
    table = pa.table({"c": ["a", "b"] * 4, "part": ["train", "Train", "dev", "test", "", None, "valid", "testing"]})
    rows = split(table, split="part", validation=0.5, test=0.5)
    assert {name: chosen.tolist() for name, chosen in rows.items()} == {
        "train": [0, 1, 4, 5], "validation": [2, 6], "test": [3, 7],
    }  # fmt: skip


def test_what_given_splits_leave_out_is_drawn_from_their_train_rows():
    table = pa.table({"c": ["a", "b"] * 10, SPLIT: ["train"] * 16 + ["test"] * 4})
    rows = split(table, validation=0.25)
    assert rows["test"].tolist() == [16, 17, 18, 19]
    assert len(rows["validation"]) == 4
    assert rows["validation"].max() < 16


@pytest.mark.parametrize(("cells", "code"), [(["train", "trian"], "split_value"), (["test", "dev"], "no_train_rows")])
def test_split_columns_that_cannot_be(cells, code):
    with pytest.raises(DataError) as caught:
        split(pa.table({"c": ["a", "b"], "part": cells}), split="part")
    assert caught.value.code == code


def test_too_few_rows():
    with pytest.raises(DataError) as caught:
        split(pa.table({"c": ["a", "b"]}), validation=0.3, test=0.3)
    assert caught.value.code == "too_few_rows"


def test_a_million_rows_without_a_loop():
    count = 1_000_000
    table = pa.table({"c": pa.array(np.random.default_rng(0).integers(0, 50, count)).cast(pa.string())})
    rows = split(table, validation=0.1)
    assert len(rows["validation"]) == 100_000
