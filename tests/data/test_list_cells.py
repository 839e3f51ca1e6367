"""Lists in the cells of a CSV file: read where a column clearly consists of them, harmless whatever a cell holds."""

from __future__ import annotations

import csv
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chain_core.data import readers
from chain_core.data.infer import infer_columns, suggest_config
from chain_core.data.list_cells import MOST_CHARACTERS, find_list_columns, parse_list
from chain_core.data.store import import_files, read_table

ITEMS = st.lists(st.one_of(st.text(max_size=8), st.integers(), st.none(), st.booleans()), max_size=6)


NAMES = {"None": None, "True": "true", "False": "false"}


def to_texts(items):
    return [item if isinstance(item, str) else NAMES.get(str(item), str(item)) for item in items]


@settings(max_examples=300)
@given(ITEMS)
@example(["it's", 'a "quote"', "\\", "\n", "], ["])
def test_what_python_and_json_write_is_read_back(items):
    assert parse_list(repr(items)) == to_texts(items)
    assert parse_list(json.dumps(items)) == to_texts(items)
    assert parse_list(json.dumps(items, ensure_ascii=False)) == to_texts(items)


@given(
    st.lists(st.text(st.characters(blacklist_characters="\n\r", blacklist_categories=("Cs",)), max_size=5), min_size=1)
)
def test_what_numpy_writes_is_read_back(items):
    assert parse_list("[" + " ".join(map(repr, items)) + "]") == items


@settings(max_examples=300)
@given(st.text(max_size=40))
@example("['a'")
@example("['a' 'b', 'c']")
@example("[__import__('os').system('true')]")
@example("['a'.upper()]")
@example("['a'] * 10**9")
@example("[f'{1}']")
@example("['\\x']")
@example("['a', ['b']]")
@example("[1.5, 2.5]")
@example("[b'a']")
@example("{'a': 1}")
@example("[*'a']")
def test_hostile_cells_are_text_or_lists_of_texts(cell):
    items = parse_list(cell)
    assert items is None or all(item is None or isinstance(item, str) for item in items)


@pytest.mark.parametrize(
    "cell", ["['a'", "['a' 'b', 'c']", "[['a']]", "[1.5]", "[print()]", "['a'.b]", "", "a", "[a, b]"]
)
def test_what_is_no_flat_list_is_none(cell):
    assert parse_list(cell) is None


@pytest.mark.parametrize(
    "cell",
    [
        "[" * 100_000 + "]" * 100_000,
        "['" + "\\" * 99_999 + "']",
        "[" + "'a'" * 60_000 + "]",
        "[" + " " * 150_000 + "x]",
        "['" + "a" * MOST_CHARACTERS + "']",
    ],
    ids=["nested", "escapes", "joined", "blank", "long"],
)
def test_long_cells_take_no_time(cell):
    assert parse_list(cell) is None


def test_every_cell_of_a_column_decides():
    rows = [["['a']", "['a']", "[]", ""], ["", "text", "[]", ""], ["['b', 'c']", "['a']", "[]", ""]]
    assert find_list_columns(rows, range(4)) == {0}


def write(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_a_column_of_lists_is_imported_as_lists(tmp_path):
    header = ["tokens", "ner_tags", "topics", "note"]
    tags = repr(["B-per", "O", "O", "B-loc"])
    rows = [
        [repr(["Anna", "lives", "in", f"town {n}"]), tags, "" if n % 5 == 0 else '["x"]', f"n{n}"] for n in range(30)
    ]
    table = read_table(import_files({"train": write(tmp_path / "rows.csv", [header, *rows])}, name="rows"))
    assert table["tokens"][3].as_py() == ["Anna", "lives", "in", "town 3"]
    assert table["topics"][0].as_py() is None
    assert table["topics"][1].as_py() == ["x"]
    assert table["note"][0].as_py() == "n0"
    config = suggest_config(infer_columns(table))
    assert config["input"] == {"tokens": "tokens"}
    assert config["heads"]["ner_tags"] == {"kind": "tagging", "column": "ner_tags"}


def test_one_other_cell_far_down_keeps_the_column_as_text(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "BATCH_ROWS", 10)
    rows = [["['a']", "['b']"] for _ in range(25)]
    rows[22][1] = "not a list"
    table = read_table(import_files({"train": write(tmp_path / "rows.csv", [["x", "y"], *rows])}, name="rows"))
    assert table["x"][24].as_py() == ["a"]
    assert table["y"][0].as_py() == "['b']"
    assert table["y"][22].as_py() == "not a list"
