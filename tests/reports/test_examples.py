"""Predictions side by side: what is wrong, what disagrees, and which rows a filter keeps."""

from __future__ import annotations

import pytest

from chain_core.reports.examples import compute_examples, filter_examples, list_labels, sort_examples
from chain_core.reports.predictions import HeadInfo, build_predictions
from tests.reports.make import make_predictions

HEADS = {
    "a": HeadInfo("classification", (0, 2), ("x", "y")),
    "b": HeadInfo("tagging", (2,), ("O", "B-z")),
    "n": HeadInfo("regression", (0, 2)),
    "m": HeadInfo("multilabel", (0, 2), ("p", "q")),
}


@pytest.fixture
def predictions():
    columns = {
        "text": ["One (1)", "two*", "Three", "four"],
        "pair": [None, "ONE more", "", "x"],
        "gold:a": ["x", "x", "y", None],
        "pred:a@0": ["x", "y", "y", "y"],
        "pred:a@2": ["x", "x", "y", "x"],
        "conf:a@0": [0.5, 0.5, 0.5, 0.5],
        "conf:a@2": [0.9, 0.4, 0.8, 0.6],
        "gold:b": [["O", "B-z"], ["O"], ["B-z"], ["O"]],
        "pred:b@2": [["O", "B-z"], ["O"], ["O"], ["O"]],
        "conf:b@2": [0.95, 0.95, 0.7, 0.95],
        "gold:n": [1.0, None, 2.0, 3.0],
        "pred:n@0": [1.5, 1.0, 2.0, 3.0],
        "pred:n@2": [1.0, 1.0, 1.0, 3.0],
        "gold:m": [["p", "q"], [], ["p"], None],
        "pred:m@0": [["q", "p"], [], ["p"], ["p"]],
        "pred:m@2": [["p", "q"], [], ["p"], ["p"]],
        "conf:m@0": [1.0] * 4,
        "conf:m@2": [1.0] * 4,
    }
    return build_predictions(columns, HEADS, split="test")


@pytest.fixture
def examples(predictions):
    return compute_examples(predictions)


def test_wrong_and_disagree(examples):
    assert examples["wrong:a@0"].tolist() == [False, True, False, False]
    assert examples["wrong:a@2"].tolist() == [False] * 4
    assert examples["disagree:a"].tolist() == [False, True, False, True]
    assert examples["wrong:b@2"].tolist() == [False, False, True, False]
    assert not examples["disagree:b"].any()
    assert not examples[["wrong:m@0", "disagree:m", "wrong:n@0", "disagree:n"]].any(axis=None)
    assert examples["residual:n@2"].tolist()[::2] == [0.0, -1.0]
    assert examples["residual:n@0"].isna().tolist() == [False, True, False, False]


def test_filters(examples, predictions):
    def rows(**filters):
        return filter_examples(examples, predictions, **filters)["row"].tolist()

    assert rows() == [0, 1, 2, 3]
    assert rows(show="wrong") == [1, 2]
    assert rows(show="wrong", heads=["b"]) == [2]
    assert rows(show="disagree") == [1, 3]
    assert rows(show="disagree", heads=["b"]) == []
    assert rows(show="wrong", heads=[]) == []
    assert rows(label=("a", "x")) == [0, 1, 3]
    assert rows(label=("b", "z")) == [0, 2]
    assert rows(label=("m", "q")) == [0]
    assert rows(text="one") == [0, 1]
    assert rows(text="(1)") == [0]
    assert rows(text="*") == [1]
    assert rows(text="one", show="wrong") == [1]


def test_order(examples, predictions):
    assert sort_examples(examples, predictions, "file")["row"].tolist() == [0, 1, 2, 3]
    assert sort_examples(examples, predictions, "unsure")["row"].tolist() == [1, 3, 2, 0]
    assert sort_examples(examples, predictions, "sure", ["b"])["row"].tolist() == [0, 1, 3, 2]
    assert sort_examples(examples, predictions, "sure", ["n"])["row"].tolist() == [0, 1, 2, 3]


def test_labels_to_filter_by(examples, predictions):
    assert list_labels(examples, predictions, "a") == ["x", "y"]
    assert list_labels(examples, predictions, "b") == ["z"]
    assert list_labels(examples, predictions, "m") == ["p", "q"]
    assert list_labels(examples, predictions, "n") == []


def test_no_row_at_all():
    columns = {"text": [], "gold:a": [], "pred:a@2": [], "conf:a@2": []}
    predictions = build_predictions(columns, {"a": HeadInfo("classification", (2,), ("x",))}, split="test")
    examples = compute_examples(predictions)
    assert filter_examples(examples, predictions, show="wrong", text="a", label=("a", "x")).empty


def test_the_fixture_file_holds_every_kind():
    predictions = make_predictions(40)
    examples = compute_examples(predictions)
    wrong = filter_examples(examples, predictions, show="wrong")
    assert 0 < len(wrong) < 40
    assert len(filter_examples(examples, predictions, text="<SCRIPT>")) == 5
