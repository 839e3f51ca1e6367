"""Splits are given or drawn: seeded, stratified, and every label keeps a row to train on."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_core.config import DataConfig, HeadConfig, InputConfig
from chain_core.data.cells import hash_rows
from chain_core.data.schema import build_tasks
from chain_core.data.splits import split_rows
from chain_core.data.store import SPLIT
from chain_core.errors import DataError

KINDS = {"c": "classification", "m": "multilabel", "r": "regression", "t": "tagging"}


def split(table: pa.Table, columns: str = "c", **data):
    heads = {name: HeadConfig(kind=KINDS[name], column=name) for name in columns}
    inputs = InputConfig(**{name: name for name in ("text", "pair", "tokens") if name in table.column_names})
    return split_rows(table, DataConfig(train="x", **data), build_tasks(table, heads), inputs)


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


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.sampled_from(["", "one", "two", *"abcdefghijklmnop"]), st.sampled_from("xyz")),
        min_size=8, max_size=80,
    ),
    st.floats(0.05, 0.45),
    st.floats(0.05, 0.45),
    st.integers(0, 3),
)  # fmt: skip
def test_equal_inputs_stay_together(cells, validation, test, seed):
    """Wherever the different inputs are enough for it: no label is lost, no row is used twice."""
    cells += [(f"input {number}", label) for number, label in enumerate("xyz" * 4)]
    table = pa.table({"text": [text for text, _ in cells], "c": [label for _, label in cells]})
    rows = split(table, validation=validation, test=test, split_seed=seed)
    assert sorted(np.concatenate(list(rows.values()))) == list(range(len(cells)))
    assert set(rows) == {"train", "validation", "test"}
    assert {cells[row][1] for row in rows["train"]} == {label for _, label in cells}
    places = {}
    for name, chosen in rows.items():
        for row in chosen:
            if cells[row][0]:
                places.setdefault(cells[row][0], set()).add(name)
    assert all(len(names) == 1 for names in places.values())
    again = split(table, validation=validation, test=test, split_seed=seed)
    assert {name: chosen.tolist() for name, chosen in rows.items()} == {
        name: chosen.tolist() for name, chosen in again.items()
    }


def test_repeated_inputs_leave_the_shares_what_they_are():
    generator = np.random.default_rng(0)
    texts = [f"text {number}" for number in generator.geometric(0.002, 5000)]
    labels = ["ab"[hash_ % 2] for hash_ in generator.integers(0, 10, 5000)]
    rows = split(pa.table({"text": texts, "c": labels}), validation=0.1, test=0.2)
    assert len(rows["validation"]) == pytest.approx(500, rel=0.1)
    assert len(rows["test"]) == pytest.approx(1000, rel=0.1)
    assert not {texts[row] for row in rows["train"]} & {texts[row] for row in rows["validation"]}


@pytest.mark.parametrize(
    "columns",
    [
        {"text": ["same"] * 12},
        {"text": [*"abc"] * 4},
        {"text": [""] * 12},
    ],
)
def test_few_different_inputs_are_divided_all_the_same(columns):
    table = pa.table({**columns, "c": [*"xyz"] * 4})
    rows = split(table, validation=0.2, test=0.2)
    assert {name: len(chosen) > 0 for name, chosen in rows.items()} == dict.fromkeys(rows, True)
    assert {table["c"][int(row)].as_py() for row in rows["train"]} == {*"xyz"}


def test_a_pair_is_equal_where_both_texts_are():
    table = pa.table(
        {"text": ["a"] * 40, "pair": [f"pair {number // 2}" for number in range(40)], "c": ["x", "y"] * 20}
    )
    rows = split(table, validation=0.25)
    for chosen in rows.values():
        assert all(row ^ 1 in chosen for row in chosen.tolist())


def test_an_input_of_most_rows_trains():
    table = pa.table({"text": ["often"] * 80 + [f"text {number}" for number in range(40)], "c": ["x", "y"] * 60})
    rows = split(table, validation=0.1)
    assert set(range(80)) <= set(rows["train"].tolist())
    assert len(rows["validation"]) == 12


def test_token_lists_are_compared_item_by_item():
    tokens = [["a b"], ["a", "b"]] * 10 + [[str(number)] for number in range(10)]
    table = pa.table({"tokens": tokens, "c": ["x", "y"] * 15})
    assert hash_rows(table["tokens"])[0] != hash_rows(table["tokens"])[1]
    rows = split(table, validation=0.4)
    for place in (0, 1):
        names = {name for name, chosen in rows.items() if set(range(place, 20, 2)) & set(chosen.tolist())}
        assert len(names) == 1
