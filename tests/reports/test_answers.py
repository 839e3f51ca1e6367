"""SQuAD's two figures on worked examples."""

from __future__ import annotations

import pytest

from chain_core.reports.answers import is_answer, normalise_answer, score_answer
from chain_core.reports.metrics import compute_metrics


@pytest.mark.parametrize(
    ("text", "normal"),
    [("The  Eiffel Tower!", "eiffel tower"), ("a cat, an ant", "cat ant"), ("theatre", "theatre"), ("U.S.", "us")],
)
def test_normalisation(text: str, normal: str) -> None:
    assert normalise_answer(text) == normal


@pytest.mark.parametrize(
    ("gold", "predicted", "exact", "f1"),
    [
        (["Denver Broncos"], "the Denver Broncos", True, 1.0),
        (["Denver Broncos", "Broncos"], "broncos.", True, 1.0),
        # 2 words of 3 right, 2 of 2 found: 2 * 2 / (3 + 2)
        (["gold themed"], "gold themed coins", False, 0.8),
        (["in the kitchen", "hall"], "kitchen", False, 2 / 3),
        (["x x y"], "x y y", False, 2 / 3),
        (["red"], "", False, 0.0),
        ([], "", True, 1.0),
        ([], "red", False, 0.0),
        (["the"], "a", True, 1.0),
        (["北京大学"], "北京", False, 2 / 3),
    ],
)
def test_scores(gold: list[str], predicted: str, exact: bool, f1: float) -> None:
    assert is_answer(gold, predicted) == exact
    assert score_answer(gold, predicted) == pytest.approx(f1)


def test_the_figures_are_means_over_labelled_rows() -> None:
    metrics = compute_metrics("span", [["red light"], None, []], ["light", "x", ""])
    assert metrics == {"token_f1": pytest.approx((2 / 3 + 1) / 2), "exact_match": 0.5}
    assert next(iter(metrics)) == "token_f1"
