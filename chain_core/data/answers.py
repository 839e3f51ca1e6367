"""Answers to be found in a text: what the label column says, and where it stands.

A cell is one right answer, a list of them, or SQuAD's `{"text": […], "answer_start": […]}`. An empty text or an empty
list says that the text holds no answer; a missing cell says that nobody looked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chain_core.data.cells import MISSING, is_list, split_lists, to_text
from chain_core.data.task import Task
from chain_core.data.text import get_column
from chain_core.errors import DataError

ANSWERS = pa.list_(pa.struct([("text", pa.string()), ("start", pa.int32())]))
"""Of a row: right answers and their first characters in the searched text, -1 where it has no such answer."""
UNLABELLED = (-1, -1)
NONE = (0, 0)
_MISSING = frozenset(MISSING) - {""}


def read_answers(table: pa.Table, task: Task) -> pa.Array:
    """The right answers of every row, (N,) ANSWERS; null where nobody labelled it, empty where there is none.

    With a column of starts, an answer stands there, or as near to there as it is found; without, where it is found
    first. Raises DataError for a start that is no number.
    """
    cells = get_column(table, task.column).to_pylist()
    texts = to_text(get_column(table, task.searched or "")).to_pylist()
    starts = get_column(table, task.start).to_pylist() if task.start else [None] * len(cells)
    rows = [
        _read_row(cell, start, text, task, row)
        for row, (cell, start, text) in enumerate(zip(cells, starts, texts, strict=True), start=1)
    ]
    return pa.array(rows, ANSWERS)


def _read_row(cell: Any, start: Any, text: str, task: Task, row: int) -> list[dict[str, Any]] | None:
    if cell is None or (isinstance(cell, str) and cell.strip() in _MISSING):
        return None
    answers, given = _read_cell(cell)
    if start is not None:
        given = start if isinstance(start, list) else [start]
    places = [_read_start(value, task, row) for value in given]
    places += [None] * (len(answers) - len(places))
    found = []
    for answer, place in zip(answers, places, strict=False):
        stripped = (answer or "").strip()
        if stripped:
            found.append({"text": stripped, "start": find_answer(text, stripped, place)})
    return found


def _read_cell(cell: Any) -> tuple[Sequence[str], list[Any]]:
    """(answers, starts) of one cell."""
    if isinstance(cell, list):
        return cell, []
    if cell.lstrip().startswith("{"):
        try:
            parsed = json.loads(cell)
            answers, starts = parsed["text"], parsed.get("answer_start", [])
        except (ValueError, KeyError, TypeError, AttributeError):
            return [cell], []
        as_list = [value if isinstance(value, list) else [value] for value in (answers, starts)]
        return [str(answer) for answer in as_list[0]], as_list[1]
    return [cell], []


def _read_start(value: Any, task: Task, row: int) -> int | None:
    text = "" if value is None else str(value).strip()
    if not text or text in _MISSING:
        return None
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        raise DataError("answer_start", column=task.start or task.column, row=row, value=text[:60]) from None


def find_answer(text: str, answer: str, place: int | None) -> int:
    """Where an answer stands: at `place`, else where it is found nearest to it, else first; -1 for nowhere.

    Upper and lower case are told apart only where both occur.
    """
    if place is not None and text[max(place, 0) : place + len(answer)] == answer and place >= 0:
        return place
    for where, what in ((text, answer), (text.lower(), answer.lower())):
        if len(where) != len(text) or len(what) != len(answer):
            continue
        places = _find_all(where, what)
        if places:
            return places[0] if place is None else min(places, key=lambda found: abs(found - place))
    return -1


def _find_all(text: str, answer: str) -> list[int]:
    places, place = [], text.find(answer)
    while place >= 0:
        places.append(place)
        place = text.find(answer, place + 1)
    return places


def encode_answers(gold: pa.Array) -> np.ndarray:
    """(N, 2) int64: first character and the one after the last of each row's first answer that stands in its text.

    NONE where the row has no answer; UNLABELLED where nobody labelled it, or none of its answers stands in the text.
    """
    items, offsets = split_lists(gold)
    counts = np.diff(offsets)
    spans = np.full((len(gold), 2), UNLABELLED, np.int64)
    missing = gold.is_null().to_numpy(zero_copy_only=False)
    spans[(counts == 0) & ~missing] = NONE
    if len(items):
        starts = pc.struct_field(items, "start").to_numpy(zero_copy_only=False).astype(np.int64)
        lengths = pc.utf8_length(pc.struct_field(items, "text")).to_numpy(zero_copy_only=False).astype(np.int64)
        found = np.flatnonzero(starts >= 0)[::-1]  # the first of a row is written last
        rows = np.repeat(np.arange(len(gold)), counts)[found]
        spans[rows] = np.stack([starts[found], starts[found] + lengths[found]], 1)
    return spans


def count_unfound(gold: pa.Array) -> int:
    """Rows with answers of which none stands in the text."""
    counts = np.diff(split_lists(gold)[1])
    return int(((counts > 0) & (encode_answers(gold)[:, 0] < 0)).sum())


def drop_starts(gold: pa.Array) -> pa.Array:
    """Gold labels as reports hold them: of answers, (N,) list<text> without their places; others as they are."""
    if not is_list(gold.type) or not pa.types.is_struct(gold.type.value_type):
        return gold
    texts = [None if cell is None else [answer["text"] for answer in cell] for cell in gold.to_pylist()]
    return pa.array(texts, pa.list_(pa.string()))
