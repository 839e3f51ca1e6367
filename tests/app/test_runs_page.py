"""The Runs page, in both languages."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from chain_core.messages import LANGUAGES, render
from chain_core.services.store.store import Store
from tests.app.harness import open_page
from tests.services.seed import RICH_NAME, add_every_state, add_run


@pytest.fixture
def store(home: Path) -> Store:
    return Store()


def open_runs(run_id: str | None = None, language: str = "en") -> AppTest:
    return open_page("runs", language, run=run_id)


def read_texts(page: AppTest) -> str:
    kinds = (page.markdown, page.caption, page.error, page.info, page.warning, page.subheader)
    return "\n".join(element.value for kind in kinds for element in kind)


def list_keys(page: AppTest) -> set[str]:
    return {str(button.key) for button in page.button}


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_to_show_leads_on(store: Store, language: str) -> None:
    page = open_runs(language=language)
    assert render("runs.empty", language) in read_texts(page)
    assert page.button(key="runs_empty").label == render("runs.empty_action", language)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("state", ["finished", "failed", "running", "queued"])
def test_every_state_in_every_language(store: Store, state: str, language: str) -> None:
    runs = add_every_state(store)
    page = open_runs(runs[state], language)
    listed = page.dataframe[0].value
    assert len(listed) == 4
    words = render(f"runs.state_{state}", language)
    assert any(words in cell for cell in listed[render("runs.state", language)])
    assert words in read_texts(page), "the chosen run's badge"
    assert "{" not in read_texts(page), "no field of a sentence is left open"


def test_a_finished_run_offers_report_predict_and_config(store: Store) -> None:
    runs = add_every_state(store)
    page = open_runs(runs["finished"])
    delete = f"run_delete_{runs['finished']}"
    assert list_keys(page) == {"run_star", "run_report", "run_predict", "run_duplicate", delete}
    assert [metric.value for metric in page.metric] == ["0.971", "0.930"]
    assert "3 texts" in read_texts(page), "the note about what was cut is shown"
    figures = [frame.value for frame in page.dataframe[1:]]
    assert [len(frame) for frame in figures] == [3, 3], "one table a head, one row an epoch"
    assert "entity F1 @1" in figures[1].columns


def test_names_are_shown_letter_by_letter(store: Store) -> None:
    runs = add_every_state(store)
    page = open_runs(runs["finished"])
    assert page.subheader[0].value == r"\*star\* \<b\>bold\</b\> \:red\[x\] \$a\$"
    assert RICH_NAME in page.dataframe[0].value["Run"].tolist()


def test_a_failed_run_says_why_with_the_traceback_at_hand(store: Store) -> None:
    runs = add_every_state(store)
    page = open_runs(runs["failed"])
    assert r"\<b\>boom\</b\>" in page.error[0].value
    assert "Traceback" in page.code[0].value
    assert "run_report" not in list_keys(page)


def test_without_a_choice_the_newest_is_shown(store: Store) -> None:
    add_every_state(store)
    assert open_runs().subheader[0].value == "later"


def test_an_unknown_run_in_the_address_is_said(store: Store) -> None:
    add_every_state(store)
    page = open_runs("../../etc")
    assert "There is no run" in page.error[0].value
    assert page.subheader[0].value == "later"


def test_a_draft_of_a_run_keeps_its_settings(store: Store, home: Path) -> None:
    from chain_core.ui.runs.copy import build_draft

    (home / "train.csv").write_text("words,intent\n")
    run_id = add_run(store, "again", chain={"depth": 5})
    draft = build_draft(store.get_run(run_id))
    assert (draft["name"], draft["chain"]["depth"]) == ("again", 5)
    assert draft["data"]["train"] == str(home / "train.csv"), "a draft has no folder of its own"


def test_every_path_of_a_run_becomes_absolute(home: Path) -> None:
    from chain_core.ui.runs.copy import fix_paths

    for name in ("a.csv", "b.csv", "words.txt", "texts.txt"):
        (home / name).write_text("x\n")
    for name in ("there", "back", "old"):
        (home / name).mkdir()
    mapping = {
        "data": {"train": "a.csv", "validation": 0.1, "test": "a stored one"},
        "also": {"more": {"data": {"train": "b.csv"}}},
        "augment": {"synonyms": "words.txt", "back_translation": ["there", "back"]},
        "stages": [{"data": "texts.txt"}, {"data": None}],
        "start": {"run": "old", "l2": 0.1},
    }
    here = str(home)
    assert fix_paths({"start": {"run": "x" * 300}}, home) == {"start": {"run": "x" * 300}}
    assert fix_paths(mapping, home) == {
        "data": {"train": f"{here}/a.csv", "validation": 0.1, "test": "a stored one"},
        "also": {"more": {"data": {"train": f"{here}/b.csv"}}},
        "augment": {"synonyms": f"{here}/words.txt", "back_translation": [f"{here}/there", f"{here}/back"]},
        "stages": [{"data": f"{here}/texts.txt"}, {"data": None}],
        "start": {"run": f"{here}/old", "l2": 0.1},
    }


def test_progress_and_time_left(store: Store) -> None:
    runs = add_every_state(store)
    page = open_runs(runs["running"])
    (bar,) = page.get("progress")
    assert bar.proto.value == 12
    assert bar.proto.text == "Training · epoch 2 of 10 · about 22 s left"
