"""Every figure equals the library's that it is named after."""

from __future__ import annotations

import json
import math
import random
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from seqeval.metrics import classification_report as entity_report
from seqeval.metrics import f1_score as entity_f1
from sklearn.metrics import classification_report, r2_score
from sklearn.metrics import f1_score as label_f1
from sklearn.preprocessing import MultiLabelBinarizer

from chain_core.config import METRICS
from chain_core.reports.metrics import compute_joint, compute_metrics, compute_report
from chain_core.reports.predictions import HeadInfo, build_predictions
from tests.reports.make import make_predictions


def flatten(cells):
    return [tag for tags in cells for tag in tags]


TAGS = ["O", "O", "B-city", "I-city", "B-day", "I-day"]


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_classification_is_scikit_learns():
    gold = ["a", "b", "a", "c", None, "b"]
    predicted = ["a", "b", "b", "d", "a", "b"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = classification_report(
            [g for g in gold if g],
            [p for g, p in zip(gold, predicted, strict=True) if g],
            output_dict=True,
            zero_division=0,
        )
    metrics = compute_metrics("classification", gold, predicted)
    assert list(metrics) == ["accuracy", "macro_f1", "weighted_f1"]
    assert metrics["accuracy"] == 3 / 5
    assert metrics["macro_f1"] == pytest.approx(report["macro avg"]["f1-score"], abs=1e-12)
    assert metrics["weighted_f1"] == pytest.approx(report["weighted avg"]["f1-score"], abs=1e-12)


def test_multilabel_is_scikit_learns():
    gold = [["a", "b"], [], ["c"], None, ["a"]]
    predicted = [["a"], [], ["c", "new"], ["a"], ["a"]]
    rows = [i for i, cell in enumerate(gold) if cell is not None]
    binarizer = MultiLabelBinarizer(classes=["a", "b", "c", "new"])
    truth = binarizer.fit_transform([gold[i] for i in rows])
    guess = binarizer.transform([predicted[i] for i in rows])
    metrics = compute_metrics("multilabel", gold, predicted)
    assert next(iter(metrics)) == "micro_f1"
    assert metrics["micro_f1"] == pytest.approx(label_f1(truth, guess, average="micro"))
    assert metrics["macro_f1"] == pytest.approx(label_f1(truth, guess, average="macro", zero_division=0))
    assert metrics["exact_match"] == 2 / 4


def test_multilabel_with_a_single_label():
    metrics = compute_metrics("multilabel", [["a"], [], ["a"]], [["a"], ["a"], []])
    assert metrics == {"micro_f1": 0.5, "macro_f1": 0.5, "exact_match": 1 / 3}


def test_multilabel_without_any_label():
    assert compute_metrics("multilabel", [[], []], [[], []]) == {
        "micro_f1": 0.0,
        "macro_f1": 0.0,
        "exact_match": 1.0,
    }


def test_regression_is_scikit_learns_and_scipys():
    rng = np.random.default_rng(0)
    gold = rng.normal(size=50).round(1)
    predicted = gold + rng.normal(size=50)
    metrics = compute_metrics("regression", [*gold, None, math.nan], [*predicted, 1.0, 2.0])
    assert list(metrics) == ["r2", "mae", "rmse", "spearman"]
    assert metrics["r2"] == pytest.approx(r2_score(gold, predicted))
    assert metrics["mae"] == pytest.approx(np.abs(gold - predicted).mean())
    assert metrics["rmse"] == pytest.approx(np.sqrt(((gold - predicted) ** 2).mean()))
    assert metrics["spearman"] == pytest.approx(spearmanr(gold, predicted).statistic)


@pytest.mark.parametrize(
    ("gold", "predicted"),
    [([1.0], [2.0]), ([1.0, 1.0], [1.0, 2.0]), ([1.0, 2.0], [3.0, 3.0]), ([1.0, 2.0], [math.nan, math.inf])],
)
def test_regression_stays_finite(gold, predicted):
    assert all(map(math.isfinite, compute_metrics("regression", gold, predicted).values()))


def test_tagging_is_seqevals_and_counts_o():
    rng = random.Random(1)
    gold = [[rng.choice(TAGS) for _ in range(rng.randint(1, 9))] for _ in range(80)]
    predicted = [[rng.choice(TAGS) if rng.random() < 0.3 else tag for tag in tags] for tags in gold]
    metrics = compute_metrics("tagging", [*gold, None], [*predicted, ["O"]])
    report = entity_report(gold, predicted, output_dict=True)
    tokens = classification_report(flatten(gold), flatten(predicted), output_dict=True)
    assert next(iter(metrics)) == "entity_f1"
    assert metrics["entity_f1"] == entity_f1(gold, predicted)
    assert metrics["entity_precision"] == report["micro avg"]["precision"]
    assert metrics["entity_recall"] == report["micro avg"]["recall"]
    assert metrics["token_accuracy"] == pytest.approx(tokens["accuracy"], abs=1e-12)
    assert metrics["token_micro_f1"] == pytest.approx(label_f1(flatten(gold), flatten(predicted), average="micro"))
    assert metrics["token_macro_f1"] == pytest.approx(tokens["macro avg"]["f1-score"], abs=1e-12)


def test_tags_beyond_what_was_read_count_as_o():
    metrics = compute_metrics("tagging", [["B-city", "O", "B-city"]], [["B-city", "O"]])
    assert metrics["token_accuracy"] == pytest.approx(2 / 3)
    assert metrics["entity_recall"] == 0.5


def test_tags_that_are_no_bio_do_not_fail():
    assert compute_metrics("tagging", [["NN", "VB", ""]], [["NN", "NN", "O"]])["token_accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression", "tagging"])
