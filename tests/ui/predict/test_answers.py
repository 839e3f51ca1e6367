"""Answers in cells and as HTML."""

from __future__ import annotations

from chain_core.ui.predict.answers import build_answer_frame, find_entities, format_result, render_result

ANSWER = {
    "text": "fly to New York",
    "tokens": ["fly", "to", "New", "York"],
    "heads": {
        "intent": {"3": {"label": "flight", "confidence": 0.914, "probabilities": {"flight": 0.914, "<b>": 0.086}}},
        "slots": {
            "10": {"tags": ["O", "O", "B-city", "I-city"], "confidence": 0.8},
            "2": {"tags": ["O", "O", "O", "O"], "confidence": 0.7},
        },
        "topics": {"3": {"labels": [], "confidence": 0.9}},
        "stars": {"3": {"score": 3.14159265}},
    },
}  # fmt: skip


def test_a_row_a_text_and_a_column_a_head_and_depth() -> None:
    frame = build_answer_frame([ANSWER, {**ANSWER, "text": "=1+1"}], "Text", "Pair")
    assert list(frame.columns) == ["Text", "intent", "slots@2", "slots@10", "topics", "stars"]
    assert frame.iloc[0].tolist() == [
        "fly to New York", "flight · 91%", "– · 70%", "New York (city) · 80%", "– · 90%", "3.142",
    ]  # fmt: skip


def test_entities() -> None:
    assert find_entities(["a", "b", "c"], ["B-x", "B-x", "I-x"]) == [("a", "x"), ("b c", "x")]
    assert find_entities(["打", "开"], ["B-动作", "I-动作"]) == [("打开", "动作")]


def test_labels_are_listed() -> None:
    assert format_result({"labels": ["a", "b"], "confidence": 0.5}, None) == "a, b · 50%"


def test_html_of_outsiders_is_escaped() -> None:
    bars = render_result({"label": "x", "confidence": 1.0, "probabilities": {"<script>": 2.0}}, None, {})
    assert "<script>" not in bars
    assert "&lt;script&gt;" in bars
    assert "width:100.0%" in bars
    tags = render_result({"tags": ["B-<i>"], "confidence": 1.0}, ["<img src=x>"], {})
    assert "<img" not in tags
    assert "<i>" not in tags


def test_answers_and_their_absence() -> None:
    assert format_result({"answer": "in Paris", "confidence": 0.5}, None) == "in Paris · 50%"
    assert format_result({"answer": "", "confidence": 0.75}, None) == "∅ · 75%"
    bar = render_result({"answer": "<i>", "confidence": 0.5}, None, {})
    assert "&lt;i&gt;" in bar
    assert "50.0%" in bar
