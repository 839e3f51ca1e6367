"""Frames and descriptions of curves of several runs."""

from __future__ import annotations

import pytest

from chain_core.services.store.records import Curve
from chain_core.ui.runs.compare import build_chart, build_frame, name_apart, order_series, smooth

TITLES = {"x": "Steps", "run": "Run", "value": "Loss", "stage": "Stage"}


def curve(values: list[float | None], seconds: float = 1.0) -> Curve:
    steps = [float(number) for number in range(1, len(values) + 1)]
    return Curve(steps, [step / 10 for step in steps], [step * seconds for step in steps], values)


def test_smoothing_of_nothing_and_of_a_constant_changes_nothing() -> None:
    assert smooth([3.0, 1.0, 2.0], 0.0) == [3.0, 1.0, 2.0]
    assert smooth([2.0] * 5, 0.9) == pytest.approx([2.0] * 5), "the first values do not pull towards zero"


def test_smoothing_leaves_gaps_and_lags() -> None:
    smoothed = smooth([0.0, None, 1.0, 1.0], 0.5)
    assert smoothed[1] is None
    assert smoothed[2] == pytest.approx(2 / 3)
    assert 2 / 3 < smoothed[3] < 1


def test_a_frame_holds_every_run_over_the_axis_that_was_asked_for() -> None:
    curves = {"a": curve([1.0, 2.0]), "b": curve([3.0, None])}
    frame, minutes = build_frame(curves, "train/loss", "epoch", 0.0)
    assert frame[["x", "run", "value"]].values.tolist() == [[0.1, "a", 1.0], [0.2, "a", 2.0], [0.1, "b", 3.0]]
    assert not minutes


def test_long_runs_are_told_in_minutes_and_memory_in_gigabytes() -> None:
    frame, minutes = build_frame({"a": curve([2e9], seconds=1200)}, "memory/process", "seconds", 0.0)
    assert minutes
    assert frame[["x", "value"]].values.tolist() == [[20.0, 2.0]]


def test_nothing_gives_an_empty_frame() -> None:
    frame, _ = build_frame({}, "train/loss", "step", 0.0)
    assert frame.empty
    assert list(frame.columns) == ["x", "run", "value", "smooth", "stage"]


def test_each_of_several_stages_is_marked_at_its_first_value() -> None:
    stages = [{"stage": 1, "name": "words", "step": 0}, {"stage": 2, "name": "", "step": 2}, {"stage": 3, "step": 9}]
    curves = {"a": curve([1.0, 2.0, None, 4.0]), "b": curve([1.0])}
    frame, _ = build_frame(curves, "train/loss", "step", 0.0, {"a": stages, "b": stages[:1]})
    marks = frame.loc[frame["stage"].notna(), ["run", "x", "stage"]].values.tolist()
    assert marks == [["a", 1.0, "words"], ["a", 4.0, "2"]], "a run of one stage has no mark, nor what has no value yet"


def test_runs_of_one_name_are_told_apart() -> None:
    assert name_apart(["a", "b", "a", "a", "a (2)"]) == ["a", "b", "a (2)", "a (3)", "a (2) (2)"]


def test_series_have_an_order_that_does_not_depend_on_the_run() -> None:
    names = ["memory/process", "validation/a@1/loss", "learning_rate", "validation/score", "train/a@1/loss",
             "train/loss", "gradient/links", "train/loss"]  # fmt: skip
    assert order_series(names) == [
        "train/loss", "train/a@1/loss", "validation/score", "validation/a@1/loss", "learning_rate", "gradient/links",
        "memory/process",
    ]  # fmt: skip


def list_scales(chart: dict) -> list[dict]:
    return [layer["encoding"]["y"]["scale"] for layer in chart["layer"]]


def test_the_scale_and_the_faint_line() -> None:
    plain = build_chart(["a", "b"], TITLES, log=False, smoothed=False)
    assert all(scale == {"zero": False} for scale in list_scales(plain))
    drawn = build_chart(["a", "b"], TITLES, log=True, smoothed=True)
    assert all(scale == {"type": "log"} for scale in list_scales(drawn))
    assert drawn["transform"] == [{"filter": "datum.value > 0"}], "a logarithm of nothing"
    faint, line = drawn["layer"][:2]
    assert (faint["encoding"]["y"]["field"], line["encoding"]["y"]["field"]) == ("value", "smooth")
    assert faint["mark"]["opacity"] < 0.5
    assert line["encoding"]["color"]["scale"]["domain"] == ["a", "b"], "a run keeps its colour in every chart"


def test_one_run_needs_no_legend() -> None:
    chart = build_chart(["a"], TITLES, log=False, smoothed=False)
    assert chart["layer"][0]["encoding"]["color"]["legend"] is None
