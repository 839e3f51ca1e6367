"""Uploads find their splits and a harmless name on disk; a draft keeps what still holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from chain_core.data.store import import_files
from chain_core.errors import DataError
from chain_core.ui.data.draft import build_draft
from chain_core.ui.data.files import assign_splits, clean_name
from chain_core.ui.data.profile import build_histogram, build_label_figure
from chain_core.ui.data.tasks import find_example


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["anything.csv"], ["train"]),
        (["test.csv"], ["train"]),
        (["train.csv", "test.csv"], ["train", "test"]),
        (["atis_dev.jsonl", "atis_train.jsonl", "atis.test.jsonl"], ["validation", "train", "test"]),
        (["reviews.csv", "reviews-test.csv"], ["train", "test"]),
        (["TRAIN.CSV", "Val.csv"], ["train", "validation"]),
    ],
)
def test_files_are_told_apart_by_their_names(names, splits):
    assert assign_splits(names) == splits


@pytest.mark.parametrize(
    "names", [["a.csv", "b.csv"], ["train1_train.csv", "train.csv"], ["a.csv", "b.csv", "test.csv"]]
)
def test_files_that_cannot_be_told_apart(names):
    with pytest.raises(DataError) as caught:
        assign_splits(names)
    assert caught.value.code == "upload_unclear"
    assert names[0] in caught.value.text("zh")


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "..\\..\\x.csv", ".hidden", "", "a/b.csv", "評論 (1).csv", "x" * 500, "評" * 99 + ".csv"],
)
def test_names_on_disk_stay_in_their_folder(tmp_path, name):
    path = tmp_path / clean_name(name)
    path.write_text("")
    assert path.resolve().parent == tmp_path.resolve()
    assert not path.name.startswith(".")
    assert path.suffix == (".csv" if name.endswith(".csv") else "")


@pytest.fixture
def data_set(tmp_path: Path):
    path = tmp_path / "reviews.csv"
    path.write_text("text,label\na,x\nb,y\n")
    return import_files({"train": path}, name="reviews")


SUGGESTED = {"input": {"text": "text"}, "heads": {"label": {"kind": "classification", "column": "label"}}}


def test_a_new_draft(data_set):
    draft = build_draft(data_set, SUGGESTED, {"validation": 0.1, "test": None}, {"name": "old", "data": {"train": "x"}})
    assert draft == {
        "name": "reviews", "data": {"train": data_set.id, "validation": 0.1, "test": None}, **SUGGESTED,
    }  # fmt: skip


def test_a_draft_of_the_same_data_keeps_its_chain_and_heads(data_set):
    label = {"kind": "classification", "column": "label", "depths": [1, 2]}
    old = {
        "name": "mine", "data": {"train": data_set.id}, "chain": {"depth": 2},
        "input": {"text": "text", "max_length": 64},
        "heads": {"label": label, "gone": {"kind": "regression", "column": "gone"}},
    }  # fmt: skip
    draft = build_draft(data_set, SUGGESTED, {"validation": 0.2}, old)
    assert draft["chain"] == {"depth": 2}
    assert draft["heads"] == {"label": label}
    assert draft["input"] == {"text": "text", "max_length": 64}
    assert draft["data"] == {"train": data_set.id, "validation": 0.2}
    changed = {**SUGGESTED, "heads": {"label": {"kind": "multilabel", "column": "label"}}}
    assert build_draft(data_set, changed, {}, old)["heads"] == changed["heads"]


def test_heads_that_need_no_column_of_this_data_set_stay(data_set):
    further = {"kind": "classification", "column": "topic", "data": "news"}
    old = {"data": {"train": data_set.id}, "heads": {"topic": further, "words": {"kind": "masked_lm"}}}
    assert build_draft(data_set, SUGGESTED, {}, old)["heads"] == {**SUGGESTED["heads"], **old["heads"]}


def test_labels_in_figures_are_text():
    figure = build_label_figure({"<b>bold</b>": 3, "plain" * 20: 1})
    assert figure.data[0].x == (1, 3)
    assert figure.layout.yaxis.ticktext[1] == "&lt;b&gt;bold&lt;/b&gt;"
    assert len(figure.layout.yaxis.ticktext[0]) == 28


def test_the_limit_is_drawn_where_texts_come_near_it():
    import numpy as np

    assert len(build_histogram(np.array([10, 300]), "tokens", 256, "longest").layout.shapes) == 1
    assert len(build_histogram(np.array([10, 30]), "tokens", 256, "longest").layout.shapes) == 0


def test_examples_are_one_short_line():
    import pyarrow as pa

    table = pa.table({"a": [None, "", "two\nlines " + "x" * 100], "b": [None, [], ["p", None, "q"]], "c": ["", "", ""]})
    assert find_example(table, "a").startswith("two lines x")
    assert len(find_example(table, "a")) == 60
    assert find_example(table, "b") == "p q"
    assert find_example(table, "c") == ""
