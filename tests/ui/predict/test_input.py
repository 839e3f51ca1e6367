"""Typed and uploaded texts become the rows that a run reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_core.config import InputConfig
from chain_core.data.words import split_words
from chain_core.errors import DataError
from chain_core.ui.predict.input import MOST_ROWS, build_rows, read_rows

TEXT = InputConfig(text="sentence")
PAIR = InputConfig(text="premise", pair="hypothesis")
TOKENS = InputConfig(tokens="words")


def test_one_row_a_line_and_blank_lines_are_skipped() -> None:
    assert build_rows(" a b \n\n  \nc\r\n", None, TEXT) == [{"text": "a b"}, {"text": "c"}]


@pytest.mark.parametrize(
    ("line", "tokens"),
    [
        ("flights to  Boston", ["flights", "to", "Boston"]),
        ("d.c. now", ["d.c.", "now"]),
        ("the soup, cold?!", ["the", "soup", ",", "cold", "?", "!"]),
        ("$12.50 at 5:30 ...", ["$12.50", "at", "5:30", "..."]),
        ("打开客厅的灯", list("打开客厅的灯")),
        ("打开 客厅", ["打开", "客厅"]),
        ("Boston?", ["Boston", "?"]),
    ],
)
def test_tokens(line: str, tokens: list[str]) -> None:
    assert split_words(line) == tokens


@given(st.text(min_size=1).filter(lambda text: text.strip()))
def test_no_visible_character_is_lost_in_splitting(line: str) -> None:
    tokens = split_words(line)
    assert tokens
    assert all(tokens)


def test_pairs_meet_line_by_line() -> None:
    assert build_rows("a\n\nb", "x\n\ny", PAIR) == [{"text": "a", "pair": "x"}, {"text": "b", "pair": "y"}]


@pytest.mark.parametrize(("first", "second"), [("a\nb", "x"), ("a", "x\ny"), ("a\n\nb", "x\ny\n")])
def test_pairs_that_differ(first: str, second: str) -> None:
    with pytest.raises(DataError) as caught:
        build_rows(first, second, PAIR)
    assert caught.value.code == "predict_pairs_differ"


@pytest.mark.parametrize("columns", [TEXT, PAIR, TOKENS])
def test_nothing_typed(columns: InputConfig) -> None:
    with pytest.raises(DataError) as caught:
        build_rows(" \n ", "" if columns.pair else None, columns)
    assert caught.value.code == "predict_no_text"


def test_csv_by_the_runs_column_names() -> None:
    content = b"id,hypothesis,premise\n1,y,x\n2,,z\n"
    assert read_rows(content, "a.csv", PAIR) == (
        [{"text": "x", "pair": "y"}, {"text": "z", "pair": ""}], 0,
    )  # fmt: skip


def test_json_lines_with_token_lists() -> None:
    content = '{"words": ["打", "开"]}\n{"words": ["灯"]}\n'.encode()
    assert read_rows(content, "a.jsonl", TOKENS)[0] == [{"tokens": ["打", "开"]}, {"tokens": ["灯"]}]


def test_plain_text_and_its_cap() -> None:
    rows, rest = read_rows(b"line\n" * (MOST_ROWS + 5), "a.txt", TEXT)
    assert (len(rows), rest) == (MOST_ROWS, 5)


def test_a_table_and_its_cap() -> None:
    rows, rest = read_rows(b"sentence,y\n" + b"line,1\n" * (MOST_ROWS + 5), "a.csv", TEXT)
    assert (len(rows), rest) == (MOST_ROWS, 5)


def test_a_missing_column_names_what_is_there() -> None:
    with pytest.raises(DataError) as caught:
        read_rows(b"id,body\n1,x\n", "a.csv", TEXT)
    assert caught.value.code == "predict_no_column"
    assert caught.value.params == {"column": "sentence", "found": "id, body"}


def test_a_name_that_is_a_path_stays_inside() -> None:
    rows, _ = read_rows(b"sentence,y\nok,1\n", "../../../../etc/x.csv", TEXT)
    assert rows == [{"text": "ok"}]


def test_marked_lines_are_left_to_the_predictor() -> None:
    line = "<e1>Boston</e1>, then <e2>Denver</e2>"
    assert build_rows(f"{line}\nflights to Boston.", None, TOKENS) == [
        {"text": line}, {"tokens": ["flights", "to", "Boston", "."]},
    ]  # fmt: skip


def test_columns_with_spans_come_along() -> None:
    content = b"words,first,other\na b c,0-1,x\n"
    assert read_rows(content, "a.csv", TOKENS, ("first", "second"))[0] == [
        {"tokens": ["a", "b", "c"], "spans": {"first": "0-1"}}
    ]
