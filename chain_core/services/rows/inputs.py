"""Rows that a person typed or a file holds, as the texts that a run reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from chain_core.config import Config, InputConfig
from chain_core.data.cells import split_lists
from chain_core.data.relations import (
    MISSING,
    list_span_columns,
    read_span_columns,
    split_marked_words,
    take_out_marks,
)
from chain_core.data.text import Texts, count_characters
from chain_core.data.words import split_words
from chain_core.errors import DataError

Row = Mapping[str, Any]
"""{"text"}, {"text", "pair"} or {"tokens"}; {"spans": {column: cell}} where a relation's spans stand in columns."""


TAKES_ANY_ROW = ("classification", "multilabel", "regression", "tagging")
"""Kinds of heads that answer for rows of another data set, where it gives the same kind of input."""


def choose_set(config: Config, columns: Collection[str]) -> str:
    """The entry of `also` whose rows have these columns; "" for the run's first data set, and where none has them."""
    for name in ("", *config.also):
        wanted = list_input_columns(config.also[name].input if name else config.input)
        if wanted and all(column in columns for column in wanted):
            return name
    return ""


def narrow_config(config: Config, data: str) -> Config:
    """The config as one data set sees it: its columns, and the heads that can answer for its rows."""
    if not config.also:
        return config
    inputs = {"": config.input, **{name: part.input for name, part in config.also.items()}}
    kinds = {name: tuple(list_input_roles(columns)) for name, columns in inputs.items()}
    heads = {
        name: head
        for name, head in (config.heads or {}).items()
        if (head.data or "") == data or (kinds[head.data or ""] == kinds[data] and head.kind in TAKES_ANY_ROW)
    }
    return config.model_copy(update={"input": inputs[data], "heads": heads})


def list_input_roles(columns: InputConfig) -> list[str]:
    """Those of text, pair and tokens that are read."""
    return [role for role in ("text", "pair", "tokens") if getattr(columns, role)]


def list_input_columns(columns: InputConfig) -> list[str]:
    return [getattr(columns, role) for role in list_input_roles(columns)]


def pick_row(record: Any, config: Config) -> dict[str, Any]:
    """The input of one row from a record that has the run's columns, or `text`, `pair`, `tokens`.

    Raises DataError for a record that is no object or has none of them, and for tokens that are neither text nor list.
    """
    if not isinstance(record, dict):
        raise DataError("row_not_object")
    columns = config.input
    row: dict[str, Any] = {}
    for role in ("tokens", "text", "pair"):
        name = getattr(columns, role)
        value = record.get(name, record.get(role)) if name else None
        if value is not None:
            row[role] = value
    if not row and isinstance(record.get("text"), str):
        row["text"] = record["text"]
    if not row:
        raise DataError("row_without_input", column=str(columns.tokens or columns.text))
    if not isinstance(row.get("tokens", ""), str | list):
        raise DataError("tokens_form", given=str(row["tokens"])[:80])
    spans = {name: record[name] for name in list_span_columns(config.heads or {}) if record.get(name) is not None}
    return {**row, "spans": spans} if spans else row


def build_texts(rows: Sequence[Row], config: Config, start: int = 0) -> Texts:
    """What the run reads of the rows. `start`: rows before these, for what an error says.

    Where the run tells a relation, the spans of each row are marked in its text or stand in the run's columns. Raises
    DataError naming the first row without.
    """
    relations = {name: head for name, head in (config.heads or {}).items() if head.kind == "relation"}
    firsts: list[Any] = []
    marked: list[tuple[int, ...]] = []
    for number, row in enumerate(rows, start=start + 1):
        try:
            first, spans = _read_first(row, tokens=bool(config.input.tokens), marks=bool(relations))
        except ValueError:
            column = config.input.tokens or config.input.text
            raise DataError("marks_incomplete", column=column, row=number, text=str(row.get("text", ""))[:80]) from None
        firsts.append(first)
        marked.append(spans or MISSING)
    if config.input.tokens:
        texts = Texts("tokens", pa.array(firsts, pa.list_(pa.string())))
    elif config.input.pair:
        second = pa.array([str(row.get("pair", "")) for row in rows], pa.string())
        texts = Texts("pair", pa.array(firsts, pa.string()), second)
    else:
        texts = Texts("text", pa.array(firsts, pa.string()))
    places = np.array(marked, np.int32).reshape(len(rows), 4)
    found = {name: _read_spans(rows, texts, places, head.spans, start) for name, head in relations.items()}
    for name, part in found.items():
        without = np.flatnonzero(part[:, 0] < 0)
        # A head of another data set may find nothing to tell in these rows.
        if len(without) and relations[name].data is None:
            given = relations[name].spans
            where = f"{', '.join(given)}, <e1>…</e1> <e2>…</e2>" if given else "<e1>…</e1> <e2>…</e2>"
            raise DataError("row_without_spans", row=start + int(without[0]) + 1, spans=where)
    return replace(texts, spans=found)


def _read_first(row: Row, *, tokens: bool, marks: bool) -> tuple[Any, tuple[int, ...] | None]:
    """(the text or the words of a row, its spans where they are marked). Raises ValueError for odd marks."""
    given = row.get("tokens")
    text = str(row.get("text", ""))
    if not tokens:
        return take_out_marks(text) if marks else (text, None)
    if given is None:
        return split_marked_words(text) if marks else (split_words(text), None)
    return (given.split() if isinstance(given, str) else [str(token) for token in given]), None


def _read_spans(
    rows: Sequence[Row], texts: Texts, marked: np.ndarray, columns: tuple[str, str] | None, start: int
) -> np.ndarray:
    """Marked spans, else those of the columns, (N, 4) int32; MISSING where a row has neither."""
    if columns is None:
        return marked
    lengths = np.diff(split_lists(texts.first)[1]) if texts.kind == "tokens" else count_characters(texts.first)
    cells = {name: [row.get("spans", {}).get(name) for row in rows] for name in columns}
    arrays = {name: pa.array([_as_text(cell) for cell in part], pa.string()) for name, part in cells.items()}
    return np.where(marked[:, :1] >= 0, marked, read_span_columns(arrays, lengths, start))


def _as_text(cell: Any) -> str | None:
    if cell is None:
        return None
    return " ".join(map(str, cell)) if isinstance(cell, list | tuple) else str(cell)
