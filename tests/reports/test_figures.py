"""Figures draw what the frames hold; labels stay text."""

from __future__ import annotations

import pytest

from chain_core.messages import load_catalogue
from chain_core.reports import figures, frames
from chain_core.reports.metrics import compute_metrics
from chain_core.reports.wording import build_say, format_cell, format_metric, format_number
from tests.reports.make import make_predictions

SAY = build_say("en")


@pytest.fixture(scope="module")
def predictions():
    return make_predictions(60)


@pytest.fixture(scope="module")
def drawn(predictions):
    confusion = frames.compute_confusion(predictions, "intent", 3)
    return {
        "confusion": figures.build_confusion_figure(confusion, SAY),
        "classes": figures.build_class_figure(frames.compute_class_depths(predictions, "intent"), SAY),
        "labels": figures.build_label_figure(frames.compute_label_counts(predictions, "topics", 3), SAY),
        "depths": figures.build_depth_figure(frames.compute_depth_frame(predictions, "intent"), SAY),
        "scatter": figures.build_scatter_figure(frames.compute_residuals(predictions, "price", 3), SAY),
    }


def test_every_figure_has_no_ground_and_no_markup(drawn):
    for figure in drawn.values():
        assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
        text = figure.to_json()
        assert "<b>" not in text
        assert "\\u003cb\\u003e" not in text
        assert "script\\u003e" not in text.replace("&lt;script", "")
        assert "report." not in text


def test_bars_and_cells_hold_the_numbers(predictions, drawn):
    classes = frames.compute_class_depths(predictions, "intent")
    assert [list(bar.x) for bar in drawn["classes"].data] == [classes["0"].tolist(), classes["3"].tolist()]
    assert [bar.name for bar in drawn["classes"].data] == ["Depth 0", "Depth 3"]
    confusion = frames.compute_confusion(predictions, "intent", 3)
    assert (drawn["confusion"].data[0].z == confusion.shares).all()
    assert "&lt;b&gt;ask&lt;/b&gt;" in drawn["confusion"].layout.xaxis.ticktext


def test_every_metric_has_a_name_in_every_language():
    cells = {"classification": "a", "multilabel": ["a"], "regression": 1.0, "tagging": ["B-a"]}
    for language in ("en", "zh"):
        catalogue = load_catalogue(language)
        for kind, cell in cells.items():
            assert f"report.kind.{kind}" in catalogue
            for name in compute_metrics(kind, [cell, cell], [cell, cell]):
                assert f"metrics.{name}" in catalogue


def test_numbers_as_people_read_them():
    assert format_metric("accuracy", 0.97237) == "0.972"
    assert format_metric("mae", 0.123456789) == "0.123"
    assert format_metric("f1", float("nan")) == "–"
    assert format_number(12345.678) == "12,346"
    assert format_number(1e-7) == "1.00e-07"
    assert format_cell("multilabel", ["b", "a"]) == "a, b"
    assert format_cell("tagging", ["B-a", "I-a", "O"], ["x", "y", "z"]) == "x y (a)"
    assert format_cell("classification", None) == "–"
