"""Every key of the config has its place on the Chain page, and what is set there stands in the draft."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from streamlit.testing.v1 import AppTest

from chain_core.config import Config, HeadConfig, LinkConfig, SetConfig, StageConfig, StartConfig, find_problems
from chain_core.config.fields import Section
from chain_core.data.store import delete_stored, import_files
from chain_core.messages import LANGUAGES, load_catalogue
from chain_core.ui.chain.edit import get_value
from chain_core.ui.chain.fields import build_key
from chain_core.ui.chain.limits import read_limits
from chain_core.ui.chain.spec import GROUPS
from tests.app.harness import click, open_page, run

Path_ = tuple[str | int, ...]
ROWS = [
    {"text": f"row {index} of <e1>some</e1> <e2>rows</e2>", "other": f"text {index}", "answer": str(index),
     "tokens": ["row", "number", str(index)], "intent": "ab"[index % 2], "tags": ["O", "O", "B-number"],
     "score": index / 3, "topics": ["x", "y"][: 1 + index % 2]}
    for index in range(40)
]  # fmt: skip
ENTRIES: dict[Path_, tuple[str | int | None, type[Section]]] = {
    ("chain", "links"): (None, LinkConfig),
    ("heads",): ("NAME", HeadConfig),
    ("also",): ("more", SetConfig),
    ("stages",): (0, StageConfig),
    ("start",): (None, StartConfig),
}
"""Where a section stands inside a mapping, a list or nothing: the name of one entry, and its section."""
OWN_KEYS: dict[Path_, str] = {("heads", "NAME", "depths"): "chain_depths_NAME", ("backbone", "name"): "chain_packaged"}
"""Path -> the key of its widget, where that is not named after the path."""
INTENT = {"kind": "classification", "column": "intent", "depths": [0, "last"]}


@pytest.fixture
def rows(home: Path) -> str:
    (home / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS), encoding="utf-8")
    return import_files({"train": home / "rows.jsonl"}, name="rows").id


def list_paths(section: type[Section] = Config, base: Path_ = ()) -> Iterator[Path_]:
    for name, field in section.model_fields.items():
        path = (*base, name)
        if path in ENTRIES:
            entry, inner = ENTRIES[path]
            yield from list_paths(inner, path if entry is None else (*path, entry))
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from list_paths(field.annotation, path)
        else:
            yield path


def build_drafts(rows: str) -> dict[str, dict[str, Any]]:
    """Drafts that between them let every key apply; each is valid."""
    data = {"train": rows, "test": 0.1}
    tagging = {"kind": "tagging", "column": "tags"}
    return {
        "words": {
            "name": "words", "data": data, "input": {"tokens": "tokens"},
            "backbone": {"tuning": "adalora"},
            "chain": {"depth": 3, "links": {"kind": "conv"}},
            "heads": {"NAME": INTENT, "tags": tagging},
            "train": {"sampling": "temperature"},
            "augment": {"copies": 1},
        },
        "tagging": {"name": "t", "data": data, "input": {"tokens": "tokens"}, "heads": {"NAME": tagging}},
        "pairs": {
            "name": "pairs", "data": data, "input": {"text": "text", "pair": "other"},
            "backbone": {"tuning": "prefix"},
            "heads": {"NAME": INTENT, "more": {"kind": "classification", "column": "intent", "data": "more"}},
            "also": {"more": {"data": {"train": rows}, "input": {"text": "text", "pair": "other"}}},
            "stages": [{"epochs": 2}],
        },
        "further": {
            "name": "further", "data": data, "input": {"tokens": "tokens"}, "backbone": {"tuning": "full"},
            "heads": {"NAME": {"kind": "classification", "column": "intent", "data": "more"}, "tags": tagging},
            "also": {"more": {"data": {"train": rows, "test": 0.1}, "input": {"tokens": "tokens"}}},
            "stages": [{"objective": "masked_lm"}, {}],
            "start": {"run": "some-run"},
        },
        "topics": {
            "name": "topics", "data": data, "input": {"text": "text"},
            "heads": {"NAME": {"kind": "multilabel", "column": "topics"}},
            "augment": {"copies": 1, "back_translation": ["there", "back"]},
        },
        "answers": {"name": "a", "data": data, "input": {"text": "text"},
                    "heads": {"NAME": {"kind": "span", "column": "answer"}}},
        "relations": {"name": "r", "data": data, "input": {"text": "text"},
                      "heads": {"NAME": {"kind": "relation", "column": "intent"}}},
    }  # fmt: skip


def list_widgets(app: AppTest) -> list[Any]:
    kinds = ("selectbox", "number_input", "slider", "toggle", "text_input", "multiselect", "button_group")
    return [widget for kind in kinds for widget in app.main.get(kind)]


def find(app: AppTest, key: str) -> Any:
    return next(widget for widget in list_widgets(app) if widget.key == key)


def test_every_key_has_its_widget(rows: str, write_draft) -> None:
    keys: set[str] = set()
    for draft in build_drafts(rows).values():
        assert find_problems(draft) == []
        write_draft(draft)
        keys |= {str(widget.key) for widget in list_widgets(open_page("chain"))}
    missing = [
        path
        for path in list_paths()
        if not any(key == build_key(path) or key.startswith(f"{build_key(path)}/") for key in keys)
        and OWN_KEYS.get(path) not in keys
    ]
    assert missing == []


HEAD: Path_ = ("heads", "NAME")
CHANGES: list[tuple[str, Path_, Any, Any]] = [
    ("words", ("backbone", "final_rank"), 4, 4),
    ("words", ("backbone", "alpha"), 8.0, 8.0),
    ("words", ("backbone", "tuning"), "dora", "dora"),
    ("words", ("chain", "budget"), "500k", "500k"),
    ("words", ("chain", "budget"), "400,000", 400_000),
    ("words", ("chain", "taps"), "1, 2, 6", [1, 2, 6]),
    ("words", ("chain", "links", "kernel"), 7, 7),
    ("words", ("chain", "links", "dropout"), 0.2, 0.2),
    ("words", ("chain", "links", "tie"), 1, 1),
    ("words", ("chain", "links", "init"), "random", "random"),
    ("words", ("chain", "links", "strategy"), True, "freeze"),
    ("words", ("train", "loss_weights"), "uncertainty", "uncertainty"),
    ("words", ("train", "temperature"), 3.0, 3.0),
    ("words", ("train", "l2_sp"), 0.01, 0.01),
    ("words", ("train", "r_drop"), 1.0, 1.0),
    ("words", ("train", "adversarial"), 0.5, 0.5),
    ("words", ("train", "metric"), "tags/token_micro_f1", "tags/token_micro_f1"),
    ("words", ("augment", "copies"), 2, 2),
    ("words", ("augment", "replace"), 0.3, 0.3),
    ("words", ("augment", "neighbours"), 20, 20),
    ("words", ("augment", "synonyms"), "words.txt", "words.txt"),
    ("words", (*HEAD, "share"), True, True),
    ("words", (*HEAD, "depth_weights"), "0.5, 1", [0.5, 1]),
    ("words", (*HEAD, "focal"), 2.0, 2.0),
    ("words", (*HEAD, "class_weights"), True, "balanced"),
    ("words", ("data", "split_seed"), 7, 7),
    ("words", ("data", "encoding"), "utf-8", "utf-8"),
    ("tagging", (*HEAD, "crf"), "on", "on"),
    ("tagging", (*HEAD, "threshold"), True, "tuned"),
    ("pairs", (*HEAD, "pooling"), "row", "row"),
    ("pairs", (*HEAD, "mixture"), True, True),
    ("pairs", ("backbone", "prefix_length"), 8, 8),
    ("pairs", (*HEAD, "data"), "more", "more"),
    ("further", (*HEAD, "column"), "score", "score"),
    ("further", ("also", "more", "data", "split_seed"), 3, 3),
    ("further", ("also", "more", "input", "max_length"), 32, 32),
    ("further", ("stages", 0, "mask"), 0.3, 0.3),
    ("further", ("stages", 0, "data"), "ROWS", "ROWS"),
    ("further", ("stages", 0, "depth"), 2, 2),
    ("further", ("stages", 1, "name"), "tasks at last", "tasks at last"),
    ("further", ("stages", 1, "epochs"), 4, 4),
    ("further", ("stages", 1, "trains"), ["heads", "links"], ["links", "heads"]),
    ("further", ("stages", 1, "heads"), ["tags"], ["tags"]),
    ("further", ("stages", 1, "heads"), [], None),
    ("further", ("stages", 1, "learning_rate"), 2e-4, 2e-4),
    ("further", ("start", "l2"), 0.02, 0.02),
    ("further", ("start", "replay"), 0.1, 0.1),
    ("further", (*HEAD, "data"), None, None),
    ("topics", (*HEAD, "separator"), "|", "|"),
    ("answers", (*HEAD, "start"), "score", "score"),
]


@pytest.mark.parametrize("name", ["words", "tagging", "pairs", "further", "topics", "answers"])
def test_what_is_set_stands_in_the_draft(rows: str, home: Path, write_draft, name: str) -> None:
    write_draft(build_drafts(rows)[name])
    app = open_page("chain")
    for where, path, value, expected in CHANGES:
        if where != name:
            continue
        find(app, build_key(path)).set_value(rows if value == "ROWS" else value)
        run(app)
        draft = read_draft(home)
        assert get_value(draft, path) == (rows if expected == "ROWS" else expected), path
        problems = [problem.code for problem in find_problems(draft)]
        assert problems == ([] if value is not None else ["also_unused"]), (path, problems)


def read_draft(home: Path) -> dict[str, Any]:
    return yaml.safe_load((home / "draft.yaml").read_text(encoding="utf-8"))


def test_two_columns_name_a_relations_spans(rows: str, home: Path, write_draft) -> None:
    write_draft(build_drafts(rows)["relations"])
    app = open_page("chain")
    for number, column in enumerate(["tokens", "tags"]):
        find(app, f"{build_key((*HEAD, 'spans'))}/{number}").set_value(column)
        run(app)
    assert get_value(read_draft(home), (*HEAD, "spans")) == ["tokens", "tags"]


@pytest.mark.parametrize(
    ("key", "halves"),
    [
        ("back_translation", ["/there", "/back"]), ("languages", ["eng_Latn", "fra_Latn"]),
        ("prefixes", ["to French: ", "to English: "]),
    ],
)  # fmt: skip
def test_translation_takes_two_of_each(rows: str, home: Path, write_draft, key: str, halves: list[str]) -> None:
    write_draft(build_drafts(rows)["topics"])
    app = open_page("chain")
    path = ("augment", key)
    for number, half in enumerate(halves):
        find(app, f"{build_key(path)}/{number}").set_value(half)
        run(app)
    assert get_value(read_draft(home), path) == halves
    for number in range(2):
        find(app, f"{build_key(path)}/{number}").set_value("")
        run(app)
    assert get_value(read_draft(home), path) is None


def test_a_course_of_densities_becomes_a_list(rows: str, home: Path, write_draft) -> None:
    write_draft(build_drafts(rows)["words"])
    app = open_page("chain")
    path = ("chain", "densities")
    for course in ("growing", "each"):
        find(app, f"{build_key(path)}/course").set_value(course)
        run(app)
    assert get_value(read_draft(home), path) == [0.333, 0.667, 1.0]
    find(app, build_key(path)).set_value("0.5, 0.5, 1")
    run(app)
    assert get_value(read_draft(home), path) == [0.5, 0.5, 1]
    assert find_problems(read_draft(home)) == []


def test_validation_rows_of_their_own(rows: str, home: Path, write_draft) -> None:
    write_draft(build_drafts(rows)["words"])
    app = open_page("chain")
    path = ("data", "test")
    find(app, f"{build_key(path)}/mode").set_value("source")
    run(app)
    assert get_value(read_draft(home), path) == 0.1, "nothing is lost before another source is chosen"
    find(app, build_key(path)).set_value(rows)
    run(app)
    assert get_value(read_draft(home), path) == rows
    find(app, f"{build_key(path)}/mode").set_value("none")
    run(app)
    assert get_value(read_draft(home), path) is None


def test_stages_are_added_moved_and_removed(rows: str, home: Path, write_draft) -> None:
    write_draft(build_drafts(rows)["words"])
    app = open_page("chain")
    find(app, "chain_add_stage_objective").set_value("masked_lm")
    click(app, "chain_add_stage_button")
    assert [stage["objective"] for stage in read_draft(home)["stages"]] == ["masked_lm", "tasks"]
    click(app, "chain_stage_0_down")
    assert [stage["objective"] for stage in read_draft(home)["stages"]] == ["tasks", "masked_lm"]
    click(app, "chain_stage_1_remove")
    click(app, "chain_stage_0_remove")
    assert "stages" not in read_draft(home)
    assert find_problems(read_draft(home)) == []


def test_a_further_data_set_brings_its_heads(rows: str, home: Path, write_draft) -> None:
    (home / "news.csv").write_text("text,topic\n" + "".join(f"news number {n},{'xyz'[n % 3]}\n" for n in range(30)))
    news = import_files({"train": home / "news.csv"}, name="news").id
    write_draft(build_drafts(rows)["words"])
    app = open_page("chain")
    find(app, "chain_add_set_source").set_value(news)
    click(app, "chain_add_set_button")
    draft = read_draft(home)
    assert draft["also"] == {"news": {"data": {"train": news}, "input": {"text": "text"}}}
    assert draft["heads"]["topic"] == {"kind": "classification", "column": "topic", "data": "news"}
    assert find_problems(draft) == []
    find(app, "chain_set_name_0").set_value("paper")
    run(app)
    assert read_draft(home)["heads"]["topic"]["data"] == "paper"
    click(app, "chain_set_remove_0")
    assert read_draft(home)["also"] == {}
    assert "topic" not in read_draft(home)["heads"]


def test_a_data_set_that_cannot_be_read_is_not_added(rows: str, home: Path, write_draft) -> None:
    (home / "news.csv").write_text("text,topic\na,b\nc,d\n")
    news = import_files({"train": home / "news.csv"}, name="news").id
    write_draft(build_drafts(rows)["words"])
    app = open_page("chain")
    find(app, "chain_add_set_source").set_value(news)
    delete_stored(news)
    click(app, "chain_add_set_button")
    assert app.error
    assert "also" not in read_draft(home)


def test_a_self_supervised_head_needs_no_column_but_a_stage(rows: str, home: Path, write_draft) -> None:
    write_draft(build_drafts(rows)["words"])
    app = open_page("chain")
    find(app, "chain_add_kind").set_value("masked_lm")
    run(app)
    click(app, "chain_add_button")
    assert read_draft(home)["heads"]["masked_lm"] == {"kind": "masked_lm"}
    assert [stage["objective"] for stage in read_draft(home)["stages"]] == ["masked_lm", "tasks"]
    assert find_problems(read_draft(home)) == []


def test_another_kind_drops_what_it_does_not_have(rows: str, home: Path, write_draft) -> None:
    draft = build_drafts(rows)["tagging"]
    draft["heads"]["NAME"] |= {"crf": True, "dropout": 0.2}
    write_draft(draft)
    app = open_page("chain")
    find(app, build_key((*HEAD, "kind"))).set_value("classification")
    run(app)
    assert read_draft(home)["heads"]["NAME"] == {"kind": "classification", "column": "tags", "dropout": 0.2}


def test_an_option_that_does_not_apply_can_be_taken_back(rows: str, home: Path, write_draft) -> None:
    draft = build_drafts(rows)["topics"]
    draft["heads"]["NAME"]["crf"] = True
    write_draft(draft)
    app = open_page("chain")
    assert app.error
    assert find(app, build_key((*HEAD, "crf"))).value == "on"
    find(app, build_key((*HEAD, "crf"))).set_value("off")
    run(app)
    assert find_problems(read_draft(home)) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_problems_of_lists_stand_in_sight(rows: str, write_draft, language: str) -> None:
    draft = build_drafts(rows)["further"]
    draft["stages"] = [{"depth": 9}]
    draft["also"]["unused"] = {"data": {"train": rows}}
    draft["augment"] = {"copies": -1}
    write_draft(draft)
    said = " ".join(error.value.replace("\\", "") for error in open_page("chain", language).error)
    assert "augment.copies" in said
    draft["augment"] = {}
    write_draft(draft)
    said = " ".join(error.value.replace("\\", "") for error in open_page("chain", language).error)
    assert "stages[0].depth" in said
    assert "also.unused" in said


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_field_says_what_it_is_for(language: str) -> None:
    catalogue = load_catalogue(language)
    for group in GROUPS:
        for field in group.fields:
            assert field.label in catalogue
            assert f"{field.label}_help" in catalogue
            assert field.off in catalogue
            limits = read_limits(group.section, field.name)
            if field.widget in ("", "several"):
                assert all(f"{field.prefix or field.label}_{option}" in catalogue for option in limits.options)
