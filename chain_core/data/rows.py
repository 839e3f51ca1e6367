"""The rows of a run: one data set, or several one after the other, each read with its own columns.

Where sets are joined, a row's number counts on from set to set, and a head's gold is null on the rows of other sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from chain_core.config import InputConfig
from chain_core.data.labels import read_gold
from chain_core.data.task import Task
from chain_core.data.text import Texts, mark_texts


@dataclass(frozen=True)
class RowSet:
    """One data set's rows, read but not encoded. N rows."""

    name: str
    """Its entry of `also`; "" for those of `data`."""
    source: str
    """Where the rows come from, in the user's words."""
    columns: InputConfig
    table: pa.Table
    texts: Texts
    tasks: tuple[Task, ...]
    """What the heads that learn from this set predict, and from which of its columns."""
    splits: Mapping[str, np.ndarray]
    """Split -> row numbers of this set."""


def join_splits(sets: Sequence[RowSet]) -> dict[str, np.ndarray]:
    """Split -> row numbers of all sets together."""
    starts = np.cumsum([0, *(len(part.texts) for part in sets)])
    names = dict.fromkeys(name for part in sets for name in part.splits)
    return {
        name: np.concatenate(
            [part.splits[name] + start for part, start in zip(sets, starts[:-1], strict=True) if name in part.splits]
        )
        for name in names
    }


def join_gold(sets: Sequence[RowSet], tasks: Sequence[Task]) -> dict[str, pa.Array]:
    """Head -> its gold for all rows, null where a row's set does not know it; only of heads with a column."""
    found = [{task.name: read_gold(part.table, task) for task in part.tasks} for part in sets]
    joined = {}
    for task in tasks:
        known = next((gold[task.name] for gold in found if task.name in gold), None)
        if known is not None:
            parts = [
                gold.get(task.name, pa.nulls(len(part.texts), known.type))
                for part, gold in zip(sets, found, strict=True)
            ]
            joined[task.name] = parts[0] if len(parts) == 1 else pa.concat_arrays(parts)
    return joined


def join_texts(parts: Sequence[Texts]) -> Texts:
    """What heads that look for spans must know of all rows: the texts that they search, and the spans that they tell
    apart; rows of tokens, which nothing searches, are empty."""
    if len(parts) == 1:
        return parts[0]
    searched = [pa.array([""] * len(part), pa.string()) if part.kind == "tokens" else part.searched for part in parts]
    spans = {
        head: np.concatenate([part.spans.get(head, np.full((len(part), 4), -1, np.int32)) for part in parts])
        for head in dict.fromkeys(head for part in parts for head in part.spans)
    }
    return Texts("text", pa.concat_arrays(searched), None, spans)


def take_texts(parts: Sequence[Texts], rows: np.ndarray) -> dict[str, pa.Array]:
    """The columns `text` and, where any set has them, `tokens` and `pair` of the rows, null where a row has none."""
    starts = np.cumsum([0, *(len(part) for part in parts)])
    owners = np.searchsorted(starts, rows, side="right") - 1
    taken = [
        _list_columns(part, pa.array(rows[owners == number] - starts[number])) for number, part in enumerate(parts)
    ]
    kept = {"text", *(name for part in parts for name in _list_kinds(part))}
    back = pa.array(np.argsort(np.argsort(owners, kind="stable"), kind="stable"))
    return {name: pa.concat_arrays([part[name] for part in taken]).take(back) for name in taken[0] if name in kept}


def _list_kinds(part: Texts) -> set[str]:
    return {name for name, there in (("tokens", part.kind == "tokens"), ("pair", part.second is not None)) if there}


def _list_columns(part: Texts, rows: pa.Array) -> dict[str, pa.Array]:
    first, count = part.first.take(rows), len(rows)
    split = part.kind == "tokens"
    text = pa.array([" ".join(words) for words in first.to_pylist()], pa.string()) if split else first
    if len(part.spans) == 1:
        (spans,) = part.spans.values()
        text = pa.array(mark_texts(part, rows.to_numpy(), spans), pa.string())
    return {
        "tokens": first if split else pa.nulls(count, pa.list_(pa.string())),
        "text": text,
        "pair": pa.nulls(count, pa.string()) if part.second is None else part.second.take(rows),
    }
