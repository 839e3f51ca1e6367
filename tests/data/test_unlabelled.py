"""Rows without labels: where they come from, and how they are paired."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from chain_core.config import InputConfig
from chain_core.data.text import Texts
from chain_core.data.unlabelled import check_source, hold_out, pair_sentences, read_unlabelled
from chain_core.errors import DataError
from tests.test_paths import NOWHERE
from tests.tiny import write_rows


def test_lines_of_a_text_file(tmp_path):
    (tmp_path / "lines.txt").write_text("\ufeffturn on\n\n  the light \r\n灯\n", encoding="utf-8")
    texts = read_unlabelled("lines.txt", tmp_path, InputConfig(tokens="tokens"))
    assert (texts.kind, texts.first.to_pylist()) == ("text", ["turn on", "the light", "灯"])


def test_a_table_needs_the_first_column_only(tmp_path):
    write_rows(tmp_path / "rows.jsonl", [{"a": "one", "label": 1}, {"a": "two", "label": 2}])
    assert read_unlabelled("rows.jsonl", tmp_path, InputConfig(text="a", pair="b")).kind == "text"
    with pytest.raises(DataError) as caught:
        read_unlabelled("rows.jsonl", tmp_path, InputConfig(text="c"))
    assert caught.value.code.startswith("column_missing")


def test_missing_and_single_lines_are_sentences(tmp_path):
    with pytest.raises(DataError, match="none"):
        read_unlabelled("none.txt", tmp_path, InputConfig(text="a"))
    (tmp_path / "one.txt").write_text("only\n")
    with pytest.raises(DataError):
        read_unlabelled("one.txt", tmp_path, InputConfig(text="a"))


def test_a_text_file_may_lie_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "lines.txt").write_text("one\ntwo\n")
    check_source("~/lines.txt", tmp_path / "elsewhere")
    assert len(read_unlabelled("~/lines.txt", tmp_path / "elsewhere", InputConfig(text="a"))) == 2


@pytest.mark.parametrize("source", [*NOWHERE, f"{NOWHERE[0]}.txt", f"{NOWHERE[2]}.txt"])
def test_a_source_that_cannot_be_there_is_a_sentence(tmp_path, source):
    for look in (lambda: check_source(source, tmp_path), lambda: read_unlabelled(source, tmp_path, InputConfig())):
        with pytest.raises(DataError):
            look()


def test_a_tenth_is_held_out():
    splits = hold_out(200, 3)
    assert len(splits["validation"]) == 20
    assert sorted([*splits["train"], *splits["validation"]]) == list(range(200))
    assert len(hold_out(2, 0)["train"]) == 1


def test_consecutive_texts_are_paired():
    first = Texts("text", pa.array([f"a{number}" for number in range(6)], pa.string()))
    second = Texts("tokens", pa.array([["b", str(number)] for number in range(4)], pa.list_(pa.string())))
    splits = {"train": np.array([0, 1, 2, 6, 7]), "validation": np.array([4, 5, 8, 9])}  # 3 is of another split
    paired = pair_sentences((first, second), splits, seed=0)
    pairs = list(zip(paired.texts.first.to_pylist(), paired.texts.second.to_pylist(), paired.follows, strict=True))
    true = {(a, b) for a, b, follows in pairs if follows}
    assert true == {("a0", "a1"), ("a1", "a2"), ("b 0", "b 1"), ("a4", "a5"), ("b 2", "b 3")}
    assert not {(a, b) for a, b, follows in pairs if not follows} & true
    assert paired.follows.mean() == 0.5
    assert {name: len(rows) for name, rows in paired.splits.items()} == {"train": 6, "validation": 4}


def list_true_pairs(texts, splits):
    """Split -> numbers of the rows that are told to follow each other."""
    paired = pair_sentences(texts, splits, seed=0)
    first, second = paired.texts.first.to_pylist(), paired.texts.second.to_pylist()
    return {
        split: {(int(first[row]), int(second[row])) for row in rows if paired.follows[row]}
        for split, rows in paired.splits.items()
    }


def test_only_rows_that_follow_each_other_in_one_file_are_told_to():
    """Two files, then changed copies; another set; a sample."""
    files = np.array([0, 0, 0, 0, 1, 1, 1, -1, -1])
    first, sample = (Texts("text", pa.array(map(str, numbers), pa.string()), files=files) for numbers, files in (
        (range(9), files), (range(20, 23), np.full(3, -1)),
    ))  # fmt: skip
    other = Texts("text", pa.array(map(str, range(9, 12)), pa.string()))
    splits = {"train": np.array([0, 1, 2, 3, 7, 8, 9, 10, 11, 12, 13, 14]), "validation": np.array([4, 5, 6])}
    assert list_true_pairs((first, other, sample), splits) == {
        "train": {(0, 1), (1, 2), (2, 3), (9, 10), (10, 11)}, "validation": {(4, 5), (5, 6)},
    }  # fmt: skip


def test_no_validation_text_is_trained_on():
    texts = Texts("text", pa.array(map(str, range(8)), pa.string()))
    splits = {"train": np.array([0, 1, 3, 4, 6, 7]), "validation": np.array([2, 5])}
    assert list_true_pairs((texts,), splits) == {"train": {(0, 1), (3, 4), (6, 7)}, "validation": {(2, 3), (5, 6)}}


def test_pairs_keep_or_change_their_partner():
    texts = Texts("pair", pa.array(list("abcdef"), pa.string()), pa.array(list("uvwxyz"), pa.string()))
    splits = {"train": np.array([0, 2, 4]), "validation": np.array([1, 3])}
    paired = pair_sentences((texts,), splits, seed=1)
    pairs = set(
        zip(paired.texts.first.to_pylist(), paired.texts.second.to_pylist(), paired.follows.tolist(), strict=True)
    )
    assert {pair for pair in pairs if pair[2]} == {(a, b, 1) for a, b in zip("acebd", "uwyvx", strict=True)}


def test_nothing_to_pair():
    texts = Texts("text", pa.array(["a", "", "b", ""], pa.string()))
    with pytest.raises(DataError) as caught:
        pair_sentences((texts,), {"train": np.arange(2), "validation": np.arange(2, 4)}, 0)
    assert caught.value.code == "nothing_to_pair"
