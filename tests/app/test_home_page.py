"""The Home page, in both languages."""

from __future__ import annotations

from pathlib import Path

import pytest
import streamlit as st

from chain_core.config import resolve_config
from chain_core.data.samples import SAMPLES
from chain_core.messages import LANGUAGES, render
from chain_core.services.machine import Gpu, Machine, read_machine, save_machine
from chain_core.services.store.store import Store
from chain_core.ui.home.doors import build_sample_draft, read_yaml_draft
from tests.app.harness import click, open_page, run
from tests.services.seed import add_every_state


@pytest.fixture
def store(home: Path) -> Store:
    return Store()


@pytest.fixture
def left_for(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages that the page under test left for."""
    pages: list[str] = []

    def go_to(name: str, **params: str) -> None:
        pages.append(name)
        st.stop()

    monkeypatch.setattr("chain_core.ui.home.doors.go_to", go_to)
    return pages


@pytest.mark.parametrize("language", LANGUAGES)
def test_fresh_machine(store: Store, language: str) -> None:
    page = open_page("home", language=language)
    labels = {button.label for button in page.button}
    assert render("home.table_action", language) in labels
    for name in SAMPLES:
        assert page.button(key=f"door_{name}").label == render(f"home.sample_{name}", language)
    assert render("home.no_runs", language) in [caption.value for caption in page.caption]
    values = {metric.label: metric.value for metric in page.metric}
    assert values[render("home.cores", language)] == str(read_machine().cores)
    assert values[render("home.gpu", language)] == render("home.measuring", language)


def test_the_machine_once_it_was_measured(store: Store) -> None:
    here = read_machine()
    gpu = Gpu("H100 *80GB*", 80 * 2**30)
    save_machine(store, Machine(here.cores, here.memory, (gpu,), "bf16", {"fp32": 60.0, "bf16": 1234.5}))
    page = open_page("home")
    values = [metric.value for metric in page.metric]
    assert values[2:] == [r"H100 \*80GB\* \(80 GiB\)", "bf16", "1,234 GFLOP/s"]


def test_another_machines_measurement_is_not_shown(store: Store) -> None:
    here = read_machine()
    save_machine(store, Machine(here.cores + 1, here.memory, (), "bf16", {"bf16": 1.0}))
    assert open_page("home").metric[2].value == "measuring…"


@pytest.mark.parametrize("language", LANGUAGES)
def test_last_runs(store: Store, language: str) -> None:
    runs = add_every_state(store)
    page = open_page("home", language=language)
    opens = {key: page.button(key=f"home_{run_id}").label for key, run_id in runs.items()}
    assert opens["finished"] == render("home.open_report", language)
    assert opens["running"] == render("home.open_runs", language)
    captions = "\n".join(caption.value for caption in page.caption)
    assert "intent 0.971 · slots 0.930" in captions


@pytest.mark.parametrize("name", list(SAMPLES))
def test_a_samples_draft_is_a_whole_config(store: Store, name: str) -> None:
    if name != "tiny" and name != "bbc-news":
        pytest.importorskip("hassil")
    config = resolve_config(build_sample_draft(name))
    assert config.heads is not None
    assert set(config.heads) == set(SAMPLES[name].heads)
    (entry,) = store.list_data_sets()
    assert config.data.train == entry.id


def test_a_sample_is_one_click_from_the_chain_page(store: Store, home: Path, left_for: list[str]) -> None:
    page = open_page("home")
    page.button(key="door_tiny").click()
    run(page)
    assert (home / "draft.yaml").is_file()
    assert left_for == ["chain"]


def test_an_opened_yaml_becomes_the_draft(store: Store, home: Path, left_for: list[str]) -> None:
    page = open_page("home")
    page.get("file_uploader")[0].set_value(("run.yaml", b"\xef\xbb\xbfname: mine\ndata: {train: a.csv}\n", "text/yaml"))
    run(page)
    assert "name: mine" in (home / "draft.yaml").read_text()
    assert left_for == ["chain"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"data: {train: a.csv}\ntrain: {epoch: 3}\n", "Did you mean “epochs”"),
        (b"data: [\n", "cannot be read"),
        (b"ok: 1\n\xff\xfe: 2\n", "line 2"),
        (b"", "no keys"),
    ],
)
def test_a_bad_yaml_is_a_sentence_and_the_draft_stays(store: Store, home: Path, content: bytes, words: str) -> None:
    (home / "draft.yaml").write_text("name: old\n")
    page = open_page("home")
    page.get("file_uploader")[0].set_value(("run.yaml", content, "text/yaml"))
    run(page)
    assert words in page.error[0].value.replace("\\", "")
    assert (home / "draft.yaml").read_text() == "name: old\n"


def test_yaml_of_a_run_can_be_read_back() -> None:
    mapping = {"name": "意图", "data": {"train": "a"}}
    assert read_yaml_draft("name: 意图\ndata: {train: a}\n".encode()) == mapping


def test_doors_lead_on(store: Store, left_for: list[str]) -> None:
    click(open_page("home"), "door_table")
    assert left_for == ["data"]
