"""Tables of a report, against scikit-learn's and seqeval's own."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from seqeval.metrics import classification_report as entity_report
from sklearn.metrics import classification_report, confusion_matrix, multilabel_confusion_matrix
from sklearn.preprocessing import MultiLabelBinarizer

from chain_core.reports.frames import (
    compute_class_depths,
    compute_class_report,
    compute_confusion,
    compute_depth_frame,
    compute_label_counts,
    compute_mistakes,
    compute_residuals,
    get_pairs,
)
from chain_core.reports.metrics import compute_metrics
from chain_core.reports.predictions import HeadInfo, build_predictions
from tests.reports.make import make_predictions

AVERAGES = {"macro": "macro avg", "weighted": "weighted avg", "micro": "micro avg", "samples": "samples avg"}


@pytest.fixture(scope="module")
def predictions():
    return make_predictions(120)


def assert_equals(frame, report):
    """Every row of a frame stands in the library's report with the same numbers, and the other way round."""
    seen = set()
    for row in frame.itertuples():
        name = row.label if row.part == "class" else AVERAGES.get(row.part, row.part)
        seen.add(name)
        if row.part == "accuracy":
            assert row.f1 == pytest.approx(report["accuracy"], abs=1e-12)
            continue
        expected = report[name]
        assert row.precision == pytest.approx(expected["precision"], abs=1e-12)
        assert row.recall == pytest.approx(expected["recall"], abs=1e-12)
        assert row.f1 == pytest.approx(expected["f1-score"], abs=1e-12)
        assert row.support == expected["support"]
    assert seen == set(report)


def test_one_label_is_scikit_learns(predictions):
    gold, predicted = get_pairs(predictions, "intent", 3)
    assert None not in gold
    report = classification_report(gold, predicted, output_dict=True, zero_division=0)
    assert_equals(compute_class_report(predictions, "intent", 3), report)


def test_several_labels_are_scikit_learns(predictions):
    gold, predicted = get_pairs(predictions, "topics", 3)
    binarizer = MultiLabelBinarizer().fit([*gold, *predicted])
    truth, guess = binarizer.transform(gold), binarizer.transform(predicted)
    names = list(binarizer.classes_)
    report = classification_report(truth, guess, target_names=names, output_dict=True, zero_division=0)
    assert_equals(compute_class_report(predictions, "topics", 3), report)
    counts = compute_label_counts(predictions, "topics", 3).set_index("label")
    for name, ((_, extra), (missed, found)) in zip(names, multilabel_confusion_matrix(truth, guess), strict=True):
        assert tuple(counts.loc[name, ["found", "missed", "extra"]]) == (found, missed, extra)


def test_tags_are_seqevals_and_their_tokens_scikit_learns(predictions):
    gold, predicted = get_pairs(predictions, "slots", 1)
    assert_equals(compute_class_report(predictions, "slots", 1), entity_report(gold, predicted, output_dict=True))
    gold, predicted = get_pairs(predictions, "slots", 1, tokens=True)
    frame = compute_class_report(predictions, "slots", 1, tokens=True)
    assert_equals(frame, classification_report(gold, predicted, output_dict=True, zero_division=0))
    assert "O" in set(frame["label"])


def test_text_without_entities_has_no_entity_table():
    heads = {"slots": HeadInfo("tagging", (1,), ("O", "B-a"))}
    columns = {"text": ["a b"], "gold:slots": [["O", "O"]], "pred:slots@1": [["O", "O"]]}
    predictions = build_predictions(columns, heads, split="test")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compute_class_report(predictions, "slots", 1).empty
        assert len(compute_class_report(predictions, "slots", 1, tokens=True)) == 4


@pytest.mark.parametrize("head", ["intent", "topics", "slots", "price"])
def test_without_gold_every_table_is_empty(head):
    full = make_predictions(20)
    depth = full.heads[head].depths[-1]
    columns = {name: full.table.column(name).to_pylist() for name in full.table.column_names}
    columns[f"gold:{head}"] = [None] * 20
    predictions = build_predictions(columns, full.heads, split="test")
    assert compute_class_report(predictions, head, depth).empty
    assert compute_class_depths(predictions, head).empty
    assert compute_confusion(predictions, head, depth) is None
    assert compute_mistakes(predictions, head, depth).empty
    assert list(compute_depth_frame(predictions, head).columns) == ["depth"]
    assert head != "price" or compute_residuals(predictions, head, depth).empty


def test_confusion_is_scikit_learns(predictions):
    gold, predicted = get_pairs(predictions, "intent", 3)
    confusion = compute_confusion(predictions, "intent", 3)
    assert (confusion.counts == confusion_matrix(gold, predicted, labels=list(confusion.labels))).all()
    assert confusion.total == len(confusion.labels) == 5
    assert np.allclose(confusion.shares.sum(1), 1)


def test_confusion_of_many_classes_keeps_the_mistakes():
    names = [f"c{i:02d}" for i in range(50)]
    gold = [name for name in names for _ in range(5)] + ["c48", "c48", "c07"]
    predicted = [name for name in names for _ in range(5)] + ["c49", "c49", "c48"]
    heads = {"a": HeadInfo("classification", (1,), tuple(names))}
    columns = {"text": [""] * len(gold), "gold:a": gold, "pred:a@1": predicted}
    predictions = build_predictions(columns, heads, split="test")
    confusion = compute_confusion(predictions, "a", 1, limit=4)
    assert confusion.total == 50
    assert {"c07", "c48", "c49"} < set(confusion.labels)
    assert list(confusion.labels) == sorted(confusion.labels)
    assert len(confusion.labels) == 4
    mistakes = compute_mistakes(predictions, "a", 1)
    assert mistakes.to_dict("list") == {"gold": ["c48", "c07"], "predicted": ["c49", "c48"], "count": [2, 1]}


def test_depths_stand_side_by_side(predictions):
    frame = compute_depth_frame(predictions, "intent")
    assert list(frame["depth"]) == [0, 3]
    expected = compute_metrics("classification", *get_pairs(predictions, "intent", 0))
    assert frame.iloc[0][list(expected)].to_dict() == expected
    classes = compute_class_depths(predictions, "intent")
    assert list(classes.columns) == ["label", "support", "0", "3"]
    assert list(classes["support"]) == sorted(classes["support"], reverse=True)
    report = compute_class_report(predictions, "intent", 3)
    expected = report[report["part"] == "class"].set_index("label")["f1"]
    assert classes.set_index("label")["3"].to_dict() == expected.to_dict()


def test_residuals(predictions):
    frame = compute_residuals(predictions, "price", 3)
    assert len(frame) == sum(cell is not None for cell in predictions.get_gold("price"))
    assert np.allclose(frame["residual"], frame["predicted"] - frame["gold"])
    assert frame["text"].iloc[0] == predictions.table.column("text")[int(frame["row"].iloc[0])].as_py()
