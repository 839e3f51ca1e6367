"""Label cells become gold labels, and those become numbers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_core.config import HeadConfig
from chain_core.data import labels
from chain_core.data.labels import encode_labels, find_separator, is_bio, read_gold, read_tags
from chain_core.data.schema import Task, build_tasks
from chain_core.errors import DataError

tags = st.sampled_from(["O", "B-x", "I-x", "B-y", "I-y"])
rows_of_tags = st.lists(st.lists(tags, max_size=6), min_size=1, max_size=8)


def read(kind: str, cells: list, **options) -> list:
    return read_gold(pa.table({"c": cells}), Task("h", kind, "c", **options)).to_pylist()


def test_what_is_missing_and_what_is_a_label():
    cells = ["a", " a ", "", "  ", None, "nan", "NaN", "null", "NA", "none", "1", "1.0", "true"]
    expected = ["a", "a", None, None, None, None, None, None, "NA", "none", "1", "1.0", "true"]
    assert read("classification", cells) == expected
    assert read("multilabel", cells) == [value if value is None else [value] for value in expected]


def test_a_list_of_one_is_a_label_and_a_longer_one_is_refused():
    assert read("classification", [["a"], [], None, ["b"]]) == ["a", None, None, "b"]
    with pytest.raises(DataError) as caught:
        read("classification", [["a"], ["a", "b"]])
    assert (caught.value.code, caught.value.params["row"]) == ("label_is_list", 2)


def test_several_labels_in_one_cell():
    assert read("multilabel", ["a; b", "b;b;", "", " ; "], separator=";") == [["a", "b"], ["b"], None, []]
    assert read("multilabel", [["a", "b", "a"], [], None, [None]]) == [["a", "b"], [], None, []]


@pytest.mark.parametrize(
    ("cells", "separator"),
    [
        (["a;b", "a", "b;c", "c;a"], ";"),
        (["a|b", "a", "b"], "|"),
        (["x, y", "y", "x, z", "z"], ","),
        (["a", "b"], None),
        (["", None], None),
    ],
)
def test_separator_is_found(cells, separator):
    assert find_separator(pa.array(cells, pa.string())) == separator


def test_scores():
    assert read("regression", ["1", " 2.5", "", "-1e-2", None, "nan"]) == pytest.approx(
        [1.0, 2.5, None, -0.01, None, None]
    )
    for bad in ("high", "1,5", "inf", "1e99", "1_0", "0x1f"):
        with pytest.raises(DataError) as caught:
            read("regression", ["1", bad])
        assert caught.value.code == "not_numbers"
        assert caught.value.params["row"] == 2
    with pytest.raises(DataError):
        read("regression", [["1"]])


@pytest.mark.parametrize(
    ("given_tags", "mended", "count"),
    [
        (["O", "I-x", "I-x"], ["O", "B-x", "I-x"], 1),
        (["B-x", "I-y", "I-y"], ["B-x", "B-y", "I-y"], 1),
        (["I-x"], ["B-x"], 1),
        (["B-x", "I-x", "B-x"], ["B-x", "I-x", "B-x"], 0),
        (["B-x", "O", "I-x"], ["B-x", "O", "B-x"], 1),
    ],
)
def test_impossible_bio_is_mended_and_counted(given_tags, mended, count):
    fixed, repaired, converted = read_tags(pa.array([["B-x"], given_tags]))
    assert fixed.to_pylist() == [["B-x"], mended]
    assert (repaired, converted) == (count, False)


def test_a_row_does_not_continue_the_row_before():
    assert read_tags(pa.array([["B-x"], ["I-x"], None, [], ["I-x"]]))[0].to_pylist() == [
        ["B-x"], ["B-x"], None, None, ["B-x"],
    ]  # fmt: skip


def test_bioes_and_bilou_become_bio():
    fixed, repaired, converted = read_tags(pa.array(["S-x O B-y I-y E-y", "U-x B-y L-y"]))
    assert fixed.to_pylist() == [["B-x", "O", "B-y", "I-y", "I-y"], ["B-x", "B-y", "I-y"]]
    assert (repaired, converted) == (0, True)


def test_tags_without_a_scheme_stay():
    assert read_tags(pa.array([["NN", "I-x", "VB"]]))[0].to_pylist() == [["NN", "I-x", "VB"]]
    assert not is_bio(("NN", "VB"))
    assert not is_bio(("O",))
    assert is_bio(("O", "B-x", "I-x"))


@given(rows_of_tags)
def test_mended_tags_are_valid_and_mending_them_again_changes_nothing(rows):
    fixed, count, _ = read_tags(pa.array(rows, pa.list_(pa.string())), scheme=True)
    changed = 0
    for before, after in zip(rows, fixed.to_pylist(), strict=True):
        after = after or []
        assert len(before) == len(after)
        for place, tag in enumerate(after):
            previous = after[place - 1] if place else "O"
            assert not tag.startswith("I-") or previous[2:] == tag[2:]
            assert tag[1:] == before[place][1:]
            changed += tag != before[place]
    assert changed == count
    assert read_tags(fixed, scheme=True)[1] == 0


def test_encoding():
    space = ("a", "b")

    def encode(kind, cells, **options):
        task = Task("h", kind, "c", **options)
        return encode_labels(read_gold(pa.table({"c": cells}), task), task)

    labels = encode("classification", ["b", None, "new", "a"], label_space=space)
    assert labels.dtype == np.int32
    assert labels.tolist() == [1, -1, -1, 0]
    several = encode("multilabel", [["b", "new"], None, []], label_space=space)
    assert several.dtype == np.float32
    np.testing.assert_array_equal(several, [[0, 1], [np.nan, np.nan], [0, 0]])
    np.testing.assert_array_equal(encode("regression", ["1.5", ""]), np.float32([1.5, np.nan]))
    words, offsets = encode("tagging", [["O", "B-x"], None, ["I-x", "B-new"]], label_space=("O", "B-x"))
    assert words.tolist() == [0, 1, 1, -1]
    assert offsets.tolist() == [0, 2, 2, 4]


@given(st.lists(st.one_of(st.none(), st.text(max_size=5)), min_size=2, max_size=30))
def test_codes_lead_back_to_the_labels(cells):
    table = pa.table(
        {"c": pa.array([cell and cell.encode("utf-8", "replace").decode() for cell in cells], pa.string())}
    )
    try:
        (task,) = build_tasks(table, {"h": HeadConfig(kind="classification", column="c")})
    except DataError as error:
        assert error.code in ("one_class", "no_labels")  # noqa: PT017
        return
    gold = read_gold(table, task)
    codes = encode_labels(gold, task)
    assert [None if code < 0 else task.label_space[code] for code in codes] == gold.to_pylist()


@settings(max_examples=80)
@given(
    st.lists(st.one_of(st.none(), st.lists(st.sampled_from(["O", "I-a", "E-a", "S-b", "x"]), max_size=4)), max_size=9)
)
def test_tags_read_in_parts_are_those_read_at_once(rows):
    column = pa.array(rows, pa.list_(pa.string()))
    whole = read_tags(column)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels, "PART_ROWS", 2)
        parts = read_tags(column)
    assert parts[0].to_pylist() == whole[0].to_pylist()
    assert parts[1:] == whole[1:]
