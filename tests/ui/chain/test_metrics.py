"""The figures that the Chain page offers are those that a run can be judged by."""

from __future__ import annotations

from chain_core.config import find_problems
from chain_core.ui.chain.metrics import offer_metrics

TOPIC = {"kind": "classification", "column": "topic"}
HEADS = {"topic": TOPIC, "score": {"kind": "regression", "column": "score"}, "words": {"kind": "masked_lm"}}
STAGES = [{"objective": "masked_lm"}, {"objective": "tasks"}]


def test_what_is_offered_is_accepted() -> None:
    offered = offer_metrics(HEADS, STAGES)
    assert {"topic/macro_f1", "score/mae", "joint/exact_match"} <= set(offered)
    assert not any(metric.startswith("words/") for metric in offered)
    for metric in offered:
        draft = {"data": {"train": "x"}, "heads": HEADS, "stages": STAGES, "train": {"metric": metric}}
        assert find_problems(draft) == []


def test_one_head_has_no_joint_figure() -> None:
    assert offer_metrics({"topic": TOPIC}, None)[0] == "topic/accuracy"
    assert "joint/exact_match" not in offer_metrics({"topic": TOPIC}, None)


def test_a_draft_in_any_state_is_looked_at() -> None:
    assert offer_metrics({"topic": TOPIC}, STAGES[:1]) == []
    assert offer_metrics(3, "x") == offer_metrics({"a": {"kind": ["x"]}, "b": None}, [None, {"objective": 1}]) == []
