"""Predictions side by side: one row an example, for each head its gold and what it says at each depth.

Columns of the frame: `row`, `text`, optionally `pair` and `tokens`; for each head h `gold:h`; for each depth
d `pred:h@d`, `conf:h@d` (NaN for regression), `wrong:h@d` (bool; False where gold is missing, and for numbers,
which are never exactly right) and, for regression, `residual:h@d` = predicted - gold; and `disagree:h` (bool:
the depths of this head differ). Cells are what the predictions hold: a label, a list, a number, an answer, None.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from chain_core.reports.metrics import compute_right, is_missing
from chain_core.reports.predictions import HeadInfo, Predictions

SHOWS = ("all", "wrong", "disagree")
ORDERS = ("file", "unsure", "sure")


def compute_examples(predictions: Predictions) -> pd.DataFrame:
    """The whole split, in the order of its rows."""
    table = predictions.table
    columns: dict[str, Any] = {
        name: table.column(name).to_pylist() for name in ("row", "text", "pair", "tokens") if name in table.column_names
    }
    columns.setdefault("row", list(range(predictions.rows)))
    for head, info in predictions.heads.items():
        gold = predictions.get_gold(head)
        said = {depth: predictions.get_predicted(head, depth) for depth in info.depths}
        columns[f"gold:{head}"] = gold
        for depth, cells in said.items():
            key = f"{head}@{depth}"
            confidence = predictions.get_confidence(head, depth)
            columns[f"pred:{key}"] = cells
            columns[f"conf:{key}"] = np.full(len(cells), np.nan) if confidence is None else confidence
            columns[f"wrong:{key}"] = _find_wrong(info, gold, cells)
            if info.kind == "regression":
                columns[f"residual:{key}"] = [
                    None if is_missing(g) else float(p) - float(g) for g, p in zip(gold, cells, strict=True)
                ]
        columns[f"disagree:{head}"] = _find_disagreement(info, list(said.values()))
    return pd.DataFrame({name: _as_series(name, cells) for name, cells in columns.items()})


def filter_examples(
    examples: pd.DataFrame,
    predictions: Predictions,
    *,
    heads: Iterable[str] | None = None,
    show: str = "all",
    label: tuple[str, str] | None = None,
    text: str = "",
) -> pd.DataFrame:
    """The rows to look at; `heads` (None: all) are those that are looked at.

    `show`: all rows; "wrong": any head at any depth is wrong; "disagree": the depths of any head differ.
    `label`: (head, label) that gold or any depth must say, for tags the entity type. `text`: must stand in
    the text or its pair, upper or lower case alike.
    """
    chosen = [head for head in predictions.heads if heads is None or head in set(heads)]
    keep = np.ones(len(examples), bool)
    if show == "wrong":
        keep &= find_any_wrong(examples, predictions, chosen)
    elif show == "disagree":
        columns = [f"disagree:{head}" for head in chosen]
        keep &= examples[columns].to_numpy(bool).any(1) if columns else False
    if label is not None and label[0] in predictions.heads:
        keep &= _find_label(examples, predictions.heads[label[0]], *label)
    if text:
        found = np.zeros(len(examples), bool)
        for name in ("text", "pair"):
            if name in examples:
                cells = examples[name].fillna("").astype(str)
                found |= cells.str.contains(text, case=False, regex=False).to_numpy(bool)
        keep &= found
    return examples[keep]


def sort_examples(
    examples: pd.DataFrame, predictions: Predictions, order: str, heads: Sequence[str] | None = None
) -> pd.DataFrame:
    """By the least confidence of the looked-at heads at their deepest depths: "unsure" or "sure" first."""
    columns = [
        f"conf:{head}@{info.depths[-1]}"
        for head, info in predictions.heads.items()
        if info.kind != "regression" and (heads is None or head in heads)
    ]
    if order == "file" or not columns:
        return examples
    least = examples[columns].min(axis=1)
    return examples.loc[least.sort_values(ascending=order == "unsure", kind="stable").index]


def find_any_wrong(examples: pd.DataFrame, predictions: Predictions, heads: Iterable[str]) -> np.ndarray:
    """(N,) whether any of these heads is wrong at any of its depths."""
    columns = [f"wrong:{head}@{depth}" for head in heads for depth in predictions.heads[head].depths]
    return examples[columns].to_numpy(bool).any(1) if columns else np.zeros(len(examples), bool)


def list_labels(examples: pd.DataFrame, predictions: Predictions, head: str) -> list[str]:
    """Every label that gold or any depth of a head says; for tags the entity types; none for scores and answers."""
    info = predictions.heads[head]
    if info.kind in ("regression", "span"):
        return []
    columns = [f"gold:{head}", *(f"pred:{head}@{depth}" for depth in info.depths)]
    found: set[str] = set()
    for name in columns:
        if info.kind in ("classification", "relation"):
            found.update(examples[name].dropna().unique())
        else:
            found.update(label for cell in examples[name] if cell is not None for label in cell if label)
    if info.kind == "tagging":
        found = {get_type(tag) for tag in found if tag != "O"}
    return sorted(found)


def get_type(tag: str) -> str:
    """`B-city` -> `city`; anything else as it is."""
    return tag[2:] if tag[:2] in ("B-", "I-", "E-", "S-") and len(tag) > 2 else tag


def _find_wrong(info: HeadInfo, gold: list[Any], cells: list[Any]) -> np.ndarray:
    if info.kind == "regression":
        return np.zeros(len(gold), bool)
    known = np.fromiter((not is_missing(cell) for cell in gold), bool, len(gold))
    return known & ~compute_right(info.kind, gold, cells)


def _find_disagreement(info: HeadInfo, said: list[list[Any]]) -> np.ndarray:
    differ = np.zeros(len(said[0]), bool)
    if info.kind == "regression":
        return differ
    as_one = (lambda cell: frozenset(cell)) if info.kind == "multilabel" else (lambda cell: cell)
    for cells in said[1:]:
        differ |= np.fromiter((as_one(a) != as_one(b) for a, b in zip(said[0], cells, strict=True)), bool, len(cells))
    return differ


def _find_label(examples: pd.DataFrame, info: HeadInfo, head: str, label: str) -> np.ndarray:
    found = np.zeros(len(examples), bool)
    for name in (f"gold:{head}", *(f"pred:{head}@{depth}" for depth in info.depths)):
        if info.kind in ("classification", "relation"):
            found |= (examples[name] == label).to_numpy(bool)
        elif info.kind in ("multilabel", "tagging"):
            wanted = {label} if info.kind == "multilabel" else {label, f"B-{label}", f"I-{label}"}
            cells = examples[name]
            found |= np.fromiter((cell is not None and not wanted.isdisjoint(cell) for cell in cells), bool, len(cells))
    return found


def _as_series(name: str, cells: Any) -> pd.Series:
    kind = name.partition(":")[0]
    if kind in ("wrong", "disagree"):
        return pd.Series(cells, dtype=bool)
    if kind in ("conf", "residual"):
        return pd.Series(cells, dtype=float)
    if name == "row":
        return pd.Series(cells, dtype="int64")
    # Lists, labels and None side by side stay what they are.
    return pd.Series(cells, dtype=object)
