"""Frames of the live view: losses and validation figures of one head. Pure: nothing is drawn here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from chain_core.services.records import Curve

LATEST_EPOCHS = 200


def find_heads(curves: Mapping[str, Curve]) -> list[str]:
    """The heads that have a loss, in order of name."""
    keys = {series.split("/")[1] for series in curves if series.endswith("/loss") and series.count("/") == 2}
    return sorted({key.partition("@")[0] for key in keys})


def build_loss_frame(curves: Mapping[str, Curve], head: str, splits: Mapping[str, str]) -> pd.DataFrame:
    """Long form: epoch, loss, depth (as text), split (as `splits` names "train" and "validation")."""
    parts = []
    for split, name in splits.items():
        for depth in _find_depths(curves, split, head):
            curve = curves[f"{split}/{head}@{depth}/loss"]
            columns = {"epoch": curve.epoch, "loss": curve.value, "depth": str(depth), "split": name}
            parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def build_loss_chart(train: str, validation: str, titles: Mapping[str, str]) -> dict[str, Any]:
    """Vega-Lite's description: a colour a depth, train solid, validation dashed with a point an epoch.

    It holds no data and so stays the same from tick to tick: the chart then moves without being built anew.
    `titles` names epoch, loss, depth and split.
    """
    bottom = {"orient": "bottom", "direction": "horizontal", "titleAnchor": "start"}
    encoding = {
        "x": {"field": "epoch", "type": "quantitative", "title": titles["epoch"], "axis": {"grid": False}},
        "y": {"field": "loss", "type": "quantitative", "title": titles["loss"]},
        "color": {
            "field": "depth",
            "type": "nominal",
            "sort": None,
            "legend": {**bottom, "title": titles["depth"], "columns": 7},
        },
        "tooltip": [
            {"field": name, "title": titles[name], "type": kind, **({"format": ".3f"} if kind[0] == "q" else {})}
            for name, kind in _TOOLTIP
        ],
    }
    dash = {
        "field": "split",
        "type": "nominal",
        "scale": {"domain": [train, validation], "range": [[1, 0], [5, 3]]},
        "legend": {
            **bottom,
            "title": None,
            "symbolType": "stroke",
            "symbolSize": 300,
            "symbolStrokeColor": "#888888",
            "symbolStrokeWidth": 2,
        },
    }
    lines = {"mark": {"type": "line", "strokeWidth": 1.8}, "encoding": {"strokeDash": dash}}
    points = {
        "transform": [{"filter": {"field": "split", "equal": validation}}],
        "mark": {"type": "point", "filled": True, "size": 22},
    }
    # A line of one point cannot be seen: the first steps are points as well.
    first_points = {
        "transform": [
            {"filter": {"field": "split", "equal": train}},
            {"joinaggregate": [{"op": "count", "as": "count"}], "groupby": ["depth"]},
            {"filter": {"field": "count", "lt": FEW_POINTS}},
        ],
        "mark": {"type": "point", "filled": True, "size": 22},
    }
    return {"encoding": encoding, "layer": [lines, points, first_points]}


FEW_POINTS = 8
_TOOLTIP = (("epoch", "quantitative"), ("loss", "quantitative"), ("depth", "nominal"), ("split", "nominal"))


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
