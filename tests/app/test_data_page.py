"""The Data page, in both languages: every way in, what it shows, what it refuses, and the step on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from streamlit.testing.v1 import AppTest

from chain_core.data.samples import SAMPLES
from chain_core.data.store import import_files, list_data_sets
from chain_core.messages import LANGUAGES, render
from chain_core.services.store.store import Store
from tests.app.harness import open_page, run

ROWS = "".join(f"{number},<b>row</b> number {number} of *many*,{'ab'[number % 2]}\n" for number in range(40))
TABLE = f"id,text,label\n{ROWS}"


@pytest.fixture
def stored(tmp_path: Path, home: Path):
    path = tmp_path / "rows.csv"
    path.write_text(TABLE)
    return import_files({"train": path}, name="rows")


def upload(app: AppTest, content: bytes | str, name: str = "rows.csv") -> AppTest:
    content = content.encode() if isinstance(content, str) else content
    app.file_uploader[0].set_value([(name, content, "text/plain")])
    return run(app)


def find_button(app: AppTest, key: str) -> Any:
    return next(button for button in app.button if button.key == key)


def read_draft(home: Path) -> dict[str, Any]:
    return yaml.safe_load((home / "draft.yaml").read_text(encoding="utf-8"))


def get_texts(app: AppTest) -> str:
    return "\n".join(element.value for element in (*app.markdown, *app.subheader, *app.caption, *app.info))


@pytest.mark.parametrize("language", LANGUAGES)
def test_before_a_table_is_chosen(language):
    app = open_page("data", language)
    assert not app.exception
    assert app.expander[0].label == render("data.choose", language)
    assert app.expander[0].proto.expanded
    for name in SAMPLES:
        assert find_button(app, f"sample_{name}").label == render("data.sample_use", language)
    assert not any(button.key == "data_next" for button in app.button)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_upload_is_stored_shown_and_leads_on(home, language):
    app = upload(open_page("data", language), TABLE)
    assert not app.error
    (data_set,) = list_data_sets()
    assert app.query_params["data"] == data_set.id
    assert [entry.name for entry in Store().list_data_sets()] == ["rows"]
    assert app.subheader[0].value == "rows"
    assert render("data.encoding_is", language, encoding="UTF-8") in get_texts(app).replace("\\", "")
    tasks = app.dataframe[1].value
    assert tasks.iloc[0].tolist() == ["label", render("data.kind_classification", language), "label", "2", "a, b"]
    assert {metric.label: metric.value for metric in app.metric}[render("data.profile_rows", language)] == "40"
    assert app.get("plotly_chart")
    assert app.dataframe[2].value["text"].iloc[0] == "<b>row</b> number 0 of *many*"
    find_button(app, "data_next").click()
    run(app)
    assert not app.exception
    draft = read_draft(home)
    assert draft["data"] == {"train": data_set.id, "validation": 0.1, "test": 0.2, "split_seed": 0}
    assert draft["input"] == {"text": "text"}
    assert draft["heads"] == {"label": {"kind": "classification", "column": "label"}}


def test_the_copy_is_on_disk_and_the_widget_forgets(home):
    app = open_page("data")
    before = app.file_uploader[0].key
    upload(app, TABLE)
    assert app.file_uploader[0].key != before
    assert [path.read_text() for path in (home / "uploads").glob("*/train/rows.csv")] == [TABLE]


def test_train_and_test_files_are_one_data_set():
    app = open_page("data")
    files = [("t_train.csv", TABLE.encode(), "text/csv"), ("t_test.csv", b"id,text,label\n1,new,a\n", "text/csv")]
    app.file_uploader[0].set_value(files)
    run(app)
    assert not app.exception
    assert set(list_data_sets()[0].sources) == {"train", "test"}
    assert render("data.splits_given", "en") in [caption.value for caption in app.caption]
    assert [slider.label for slider in app.slider] == [render("data.percent_validation", "en")]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("content", "name", "code"),
    [
        (b"", "a.csv", "empty_file"),
        (b"text,label\n", "a.csv", "header_only"),
        (b"\x89PNG\r\n\x1a\n", "a.csv", "file_is_picture"),
        (b'text,label\n"open,a\n', "a.csv", "broken_quoting"),
        (b"text,label\n<b>one</b>,a\ntwo\n", "a.csv", "ragged_row"),
        (b'{"text": "a"}\n{"text": \n', "a.jsonl", "json_line"),
        (b"one O\ntwo\n", "a.conll", "conll_columns"),
    ],
)
def test_bad_files_are_a_sentence_on_the_screen(content, name, code, language):
    app = upload(open_page("data", language), content, name)
    (error,) = app.error
    start = render(f"errors.{code}", language, name=name).split("{")[0]
    assert len(start) > 5
    assert error.value.replace("\\", "").startswith(start)
    assert list_data_sets() == []
    upload(app, TABLE)
    assert not app.error
    assert len(list_data_sets()) == 1


def test_encoding_and_delimiter_can_be_overruled():
    app = upload(open_page("data"), "a;b,label\ncaf\u00e9 one;x,y\ncaf\u00e9 two;x,z\n".encode("latin-1"))
    first = app.query_params["data"]
    app.selectbox(key="data_delimiter").set_value(";")
    run(app)
    assert not app.exception
    assert app.query_params["data"] != first
    assert list_data_sets()[0].columns == ("a", "b,label")
    app.selectbox(key="data_encoding").set_value("utf-8")
    run(app)
    assert "not valid utf-8" in app.error[0].value.replace("\\", "")
    app.selectbox(key="data_encoding").set_value("")
    run(app)
    assert not any("utf-8" in error.value.replace("\\", "") for error in app.error)


def test_a_path_on_this_machine(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "train.csv").write_text(TABLE)
    app = open_page("data")
    for path, code in ((tmp_path / "no*ne", "file_missing"), (tmp_path, "folder_without_train")):
        app.text_input(key="data_path").set_value(str(path))
        find_submit(app).click()
        run(app)
        assert app.error[0].value.replace("\\", "").startswith(render(f"errors.{code}", path=str(path)).split("{")[0])
    app.text_input(key="data_path").set_value(str(tmp_path / "folder"))
    find_submit(app).click()
    run(app)
    assert not app.error
    assert app.subheader[0].value == "folder"


def find_submit(app: AppTest) -> Any:
    return next(button for button in app.button if button.label == render("data.path_read"))


def test_roles_can_be_changed_and_are_kept(stored):
    Store().add_data_set(stored)
    app = open_page("data", data=stored.id)
    app.session_state[f"data_roles_{stored.id}"] = {
        "edited_rows": {2: {"role": "ignore"}}, "added_rows": [], "deleted_rows": [],
    }  # fmt: skip
    run(app)
    assert not app.exception
    assert find_button(app, "data_next").disabled
    assert render("errors.role_no_head") in app.error[0].value.replace("\\", "")
    assert Store().get_roles(stored.id)["label"] == "ignore"
    again = open_page("data", data=stored.id)
    assert again.dataframe[0].value["role"].tolist() == ["ignore", "text", "ignore"]


def test_one_class_is_named_and_other_heads_stay(tmp_path):
    rows = "".join(f"some words here {n},x,{n % 3}\n" for n in range(30))
    path = tmp_path / "one.csv"
    path.write_text("text,same,label\n" + rows)
    data_set = import_files({"train": path}, name="one")
    Store().add_data_set(data_set, {"text": "text", "same": "label", "label": "label"})
    app = open_page("data", data=data_set.id)
    assert not app.exception
    assert app.error[0].value.replace("\\", "") == render("errors.one_class", column="same", label="x")
    assert app.dataframe[1].value.iloc[0, 0] == "label"
    assert find_button(app, "data_next").disabled


def test_a_sample_is_one_click(home):
    app = open_page("data")
    find_button(app, "sample_tiny").click()
    run(app)
    assert not app.exception
    draft = read_draft(home)
    assert list(draft["heads"]) == list(SAMPLES["tiny"].heads)
    assert draft["data"]["test"] == 0.2
    assert [entry.name for entry in Store().list_data_sets()] == ["tiny"]


def test_stored_data_sets_open_and_go(stored):
    app = open_page("data")
    find_button(app, "data_stored_open").click()
    run(app)
    assert app.query_params["data"] == stored.id
    find_button(app, "data_stored_delete").click()
    run(app)
    assert not app.exception
    assert list_data_sets() == []
    assert app.expander[0].label == render("data.choose")


def test_an_address_to_nothing():
    app = open_page("data", data="0123456789abcdef")
    assert not app.exception
    assert render("errors.data_set_unknown", name="0123456789abcdef") in app.error[0].value.replace("\\", "")


def test_leaks_and_twins_are_counted(tmp_path):
    path = tmp_path / "leak.csv"
    rows = [f"row number {n} of them,{'ab'[n % 2]},train" for n in range(20)]
    path.write_text(
        "\n".join(["text,label,part", *rows, "row number 3 of them,a,test", "fresh one here,b,test"]) + "\n"
    )
    app = open_page("data", data=import_files({"train": path}, name="leak").id)
    assert not app.exception
    assert {metric.label: metric.value for metric in app.metric}[render("data.profile_leaks")] == "1"
    assert render("data.leaks", count=1) in [warning.value for warning in app.warning]
