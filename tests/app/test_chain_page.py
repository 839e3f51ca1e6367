"""The Chain page: what its widgets write, what it says, what Train sends off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from chain_core.messages import LANGUAGES, render
from chain_core.ui.escape import escape_markdown
from tests.app.harness import open_page

ROWS = [
    {"text": f"row number {index}", "tokens": ["row", "number", str(index)], "intent": "ab"[index % 2],
     "tags": ["O", "O", "B-number"], "score": index / 3}
    for index in range(40)
]  # fmt: skip


@pytest.fixture
def draft(home: Path, write_draft) -> dict[str, Any]:
    home.mkdir(parents=True, exist_ok=True)
    (home / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS), encoding="utf-8")
    draft = {
        "name": "numbers",
        "data": {"train": "rows.jsonl"},
        "input": {"tokens": "tokens"},
        "heads": {
            "intent": {"kind": "classification", "column": "intent"},
            "tags": {"kind": "tagging", "column": "tags"},
        },
    }
    write_draft(draft)
    return draft


def read_draft(home: Path) -> dict[str, Any]:
    return yaml.safe_load((home / "draft.yaml").read_text(encoding="utf-8"))


def find_button(app, key: str, language: str = "en"):
    return next(button for button in app.button if render(key, language) in button.label)


def get_drawing(app) -> str:
    return next(element.value for element in app.markdown if "<svg" in element.value)


@pytest.mark.usefixtures("draft")
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_good_draft_is_ready_to_train(language: str) -> None:
    app = open_page("chain", language)
    assert not app.exception
    assert not app.error
    assert not find_button(app, "chain.train", language).disabled
    drawing = get_drawing(app)
    assert "intent" in drawing
    assert "tags" in drawing
    assert render("chain.layer", language, number=6) in drawing


@pytest.mark.usefixtures("draft")
def test_every_change_is_written_and_drawn(home: Path) -> None:
    app = open_page("chain")
    app.slider(key="chain:chain/depth").set_value(5).run()
    app.number_input(key="chain:chain/width").set_value(128).run()
    app.selectbox(key="chain:chain/links/kind").select("linear").run()
    app.number_input(key="chain:train/epochs").set_value(2).run()
    app.number_input(key="chain:heads/intent/weight").set_value(0.5).run()
    assert not app.exception
    written = read_draft(home)
    assert written["chain"] == {"depth": 5, "width": 128, "links": {"kind": "linear"}}
    assert written["train"]["epochs"] == 2
    assert written["heads"]["intent"]["weight"] == 0.5
    assert get_drawing(app).count(render("chain.link_linear", "en")) == 5
    assert "B × T × 128" in get_drawing(app)


@pytest.mark.usefixtures("draft")
def test_the_draft_survives_a_page_switch() -> None:
    app = open_page("chain")
    app.slider(key="chain:chain/depth").set_value(7).run()
    app.switch_page("pages/home.py").run()
    app.switch_page("pages/chain.py").run()
    assert app.slider(key="chain:chain/depth").value == 7


@pytest.mark.usefixtures("draft")
def test_tuning_controls_stand_only_where_they_apply() -> None:
    app = open_page("chain")
    keys = {element.key for element in app.number_input}
    assert "chain:backbone/rank" not in keys
    app.selectbox(key="chain:backbone/tuning").select("lora").run()
    assert not app.exception
    keys = {element.key for element in app.number_input}
    assert {"chain:backbone/rank", "chain:backbone/layers", "chain:train/backbone_learning_rate"} <= keys


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "change",
    [
        {"chain": {"depht": 3}},
        {"chain": {"depth": 99}},
        {"chain": {"depth": 1, "taps": [40]}},
        {"backbone": {"name": "/no/such/folder"}},
        {"backbone": {"tuning": "lora", "rank": 0}},
        {"heads": {"a": {"kind": "classification", "column": "gone"}}},
        {"heads": {"a": {"kind": "regression", "column": "intent"}}},
        {"heads": 3},
        {"data": {"train": "gone.csv"}},
        {"input": {"text": "gone"}},
        {"train": {"epochs": "many"}},
        {"preset": "quick"},
        {"stages": 3},
        {"stages": [3, {"depth": "x"}]},
        {"also": [1]},
        {"also": {"a": 3, "b": {"data": {"train": "gone.csv"}}}},
        {"start": "x"},
        {"start": {"run": 3}},
        {"augment": []},
        {"chain": {"densities": "up", "budget": "much", "taps": "1, x"}},
        {"chain": {"depth": 1, "links": [{"density": "x", "kernel": [], "tie": {}}]}},
        {"chain": {"links": {"tie": 9, "kind": "no"}}},
        {"data": {"train": "rows.jsonl", "test": [1]}},
        {"heads": {"a": {"kind": "relation", "column": "intent", "spans": "x", "depth_weights": "y"}}},
    ],
    ids=str,
)
def test_what_is_wrong_is_said_and_train_is_off(write_draft, draft, change: dict, language: str) -> None:
    write_draft({**draft, **change})
    app = open_page("chain", language)
    assert not app.exception
    assert app.error
    assert find_button(app, "chain.train", language).disabled
    assert any(render("chain.train_off", language, reason="").strip() in caption.value for caption in app.caption)


def test_what_comes_to_nothing_is_said_and_the_run_can_start_all_the_same(write_draft, draft) -> None:
    write_draft({**draft, "chain": {"links": {"detach": True}}, "train": {"l2_sp": 0.01}})
    app = open_page("chain")
    (said,) = [info.value for info in app.info]
    assert "no loss reaches links 1, 2" in said
    assert "train.l2\\_sp changes nothing here" in said
    assert not find_button(app, "chain.train").disabled


def test_names_of_people_are_text(write_draft, draft) -> None:
    heads = {"<b>*x*": {"kind": "classification", "column": "<img src=x>"}}
    write_draft({**draft, "heads": heads})
    app = open_page("chain")
    assert not app.exception
    assert not any("<img" in error.value.replace("\\<", "") for error in app.error)


@pytest.mark.usefixtures("draft")
def test_train_sends_the_run_off() -> None:
    from chain_core.services.store.store import Store

    app = open_page("chain")
    find_button(app, "chain.train").click().run()
    assert not app.exception
    runs = Store().list_runs()
    assert [(run.name, run.state) for run in runs] == [("numbers", "queued")]
    assert app.title[0].value == render("runs.title", "en")


@pytest.mark.usefixtures("draft")
def test_heads_are_added_renamed_and_removed(home: Path) -> None:
    app = open_page("chain")
    app.selectbox(key="chain_add_column").select("score")
    app.selectbox(key="chain_add_kind").select("regression")
    app.button(key="chain_add_button").click().run()
    app.text_input(key="chain_name_score").set_value("points").run()
    app.button(key="chain_remove_tags").click().run()
    assert not app.exception
    assert list(read_draft(home)["heads"]) == ["intent", "points"]


@pytest.mark.usefixtures("draft")
def test_a_yaml_takes_the_drafts_place(home: Path) -> None:
    app = open_page("chain")
    text = "name: other\ndata: {train: rows.jsonl}\ninput: {text: text}\nchain: {depth: 2}\n"
    app.get("file_uploader")[0].set_value([("mine.yaml", text.encode(), "application/yaml")]).run()
    assert not app.exception
    assert read_draft(home)["name"] == "other"
    assert app.slider(key="chain:chain/depth").value == 2
    assert set(read_draft(home)["heads"]) >= {"intent"}, "heads are inferred where the file leaves them out"


@pytest.mark.parametrize("place", ["~nobody-of-this-name/x", "x" * 300])
def test_a_path_that_leads_nowhere_can_be_mended_here(home: Path, draft, write_draft, place: str) -> None:
    write_draft({**draft, "augment": {"copies": 1, "synonyms": place}, "start": {"run": place}})
    app = open_page("chain")
    assert sum(escape_markdown(place) in error.value for error in app.error) == 2
    assert find_button(app, "chain.train").disabled
    app.text_input(key="chain:augment/synonyms").set_value("").run()
    assert not app.exception
    assert read_draft(home)["augment"]["synonyms"] is None


@pytest.mark.usefixtures("draft")
@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"- 1", b"a: [", b""])
def test_a_broken_yaml_changes_nothing(home: Path, content: bytes) -> None:
    app = open_page("chain")
    app.get("file_uploader")[0].set_value([("mine.yaml", content, "application/yaml")]).run()
    assert not app.exception
    assert app.error
    assert read_draft(home)["name"] == "numbers"
