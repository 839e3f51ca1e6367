"""Curves of several runs and the log, on the Runs page."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

from chain_core.messages import LANGUAGES, load_catalogue, render
from chain_core.services.store.store import Store
from chain_core.ui.runs.log import KINDS, SHOWN
from tests.app.harness import open_page, run
from tests.services.seed import add_done, add_run, add_running


@pytest.fixture
def store(home) -> Store:
    return Store()


def view(page: AppTest, name: str) -> AppTest:
    page.session_state["runs_view"] = name
    return run(page)


def read_charts(page: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in page.get("vega_lite_chart")]


def find_labels(chart: dict) -> list[str]:
    return chart["layer"][0]["encoding"]["color"]["scale"]["domain"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_curves_of_several_runs_one_over_the_other(store: Store, language: str) -> None:
    first, second, third = add_done(store, "same"), add_done(store, "same"), add_running(store, "busy")
    others = {"with": f"{second},{third}"}
    page = open_page("runs", language, {"runs_view": "curves"}, run=first, **others)
    charts = read_charts(page)
    assert len(charts) == 2, "the loss and the score"
    assert [find_labels(chart) for chart in charts] == [["same", "same (2)", "busy"]] * 2
    options = page.multiselect(key="runs_series").options
    assert render("runs.series_gradient_of", language, part=render("runs.part_links", language)) in options
    assert len(options) == len(set(options))


def test_what_is_drawn_and_how_can_be_chosen(store: Store) -> None:
    page = view(open_page("runs", run=add_done(store, "one")), "curves")
    page.multiselect(key="runs_series").set_value(["gradient/links", "memory/process", "learning_rate"])
    page.toggle(key="runs_log_scale").set_value(True)
    page.slider(key="runs_smoothing").set_value(0.6)
    page.session_state["runs_axis"] = "seconds"
    charts = read_charts(run(page))
    assert len(charts) == 3
    assert all(layer["encoding"]["y"]["scale"]["type"] == "log" for chart in charts for layer in chart["layer"])
    assert charts[0]["layer"][0]["mark"]["opacity"] < 1, "the values stay faint behind the smooth line"
    assert charts[0]["layer"][0]["encoding"]["x"]["title"] == "Seconds"


def test_a_series_that_the_next_run_lacks_is_let_go(store: Store) -> None:
    rich, poor = add_done(store, "rich"), add_running(store, "poor")
    page = view(open_page("runs", run=rich), "curves")
    page.multiselect(key="runs_series").set_value(["gradient/links"])
    page = run(page)
    page.query_params["run"] = poor
    page = run(page)
    assert page.multiselect(key="runs_series").value == ["train/loss"]


def test_before_the_first_step_there_is_a_sentence(store: Store) -> None:
    page = view(open_page("runs", run=add_run(store, "later")), "curves")
    assert render("runs.no_step_yet", "en") in [caption.value for caption in page.caption]


def test_runs_that_are_gone_are_not_compared(store: Store) -> None:
    first, gone = add_done(store, "first"), add_done(store, "gone")
    store.delete_run(gone)
    page = view(open_page("runs", run=first, **{"with": f"{gone},nothing,{first}"}), "curves")
    assert not page.error
    assert find_labels(read_charts(page)[0]) == ["first"]


def read_log(page: AppTest) -> list[str]:
    return next(text.value for text in page.markdown if " · " in text.value and ":gray[" in text.value).split("  \n")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_log_is_sentences_the_newest_first(store: Store, language: str) -> None:
    page = open_page("runs", language, {"runs_view": "log"}, run=add_done(store, "one"))
    lines = read_log(page)
    assert render("runs.told_done_finished", language).rstrip(".。") in lines[0].replace("\\", "")
    assert "★" in "".join(lines)
    assert not any("{" in line for line in lines)


def test_the_log_shows_the_kinds_that_are_wanted(store: Store) -> None:
    state = {"runs_view": "log", "runs_log_kinds": ["notes"]}
    (line,) = read_log(open_page("runs", state=state, run=add_done(store, "one")))
    assert "256" in line


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_log_tells_of_how_many_rows_an_epoch_was(store: Store, language: str) -> None:
    run_id = add_running(store, "pruned")
    epochs = [
        {"kind": "epoch", "epoch": epoch, "epochs": 2, "score": 0.5, "seconds": epoch, "batches": batches,
         "batches_planned": 400}
        for epoch, batches in ((1, 400), (2, 228))
    ]  # fmt: skip
    store.append_events(run_id, epochs)
    second, first, *_ = read_log(open_page("runs", language, {"runs_view": "log"}, run=run_id))
    told = render("runs.told_pruned", language, share="57%")
    assert told in second
    assert "%" not in first, "of all rows: nothing to tell"


def test_the_log_is_bounded(store: Store) -> None:
    run_id = add_running(store, "long")
    store.append_events(run_id, [{"kind": "checkpoint", "step": step, "seconds": step} for step in range(400)])
    page = view(open_page("runs", run=run_id), "log")
    assert len(read_log(page)) == SHOWN
    assert any("events.jsonl" in caption.value for caption in page.caption)


def test_a_traceback_is_one_click_away(store: Store) -> None:
    page = view(open_page("runs", run=add_done(store, "crash")), "log")
    assert any("Traceback" in code.value for code in page.code)
    assert any(r"\<b\>boom\</b\>" in text.value for text in page.markdown), "shown as text"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_of_event_has_its_sentence(language: str) -> None:
    catalogue = load_catalogue(language)
    plain = {kind for kinds in KINDS.values() for kind in kinds} - {"phase", "note", "done", "stage"}
    assert {f"runs.told_{kind}" for kind in plain} <= set(catalogue)
    assert {f"runs.told_done_{reason}" for reason in ("finished", "stopped", "early")} <= set(catalogue)
