"""Columns find their roles, and roles their tasks."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from chain_core.config import HeadConfig, InputConfig, resolve_config
from chain_core.data.schema import build_tasks, infer_columns, suggest_config
from chain_core.data.text import read_texts
from chain_core.errors import DataError

WORDS = ("the", "meal", "was", "slow", "good", "staff", "and", "cold", "soup", "again", "never", "back", "wine")


def make_texts(count: int, seed: int = 0) -> list[str]:
    generator = random.Random(seed)
    return [" ".join(generator.choices(WORDS, k=generator.randint(5, 12))) for _ in range(count)]


def roles(table: pa.Table) -> dict[str, str]:
    return {column.name: column.role for column in infer_columns(table)}


def head(kind: str, column: str = "c", **options) -> dict[str, HeadConfig]:
    return {"h": HeadConfig(kind=kind, column=column, **options)}


def test_a_table_of_reviews():
    count = 120
    generator = random.Random(1)
    table = pa.table(
        {
            "id": [str(1000 + number) for number in range(count)],
            "review": make_texts(count),
            "sentiment": generator.choices(["good", "bad", ""], k=count),
            "stars": [str(generator.randint(1, 5)) for _ in range(count)],
            "price": [f"{generator.random() * 40:.2f}" for _ in range(count)],
            "topics": [";".join(generator.sample(["food", "staff", "price"], k=generator.randint(1, 3)))
                       for _ in range(count)],
            "returns": generator.choices(["true", "false"], k=count),
            "part": generator.choices(["train", "dev", "test"], k=count),
            "uuid": [f"{generator.getrandbits(64):x}-7" for _ in range(count)],
            "blank": [""] * count,
            "source": ["web"] * count,
        }
    )  # fmt: skip
    assert roles(table) == {
        "id": "ignore", "review": "text", "sentiment": "label", "stars": "label", "price": "score",
        "topics": "labels", "returns": "label", "part": "split", "uuid": "ignore", "blank": "ignore",
        "source": "ignore",
    }  # fmt: skip
    suggested = suggest_config(infer_columns(table))
    assert suggested["input"] == {"text": "review"}
    assert suggested["data"] == {"split": "part"}
    assert suggested["heads"]["topics"] == {"kind": "multilabel", "column": "topics"}
    config = resolve_config({**suggested, "data": {"train": "x", **suggested["data"]}})
    tasks = {task.name: task for task in build_tasks(table, config.heads)}
    assert tasks["topics"].label_space == ("food", "price", "staff")
    assert tasks["topics"].separator == ";"
    assert tasks["sentiment"].label_space == ("bad", "good")
    assert tasks["price"].label_space == ()


def test_pairs():
    table = pa.table({"sentence1": make_texts(50, 1), "sentence2": make_texts(50, 2), "label": ["0", "1"] * 25})
    assert suggest_config(infer_columns(table)) == {
        "input": {"text": "sentence1", "pair": "sentence2"},
        "heads": {"label": {"kind": "classification", "column": "label"}},
    }


def test_of_several_texts_the_one_named_so_or_the_longest_is_read():
    table = pa.table({"note": make_texts(50, 1), "text": make_texts(50, 2), "y": ["0", "1"] * 25})
    assert roles(table) == {"note": "ignore", "text": "text", "y": "label"}


@pytest.mark.parametrize("spaced", [False, True])
def test_tokens_and_tags(spaced):
    texts = [text.split() for text in make_texts(60)]
    columns = {
        "words": texts,
        "ner": [["B-x" if word == "staff" else "O" for word in text] for text in texts],
        "pos": [["N" if len(word) > 4 else "F" for word in text] for text in texts],
        "raw": [" ".join(text) + " !" for text in texts],
        "intent": ["a", "b"] * 30,
    }
    if spaced:
        columns = {name: [" ".join(cell) for cell in cells] if name in ("words", "ner") else cells
                   for name, cells in columns.items()}  # fmt: skip
    table = pa.table(columns)
    assert roles(table) == {"words": "tokens", "ner": "tags", "pos": "tags", "raw": "ignore", "intent": "label"}
    heads = {name: HeadConfig(**value) for name, value in suggest_config(infer_columns(table))["heads"].items()}
    tasks = build_tasks(table, heads, columns=InputConfig(tokens="words"))
    assert {task.name: task.label_space for task in tasks} == {
        "ner": ("O", "B-x"), "pos": ("F", "N"), "intent": ("a", "b"),
    }  # fmt: skip
    assert read_texts(table, InputConfig(tokens="words")).first.to_pylist() == texts


def test_lists_that_are_no_tokens_are_several_labels():
    table = pa.table({"text": make_texts(60), "topics": [["a"], ["a", "b"], []] * 20})
    assert roles(table) == {"text": "text", "topics": "labels"}


def test_chinese_text_is_text():
    sentences = [f"这家餐厅的第{number}道菜很好吃" for number in range(40)]
    table = pa.table({"评论": sentences, "类别": ["好评", "差评"] * 20})
    assert roles(table) == {"评论": "text", "类别": "label"}


def test_fifty_thousand_classes():
    count = 50_000
    table = pa.table({"text": ["some text"] * count, "c": [f"class {number}" for number in range(count)]})
    assert roles(table)["c"] != "label"
    with pytest.raises(DataError) as caught:
        build_tasks(table, head("classification"))
    assert caught.value.code == "too_many_classes"
    assert "50,000" in caught.value.text()


@pytest.mark.parametrize(
    ("kind", "cells", "code"),
    [
        ("classification", ["a", "a", ""], "one_class"),
        ("classification", ["", None, "nan"], "no_labels"),
        ("regression", ["1", "1.0"], "one_score"),
        ("regression", ["", None], "no_labels"),
        ("regression", ["1", "two"], "not_numbers"),
        ("tagging", ["O O", "O"], "one_class"),
        ("tagging", ["", None], "no_labels"),
        ("multilabel", ["", None], "no_labels"),
        ("classification", [["a", "b"], ["c"]], "label_is_list"),
    ],
)
def test_labels_that_cannot_be_learnt(kind, cells, code):
    with pytest.raises(DataError) as caught:
        build_tasks(pa.table({"c": cells}), head(kind))
    assert caught.value.code == code
    assert "c" in caught.value.text("zh")


def test_missing_column_names_the_nearest():
    with pytest.raises(DataError) as caught:
        build_tasks(pa.table({"label": ["a", "b"]}), head("classification", "lable"))
    assert caught.value.params["nearest"] == "label"
    with pytest.raises(DataError) as caught:
        read_texts(pa.table({"label": ["a", "b"]}), InputConfig())
    assert caught.value.code == "no_input"


def test_tokens_and_tags_of_different_length():
    table = pa.table({"tokens": [["a", "b"], ["c"], ["d", "e"]], "c": [["O", "B-x"], None, ["O"]]})
    with pytest.raises(DataError) as caught:
        build_tasks(table, head("tagging"), columns=InputConfig(tokens="tokens"))
    assert caught.value.code == "tags_length"
    assert (caught.value.params["row"], caught.value.params["rows"]) == (3, 1)


def test_label_spaces_come_from_the_train_rows_and_notes_say_what_is_odd():
    table = pa.table({"c": ["b", "a", "a", "b", "once", "unseen"], "t": ["O", "I-x O", "O", "B-y", "O", "O"]})
    (task,) = build_tasks(table, head("classification"), np.arange(5))
    assert task.label_space == ("a", "b", "once")
    assert {note["code"]: note["params"]["labels"] for note in task.notes} == {
        "labels_unseen": "unseen", "classes_single": "once",
    }  # fmt: skip
    (task,) = build_tasks(table, head("tagging", "t"))
    assert task.label_space == ("O", "B-x", "B-y")
    assert task.notes[0] == {"code": "tags_repaired", "params": {"column": "t", "count": 1}}


def test_texts_of_missing_cells_and_of_lists():
    table = pa.table({"a": ["x", None], "b": [["p", "q"], None]})
    assert read_texts(table, InputConfig(text="a")).first.to_pylist() == ["x", ""]
    assert read_texts(table, InputConfig(text="b")).first.to_pylist() == ["p q", ""]
    pair = read_texts(table, InputConfig(text="a", pair="b"))
    assert (pair.kind, pair.second.to_pylist()) == ("pair", ["p q", ""])
    assert read_texts(table, InputConfig(tokens="a")).first.to_pylist() == [["x"], []]
    assert len(pair) == 2
