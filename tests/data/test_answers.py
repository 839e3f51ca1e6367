"""Answers: what cells say, where they stand, what is learned from them."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_core.config import HeadConfig, InputConfig
from chain_core.data.answers import NONE, UNLABELLED, drop_starts, encode_answers, find_answer, read_answers
from chain_core.data.schema import build_tasks
from chain_core.data.task import Task
from chain_core.errors import DataError

TEXT = "the red light, the Red light"
TASK = Task("a", "span", "answer", searched="context")


def read(cells, starts=None, kind=None):
    columns = {"context": [TEXT] * len(cells), "answer": pa.array(cells, kind)}
    if starts is not None:
        columns["at"] = starts
    return read_answers(pa.table(columns), replace(TASK, start="at" if starts else None))


def test_cells_of_every_shape() -> None:
    gold = read(["red", None, "", "blue", '{"text": ["Red"], "answer_start": ["19"]}', "null"])
    assert gold.to_pylist() == [
        [{"text": "red", "start": 4}], None, [], [{"text": "blue", "start": -1}], [{"text": "Red", "start": 19}], None,
    ]  # fmt: skip
    assert encode_answers(gold).tolist() == [[4, 7], [*UNLABELLED], [*NONE], [*UNLABELLED], [19, 22], [*UNLABELLED]]
    assert drop_starts(gold).to_pylist() == [["red"], None, [], ["blue"], ["Red"], None]


def test_the_first_answer_that_is_found_teaches() -> None:
    gold = read([["blue", "light", "red"], [""], []], kind=pa.list_(pa.string()))
    assert encode_answers(gold).tolist() == [[8, 13], [*NONE], [*NONE]]


def test_a_start_chooses_among_several() -> None:
    gold = read(["light", "light", "red"], ["23", "20", "99"])
    assert encode_answers(gold).tolist() == [[23, 28], [23, 28], [4, 7]]
    with pytest.raises(DataError) as caught:
        read(["light"], ["here"])
    assert caught.value.params["row"] == 1


@given(st.text(min_size=1, max_size=30), st.data())
def test_an_answer_cut_from_a_text_is_found_where_it_stands(text: str, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(begin + 1, len(text)))
    answer = text[begin:end]
    assert find_answer(text, answer, begin) == begin
    found = find_answer(text, answer, None)
    assert text[found : found + len(answer)] == answer


def test_a_task_knows_whether_an_answer_may_be_missing() -> None:
    def build(answers: list[str | None]) -> Task:
        table = pa.table({"q": ["?"] * len(answers), "context": [TEXT] * len(answers), "answer": answers})
        head = HeadConfig(kind="span", column="answer")
        return build_tasks(table, {"a": head}, columns=InputConfig(text="q", pair="context"))[0]

    assert not build(["red", "light", None]).optional
    assert build(["red", ""]).optional
    assert build(["red", ""]).searched == "context"
    assert build(["red", "nowhere"]).notes[0]["params"]["count"] == 1
    with pytest.raises(DataError) as caught:
        build(["nowhere"])
    assert caught.value.code == "no_answer_found"
