"""The Predict page, in both languages, with a fake predictor in the same process."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from chain_core.messages import LANGUAGES, render
from chain_core.services.store.store import Store
from tests.app.harness import click, open_page, run
from tests.services.seed import add_done, add_every_state, add_run


@pytest.fixture(autouse=True)
def _predictor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAIN_PREDICTOR", "tests.services.fakes:load_predictor")


@pytest.fixture
def store(home: Path) -> Store:
    return Store()


def open_predict(run_id: str | None = None, language: str = "en") -> AppTest:
    return open_page("predict", language, run=run_id)


def ask(page: AppTest, texts: str) -> AppTest:
    page.text_area(key="predict_texts").set_value(texts)
    page.button[0].click()
    return run(page)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_finished_run_leads_on(store: Store, language: str) -> None:
    add_run(store, "waiting")
    page = open_predict(language=language)
    assert page.markdown[-1].value == render("predict.empty", language)
    assert page.button(key="predict_empty").label == render("predict.empty_action", language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_head_at_every_depth_answers(store: Store, language: str) -> None:
    run_id = add_every_state(store)["finished"]
    page = ask(open_predict(run_id, language), "fly to Boston\n\nhello")
    frame = page.dataframe[0].value
    assert frame.columns.tolist() == [render("predict.text", language), "intent", "slots@1", "slots@3"]
    assert frame["intent"].tolist() == ["long <b> · 91%", "short_one · 91%"]
    assert frame["slots@3"].tolist()[0] == "Boston (city) · 80%"
    assert len(page.expander) == 2
    shown = "".join(element.proto.body for element in page.get("html"))
    assert "long &lt;b&gt;" in shown
    assert "<mark" in shown


def test_empty_text_is_a_sentence(store: Store) -> None:
    run_id = add_every_state(store)["finished"]
    page = ask(open_predict(run_id), " \n")
    assert "no text to predict" in page.error[0].value


def test_an_error_of_the_predictor_is_a_sentence(store: Store) -> None:
    run_id = add_done(store, "plain", input={"text": "t"}, heads=None)
    page = ask(open_predict(run_id), "crash")
    assert "could not predict" in page.error[0].value


def test_answers_of_one_run_are_not_shown_under_another(store: Store) -> None:
    first, second = add_done(store, "first"), add_done(store, "second")
    page = ask(open_predict(first), "fly to Boston")
    assert page.dataframe
    page.selectbox[0].set_value(second)
    run(page)
    assert page.query_params["run"] == second
    assert not page.dataframe


def test_a_run_that_is_not_ready_is_said(store: Store) -> None:
    runs = add_every_state(store)
    page = open_predict(runs["running"])
    assert "has no model yet" in page.error[0].value


def test_pairs_get_a_second_box(store: Store) -> None:
    run_id = add_done(store, "pairs", input={"text": "a", "pair": "b"}, heads=None)
    page = open_predict(run_id)
    page.text_area(key="predict_pairs").set_value("only one")
    page = ask(page, "one\ntwo")
    assert "do not match" in page.error[0].value


def test_an_uploaded_file(store: Store) -> None:
    run_id = add_every_state(store)["finished"]
    page = open_predict(run_id)
    page.get("file_uploader")[0].set_value(("rows.csv", b"words,x\nfly to Boston,1\nhello,2\n", "text/csv"))
    run(page)
    click(page, "predict_go")
    assert len(page.dataframe[0].value) == 2
