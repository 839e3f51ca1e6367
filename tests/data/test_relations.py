"""Two spans a row: marks and columns, and what is wrong with them."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_core.config import HeadConfig, InputConfig
from chain_core.data.infer import infer_columns, suggest_config
from chain_core.data.relations import put_marks_in, split_marked_words, take_out_marks
from chain_core.data.text import mark_texts, read_texts
from chain_core.errors import DataError

MARKED = "The <e1>author</e1> of a <e2>keygen</e2> uses"
BY_MARKS = {"r": HeadConfig(kind="relation", column="label")}
BY_COLUMNS = {"r": HeadConfig(kind="relation", column="label", spans=("a", "b"))}


def test_marks_come_out_and_go_in_again() -> None:
    clean, spans = take_out_marks(MARKED)
    assert clean == "The author of a keygen uses"
    assert [clean[a:b] for a, b in (spans[:2], spans[2:])] == ["author", "keygen"]
    assert put_marks_in(clean, spans) == MARKED
    assert take_out_marks("no marks") == ("no marks", None)


@given(st.lists(st.text("ab <>", min_size=1, max_size=4), min_size=5, max_size=5), st.booleans())
def test_whatever_stands_around_marks_stays(parts: list[str], turned: bool) -> None:
    names = ("e2", "e1") if turned else ("e1", "e2")
    text = f"{parts[0]}<{names[0]}>{parts[1]}</{names[0]}>{parts[2]}<{names[1]}>{parts[3]}</{names[1]}>{parts[4]}"
    clean, spans = take_out_marks(text)
    assert clean == "".join(parts)
    first, second = clean[spans[0] : spans[1]], clean[spans[2] : spans[3]]
    assert (first, second) == ((parts[3], parts[1]) if turned else (parts[1], parts[3]))
    assert put_marks_in(clean, spans) == text


@pytest.mark.parametrize(
    "text", ["<e1>a</e1> b", "<e1></e1><e2>b</e2>", "</e1>a<e1> <e2>b</e2>", "<e1>a</e1><e1>b</e1><e2>c</e2>"]
)
def test_marks_that_do_not_fit_are_named(text: str) -> None:
    table = pa.table({"t": ["<e1>a</e1> <e2>b</e2>", text], "label": ["x", "y"]})
    with pytest.raises(DataError) as caught:
        read_texts(table, InputConfig(text="t"), BY_MARKS)
    assert (caught.value.code, caught.value.params["row"]) == ("marks_incomplete", 2)


def test_marked_words() -> None:
    words, spans = split_marked_words(MARKED)
    assert words == ["The", "author", "of", "a", "keygen", "uses"]
    assert spans == (1, 2, 4, 5)


def test_texts_are_read_without_marks() -> None:
    table = pa.table({"t": [MARKED, "plain"], "label": ["x", None]})
    texts = read_texts(table, InputConfig(text="t"), BY_MARKS)
    assert texts.first.to_pylist() == ["The author of a keygen uses", "plain"]
    assert texts.spans["r"].tolist() == [[4, 10, 16, 22], [-1] * 4]


def test_spans_of_columns_in_words_and_characters() -> None:
    table = pa.table(
        {
            "w": [["a", "b", "c"], ["d", "e"]],
            "a": pa.array([["0", "2"], ["1", "2"]]),
            "b": ["2-3", " [0, 1] "],
            "label": ["x", "y"],
        }
    )
    texts = read_texts(table, InputConfig(tokens="w"), BY_COLUMNS)
    assert texts.spans["r"].tolist() == [[0, 2, 2, 3], [1, 2, 0, 1]]
    import numpy as np

    assert mark_texts(texts, np.array([1, 0]), texts.spans["r"]) == [
        "<e2>d</e2> <e1>e</e1>", "<e1>a b</e1> <e2>c</e2>",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        ("1-1", "0-1", "span_outside"),
        ("0-9", "0-1", "span_outside"),
        ("x", "0-1", "span_unreadable"),
        ("0-1", None, "span_missing"),
        (None, None, "relation_without_spans"),
    ],
)
def test_bad_spans_are_named(first: str | None, second: str | None, code: str) -> None:
    table = pa.table({"t": ["ab cd"] * 2, "a": ["0-2", first], "b": ["3-5", second], "label": ["x", "y"]})
    with pytest.raises(DataError) as caught:
        read_texts(table, InputConfig(text="t"), BY_COLUMNS)
    assert (caught.value.code, caught.value.params["row"]) == (code, 2)


def test_marks_in_every_row_make_labels_relations() -> None:
    texts = [f"the <e1>a{n}</e1> is in the <e2>b{n}</e2> here" for n in range(20)]
    labels = ["in", "of"] * 10
    for marked, kind in ((texts, "relation"), ([*texts[:-1], "plain text of a row"], "classification")):
        columns = infer_columns(pa.table({"sentence": marked, "label": labels}))
        config = suggest_config(columns)
        assert config["heads"]["label"]["kind"] == kind
        assert (columns[0].note == "marked") == (kind == "relation")
