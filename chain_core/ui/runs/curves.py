"""Frames of the live view: losses and validation figures of one head. Pure: nothing is drawn here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from chain_core.services.store.records import Curve

LATEST_EPOCHS = 200


def find_heads(curves: Mapping[str, Curve]) -> list[str]:
    """The heads that have a loss, in order of name."""
    keys = {series.split("/")[1] for series in curves if series.endswith("/loss") and series.count("/") == 2}
    return sorted({key.partition("@")[0] for key in keys})


def build_loss_frame(
    curves: Mapping[str, Curve], head: str, splits: Mapping[str, str], stages: Sequence[Mapping[str, Any]] = ()
) -> pd.DataFrame:
    """Long form: epoch, loss, depth (as text), split (as `splits` names "train" and "validation").

    A run of several `stages` (its events) has a row more for each: the epoch at which it begins, and its name under
    `stage`.
    """
    parts = []
    for split, name in splits.items():
        for depth in _find_depths(curves, split, head):
            curve = curves[f"{split}/{head}@{depth}/loss"]
            columns = {"epoch": curve.epoch, "loss": curve.value, "depth": str(depth), "split": name}
            parts.append(pd.DataFrame(columns))
    if not parts:
        return pd.DataFrame()
    frame = pd.concat(parts, ignore_index=True).assign(stage=None)
    if len(stages) < 2:
        return frame
    names = list(name_stages(stages).values())
    marks = pd.DataFrame({"epoch": [float(event["epoch"]) for event in stages], "stage": names})
    return pd.concat([frame.astype({"stage": object}), marks.astype({"stage": object})], ignore_index=True)


def name_stages(stages: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Number of a stage -> the name that its event gives it."""
    return {int(event["stage"]): str(event.get("name") or event["stage"]) for event in stages}


def build_loss_chart(train: str, validation: str, titles: Mapping[str, str]) -> dict[str, Any]:
    """Vega-Lite's description: a colour a depth, train solid, validation dashed with a point an epoch.

    A dotted rule with its name stands where a stage begins. The description holds no data and so stays the same from
    tick to tick: the chart then moves without being built anew. `titles` names epoch, loss, depth and split.
    """
    bottom = {"orient": "bottom", "direction": "horizontal", "titleAnchor": "start"}
    across = {"field": "epoch", "type": "quantitative", "title": titles["epoch"], "axis": {"grid": False}}
    encoding = {
        "x": across,
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
    lines = {
        "transform": [{"filter": "isValid(datum.loss)"}],
        "mark": {"type": "line", "strokeWidth": 1.8},
        "encoding": {**encoding, "strokeDash": dash},
    }
    point = {"mark": {"type": "point", "filled": True, "size": 22}, "encoding": encoding}
    points = {"transform": [{"filter": {"field": "split", "equal": validation}}], **point}
    # A line of one point cannot be seen: the first steps are points as well.
    first_points = {
        "transform": [
            {"filter": {"field": "split", "equal": train}},
            {"joinaggregate": [{"op": "count", "as": "count"}], "groupby": ["depth"]},
            {"filter": {"field": "count", "lt": FEW_POINTS}},
        ],
        **point,
    }
    return {"layer": [*_build_stage_marks(across), lines, points, first_points]}


def _build_stage_marks(across: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A rule where each stage begins, and its name at the top of it."""
    only = {"transform": [{"filter": "isValid(datum.stage)"}]}
    name = {"field": "stage", "type": "nominal"}
    rule = {"type": "rule", "strokeDash": [2, 3], "color": "#888888"}
    text = {"type": "text", "align": "left", "baseline": "top", "dx": 4, "y": 0, "color": "#888888", "limit": 110}
    return [
        {**only, "mark": rule, "encoding": {"x": across}},
        {**only, "mark": text, "encoding": {"x": across, "text": name, "tooltip": name}},
    ]


FEW_POINTS = 8
_TOOLTIP = (("epoch", "quantitative"), ("loss", "quantitative"), ("depth", "nominal"), ("split", "nominal"))


def build_validation_frame(
    events: Sequence[Mapping[str, Any]],
    head: str,
    name_column: Callable[[str, int], str],
    stages: Sequence[Mapping[str, Any]] = (),
) -> pd.DataFrame:
    """A row an epoch, the latest first; `epoch` with a star where its weights were the best so far; the `stage` where
    there are several; a column a metric and depth, the head's main metric first, its loss last.

    An epoch that did not judge the head has no row.
    """
    rows = []
    names = name_stages(stages) if len(stages) > 1 else {}
    judged = [event for event in events if _judges(event, head)]
    for event in reversed(judged[-LATEST_EPOCHS:]):
        row: dict[str, Any] = {"epoch": f"{event['epoch']} ★" if event.get("best") else str(event["epoch"])}
        if names:
            row["stage"] = names.get(int(event.get("stage") or 0), "")
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


def _judges(event: Mapping[str, Any], head: str) -> bool:
    return any(key.partition("@")[0] == head for key in event.get("validation") or {})


def _find_depths(curves: Mapping[str, Curve], split: str, head: str) -> list[int]:
    start, end = f"{split}/{head}@", "/loss"
    return sorted(
        int(name.removeprefix(start).removesuffix(end))
        for name in curves
        if name.startswith(start) and name.endswith(end)
    )
