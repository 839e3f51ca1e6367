"""One way to score every contender: the project's own figures, flat, `head/metric` -> value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chain_core.reports.metrics import compute_metrics, compute_right

Flat = dict[str, float]
JOINT = "joint/exact_match"


def score_rows(
    heads: Mapping[str, Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    predicted: Mapping[str, Sequence[Any]],
) -> tuple[Flat, dict[str, str]]:
    """The figures of all heads, and for each but regressions which rows are right, as a string of 0 and 1."""
    flat: Flat = {}
    right: dict[str, np.ndarray] = {}
    for head, values in predicted.items():
        kind, gold = heads[head]["kind"], [row[heads[head]["column"]] for row in rows]
        flat |= {f"{head}/{name}": value for name, value in compute_metrics(kind, gold, values).items()}
        if kind != "regression":
            right[head] = compute_right(kind, gold, values)
    if right and len(predicted) > 1:
        flat[JOINT] = float(np.logical_and.reduce(list(right.values())).mean())
    return flat, {head: format_right(values) for head, values in right.items()}


def format_right(right: np.ndarray) -> str:
    """Which rows are right, as a string of 0 and 1."""
    return "".join("01"[int(value)] for value in right)


def join_right(parts: Sequence[Mapping[str, str]]) -> float | None:
    """The share of rows that every head of several runs has right; None where they did not see the same rows."""
    rows = [[mark == "1" for mark in marks] for part in parts for marks in part.values()]
    if not rows or len({len(row) for row in rows}) != 1:
        return None
    return float(np.logical_and.reduce(np.array(rows)).mean())


def choose_score(flat: Flat) -> float:
    """What selects the best weights, for all contenders alike: the mean of each head's first figure."""
    firsts: dict[str, float] = {}
    for name, value in flat.items():
        head = name.partition("/")[0]
        if name != JOINT:
            firsts.setdefault(head, value)
    return float(np.mean(list(firsts.values())))


def flatten_report(part: Mapping[str, Mapping[str, float]]) -> Flat:
    """{head: {metric: value}} of a run's report -> flat."""
    return {f"{head}/{name}": value for head, figures in part.items() for name, value in figures.items()}


def flatten_event(event: Mapping[str, Any]) -> Flat:
    """An epoch event's validation figures, each head's at its deepest depth, losses left out."""
    deepest: dict[str, tuple[int, Mapping[str, float]]] = {}
    for key, figures in event["validation"].items():
        head, _, depth = key.rpartition("@")
        if head not in deepest or int(depth) > deepest[head][0]:
            deepest[head] = (int(depth), figures)
    flat = {
        f"{head}/{name}": value
        for head, (_, figures) in deepest.items()
        for name, value in figures.items()
        if name != "loss"
    }
    return flat | ({JOINT: event["joint"]} if event.get("joint") is not None and len(deepest) > 1 else {})