def test_no_gold_no_figures(kind):
    assert compute_metrics(kind, [], []) == {}
    assert compute_metrics(kind, [None], [None]) == {}


def test_report_has_the_keys_that_scripts_read():
    report = compute_report(
        {"test": make_predictions(60), "validation": make_predictions(20, split="validation", seed=1)}
    )
    test = report["test"]
    assert set(test) == {"intent", "topics", "price", "slots", "answer", "link", "joint"}
    assert set(report["depths"]["test"]) == {"0", "1", "3"}
    assert set(report["depths"]["test"]["1"]) == {"slots"}
    assert test["slots"] == report["depths"]["test"]["3"]["slots"]
    assert 0 < test["joint"]["exact_match"] < 1
    json.dumps(report, allow_nan=False)


def test_joint_counts_rows_that_are_right_throughout():
    heads = {
        "a": HeadInfo("classification", (0, 2), ("x", "y")),
        "b": HeadInfo("tagging", (2,), ("O", "B-z")),
    }
    columns = {
        "text": ["1", "2", "3", "4"],
        "gold:a": ["x", "x", "y", None],
        "pred:a@0": ["y", "y", "y", "y"],
        "pred:a@2": ["x", "x", "y", "y"],
        "gold:b": [["O"], ["B-z"], ["O"], ["O"]],
        "pred:b@2": [["O"], ["O"], ["O"], ["O"]],
    }
    assert compute_joint(build_predictions(columns, heads, split="test")) == {"exact_match": 2 / 3}


labels = st.sampled_from(["a", "b", "c", "=1+1", ""])


@settings(max_examples=60)
@given(st.lists(st.tuples(st.none() | labels, labels), max_size=12))
def test_classification_figures_are_shares(pairs):
    metrics = compute_metrics("classification", [g for g, _ in pairs], [p for _, p in pairs])
    assert all(0 <= value <= 1 for value in metrics.values())


def test_joint_of_several_data_sets_asks_each_row_for_its_own_heads() -> None:
    from chain_core.reports.metrics import compute_joint_share

    cells = {
        "a": ("classification", ["x", "x", None, None], ["x", "y", "x", "x"]),
        "b": ("classification", ["p", "p", None, None], ["p", "p", "p", "p"]),
        "c": ("classification", [None, None, "k", None], ["k", "k", "k", "k"]),
    }
    assert compute_joint_share(cells, {"a": "", "b": "", "c": "two"}) == 2 / 3
    assert compute_joint_share(cells, {"a": "", "b": "", "c": ""}) is None


@pytest.mark.parametrize(
    ("kind", "gold", "predicted"),
    [
        ("classification", ["a", "b"], ["a", "a"]),
        ("multilabel", [["a"], []], [["a"], ["b"]]),
        ("regression", [1.0, 2.0], [1.0, 3.0]),
        ("tagging", [["B-x", "O"]], [["B-x", "O"]]),
        ("span", [["a b"]], ["a"]),
        ("relation", ["a", "b"], ["a", "a"]),
    ],
)
def test_the_figures_are_those_that_a_config_may_name(kind: str, gold: list, predicted: list) -> None:
    assert tuple(compute_metrics(kind, gold, predicted)) == METRICS[kind]
