"""The same entities and the same figures as seqeval, whatever the tags."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import get_entities

from chain_core.reports.entities import count_entities, find_entities, score_average, score_classes

USUAL = ["O", "B-a", "I-a", "B-b", "I-b", "E-a", "S-b"]
ODD = [*USUAL, "I-a-b", "B", "I", "S", "NN", "B-", "Ox", ".", "-", "N", "播放", "B-人名"]


@pytest.fixture(autouse=True, scope="module")
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@settings(max_examples=300)
@given(st.lists(st.sampled_from(ODD), max_size=9))
def test_entities_are_seqevals(tags):
    assert find_entities(tags) == get_entities(tags)


pairs = st.lists(st.tuples(st.sampled_from(USUAL), st.sampled_from(USUAL)), min_size=1, max_size=6)


@settings(max_examples=200)
@given(st.lists(pairs, min_size=1, max_size=6))
def test_figures_are_seqevals(rows):
    gold = [[tag for tag, _ in row] for row in rows]
    predicted = [[tag for _, tag in row] for row in rows]
    counts = count_entities(gold, predicted)
    if not counts.labels:
        return
    report = classification_report(gold, predicted, output_dict=True, zero_division=0)
    for label, p, r, f, n in zip(counts.labels, *score_classes(counts), counts.gold, strict=True):
        expected = report.pop(label)
        assert (p, r, f, n) == tuple(expected[name] for name in ("precision", "recall", "f1-score", "support"))
    for name, expected in report.items():
        p, r, f = score_average(counts, name.removesuffix(" avg"))
        assert (p, r, f) == tuple(expected[part] for part in ("precision", "recall", "f1-score"))


def test_nothing_found_counts_nothing():
    counts = count_entities([["O"]], [["O"]])
    assert counts.labels == ()
    assert score_average(counts, "micro") == (0.0, 0.0, 0.0)
    assert score_average(counts, "macro") == (0.0, 0.0, 0.0)
