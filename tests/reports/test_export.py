"""What is taken away: no formula in CSV, Parquet that comes back, a page that needs and trusts nothing."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_core.messages import LANGUAGES
from chain_core.reports.examples import compute_examples, filter_examples
from chain_core.reports.export import FORMULA_STARTS, export_csv, export_parquet, write_answers_csv
from chain_core.reports.page import render_page
from chain_core.reports.predictions import HeadInfo, build_predictions, load_predictions
from chain_core.reports.wording import build_say
from tests.reports.make import make_predictions


@pytest.fixture(scope="module")
def predictions():
    return make_predictions(24)


@pytest.fixture(scope="module")
def examples(predictions):
    return compute_examples(predictions)


def read(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


cells = st.text(max_size=6) | st.builds("{}{}".format, st.sampled_from(FORMULA_STARTS), st.text(max_size=6))


@given(st.lists(st.tuples(cells, cells, st.lists(cells, max_size=3)), min_size=1, max_size=5))
def test_no_cell_of_text_is_a_formula(rows):
    heads = {"=a": HeadInfo("classification", (0,)), "b": HeadInfo("multilabel", (0,))}
    columns = {
        "text": [row[0] for row in rows],
        "gold:=a": [row[1] for row in rows],
        "pred:=a@0": [row[1] for row in rows],
        "gold:b": [row[2] for row in rows],
        "pred:b@0": [row[2] for row in rows],
    }
    predictions = build_predictions(columns, heads, split="test")
    written = read(export_csv(predictions, compute_examples(predictions)))
    assert len(written) == len(rows)
    for line, (text, label, _) in zip(written, rows, strict=True):
        assert not any(cell.startswith(FORMULA_STARTS) for cell in (*line, *line.values()))
        assert line["text"] in (text, "'" + text)
        assert line["gold:=a"] in (label, "'" + label)


def test_csv_holds_every_head_and_depth(predictions, examples):
    rows = read(export_csv(predictions, examples))
    assert len(rows) == 24
    assert rows[2]["text"].startswith("'=1+1")
    assert {"pred:intent@0", "conf:intent@3", "wrong:slots@1", "disagree:intent", "residual:price@3"} < set(rows[0])
    assert not {"wrong:price@3", "conf:price@3", "disagree:price"} & set(rows[0])
    assert set(rows[0]["conf:intent@3"]) <= set("0123456789.")
    labelled = next(i for i, cell in enumerate(examples["gold:topics"]) if cell and len(cell) > 1)
    assert "|" in rows[labelled]["gold:topics"]
    missing = next(i for i, cell in enumerate(examples["gold:intent"]) if cell is None)
    assert rows[missing]["gold:intent"] == ""


def test_parquet_comes_back(predictions, examples, tmp_path):
    chosen = filter_examples(examples, predictions, show="wrong")
    path = tmp_path / "wrong.parquet"
    path.write_bytes(export_parquet(predictions, chosen))
    loaded = load_predictions(path)
    assert loaded.heads == predictions.heads
    assert loaded.table.column("row").to_pylist() == chosen["row"].tolist()
    assert loaded.table.column("wrong:intent@3").to_pylist() == chosen["wrong:intent@3"].tolist()


@pytest.mark.parametrize("language", LANGUAGES)
def test_page_stands_alone_and_escapes(predictions, examples, language):
    page = render_page(predictions, examples, build_say(language), language=language)
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", page, flags=re.S)
    body = re.sub(r"<script[^>]*>.*?</script>", "", page, flags=re.S)
    assert "Content-Security-Policy" in body
    assert not re.search(r"<(script|link|img|iframe)[^>]*\s(src|href)=|@import|url\(", body)
    assert "&lt;script&gt;alert(" in body
    assert "smart &lt;home&gt;" in body
    assert "<b>ask" not in body
    assert not any("<script>alert" in script for script in scripts)
    assert "report." not in re.sub(r"&lt;.*?&gt;", "", body)
    for head in predictions.heads:
        assert f"<h2>{head}</h2>" in body
    assert body.count("<mark") > 10


def test_answers_of_a_predictor_as_csv():
    answers = [
        {
            "text": "=cmd",
            "tokens": ["=cmd"],
            "heads": {
                "intent": {"3": {"label": "@play", "confidence": 0.91234, "probabilities": {"@play": 0.9}}},
                "topics": {"3": {"labels": ["a", "b"], "confidence": 0.5}},
                "price": {"0": {"score": -1.5}},
                "slots": {"1": {"tags": ["B-x"], "confidence": 1.0}},
            },
        },
        {"text": "plain", "heads": {"intent": {"3": {"label": "stop", "confidence": 0.5}}}},
    ]
    stream = io.StringIO(newline="")
    write_answers_csv(answers, stream)
    first, second = csv.DictReader(io.StringIO(stream.getvalue(), newline=""))
    assert first["text"] == "'=cmd"
    assert first["intent@3"] == "'@play"
    assert first["conf:intent@3"] == "0.9123"
    assert first["topics@3"] == "a|b"
    assert first["price@0"] == "-1.5"
    assert first["slots@1"] == "B-x"
    assert second["slots@1"] == ""


def test_rows_of_several_data_sets_side_by_side():
    """Tokens here, pairs there: what a row lacks is null, and each head has gold on its own set's rows alone."""
    from chain_core.ui.report.table import build_table, render_tags

    heads = {
        "slots": HeadInfo("tagging", (1,), ("O", "B-x")),
        "topic": HeadInfo("classification", (1,), ("a", "b"), "pairs"),
        "mark": HeadInfo("regression", (1,), (), "pairs"),
    }
    columns = {
        "row": [0, 1, 2], "text": ["in Paris", "one", "two"], "tokens": [["in", "Paris"], None, None],
        "pair": [None, "three", "four"],
        "gold:slots": [["O", "B-x"], None, None], "pred:slots@1": [["O", "O"], [], []], "conf:slots@1": [0.5, 1, 1],
        "gold:topic": [None, "a", "b"], "pred:topic@1": ["a", "a", "a"], "conf:topic@1": [0.9, 0.8, 0.7],
        "gold:mark": [None, 1.0, 2.0], "pred:mark@1": [0.0, 1.0, 2.5],
    }  # fmt: skip
    predictions = build_predictions(columns, heads, split="test", run="joined")
    examples = compute_examples(predictions)
    rows = read(export_csv(predictions, examples))
    assert [row["pair"] for row in rows] == ["", "three", "four"]
    for language in LANGUAGES:
        page = render_page(predictions, examples, build_say(language), language=language)
        assert "Paris" in page
        assert "three" in page
    assert filter_examples(examples, predictions, show="wrong")["row"].tolist() == [0, 2]
    assert len(build_table(examples, predictions, ["slots", "topic", "mark"])) == 3
    assert "Paris" in render_tags(examples, predictions, "slots", build_say("en"))
