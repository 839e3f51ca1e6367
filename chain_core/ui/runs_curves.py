"""Frames of the live view: losses and validation figures of one head. Pure: nothing is drawn here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from chain_core.services.records import Curve

LATEST_EPOCHS = 200
_DASH = 0.015


def find_heads(curves: Mapping[str, Curve]) -> list[str]:
    """The heads that have a loss, in order of name."""
    keys = {series.split("/")[1] for series in curves if series.endswith("/loss") and series.count("/") == 2}
    return sorted({key.partition("@")[0] for key in keys})


def build_loss_frame(curves: Mapping[str, Curve], head: str, name_series: Callable[[str, int], str]) -> pd.DataFrame:
    """Long form: epoch, loss, series; train and validation at every depth of the head, by `name_series`.

    A series of one point gets a short dash around it: a line chart draws no single point.
    """
    parts = []
    last = max((epoch or 0 for curve in curves.values() for epoch in curve.epoch[-1:]), default=0)
    for split in ("train", "validation"):
        for depth in _find_depths(curves, split, head):
            curve = curves[f"{split}/{head}@{depth}/loss"]
            epochs, values = list(curve.epoch), list(curve.value)
            if len(epochs) == 1:
                middle, half = epochs[0] or 0, _DASH * max(last, 0.01)
                epochs, values = [middle - half, middle + half], values * 2
            parts.append(pd.DataFrame({"epoch": epochs, "loss": values, "series": name_series(split, depth)}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def build_validation_frame(
    events: Sequence[Mapping[str, Any]], head: str, name_column: Callable[[str, int], str]
) -> pd.DataFrame:
    """A row an epoch, the latest first; `epoch` with a star where its weights were the best so far; a column
    a metric and depth, the head's main metric first, its loss last."""
    rows = []
    for event in reversed(events[-LATEST_EPOCHS:]):
        row: dict[str, Any] = {"epoch": f"{event['epoch']} ★" if event.get("best") else str(event["epoch"])}
        by_metric: dict[str, dict[int, Any]] = {}
        for key, metrics in (event.get("validation") or {}).items():
            name, _, depth = key.partition("@")
            if name == head:
                for metric, value in metrics.items():
                    by_metric.setdefault(metric, {})[int(depth)] = value
        for metric in sorted(by_metric, key=lambda name: name == "loss"):
            for depth, value in sorted(by_metric[metric].items()):
                row[name_column(metric, depth)] = value
        rows.append(row)
    return pd.DataFrame(rows)


def _find_depths(curves: Mapping[str, Curve], split: str, head: str) -> list[int]:
    start, end = f"{split}/{head}@", "/loss"
    return sorted(
        int(name.removeprefix(start).removesuffix(end))
        for name in curves
        if name.startswith(start) and name.endswith(end)
    )
