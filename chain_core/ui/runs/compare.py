"""Frames and descriptions of curves of several runs, one over the other. Pure: nothing is drawn here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from chain_core.services.store.records import Curve

AXES = ("step", "epoch", "seconds")
DEFAULT_SERIES = ("train/loss", "validation/score")
FEW_POINTS = 8
LONG_SECONDS = 600.0
"""From here on time is told in minutes."""
_ORDER = ("train", "validation", "learning_rate", "gradient", "rows_per_second", "memory")
_UNITS = {"memory": 1e-9}


def order_series(names: Iterable[str]) -> list[str]:
    """Each name once: losses, validation figures, learning rates, gradients, throughput, memory."""

    def place(name: str) -> tuple[int, bool, str]:
        group = name.partition("/")[0]
        return (_ORDER.index(group) if group in _ORDER else len(_ORDER), name not in DEFAULT_SERIES, name)

    return sorted(set(names), key=place)


def name_apart(names: Sequence[str]) -> list[str]:
    """The names of runs for a legend: of equal ones, the second is called `name (2)`."""
    labels: list[str] = []
    for name in names:
        label, number = name, 2
        while label in labels:
            label, number = f"{name} ({number})", number + 1
        labels.append(label)
    return labels


def smooth(values: Sequence[float | None], factor: float) -> list[float | None]:
    """Exponential moving average, in which the first values do not count more than they should; gaps stay gaps."""
    mean = weight = 0.0
    smoothed: list[float | None] = []
    for value in values:
        if value is None:
            smoothed.append(None)
            continue
        mean = factor * mean + (1 - factor) * value
        weight = factor * weight + (1 - factor)
        smoothed.append(mean / weight)
    return smoothed


def build_frame(
    curves: Mapping[str, Curve],
    series: str,
    axis: str,
    factor: float,
    stages: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> tuple[pd.DataFrame, bool]:
    """Long form of one series, from a run's label -> its curve: x, run, value, smooth, stage. And whether x is in
    minutes.

    `stages`: a run's label -> its stages (events); where there are several, `stage` holds each's name at the first
    point that lies in it.
    """
    unit = _UNITS.get(series.partition("/")[0], 1.0)
    longest = max((x for curve in curves.values() for x in getattr(curve, axis) if x is not None), default=0.0)
    minutes = axis == "seconds" and longest > LONG_SECONDS
    parts = []
    for label, curve in curves.items():
        values = [None if value is None else value * unit for value in curve.value]
        columns = {"x": getattr(curve, axis), "run": label, "value": values, "smooth": smooth(values, factor)}
        part = pd.DataFrame(columns).astype({"x": float, "value": float, "smooth": float})
        part["stage"] = _mark_stages(curve, (stages or {}).get(label, ()))
        parts.append(part)
    if not parts:
        return pd.DataFrame(columns=["x", "run", "value", "smooth", "stage"]), minutes
    frame = pd.concat(parts, ignore_index=True).dropna(subset=["x", "value"])
    if minutes:
        frame["x"] /= 60
    return frame, minutes


def _mark_stages(curve: Curve, stages: Sequence[Mapping[str, Any]]) -> pd.Series:
    """At the first value of each of several stages its name, None elsewhere."""
    marks: list[str | None] = [None] * len(curve.step)
    for event in stages if len(stages) > 1 else ():
        within = (
            place
            for place, (step, value) in enumerate(zip(curve.step, curve.value, strict=True))
            if step > event["step"] and value is not None
        )
        if (first := next(within, None)) is not None:
            marks[first] = str(event.get("name") or event["stage"])
    return pd.Series(marks, dtype=object)


def build_chart(labels: Sequence[str], titles: Mapping[str, str], *, log: bool, smoothed: bool) -> dict[str, Any]:
    """Vega-Lite's description: a colour a run; where `smoothed`, the values themselves are faint behind. A diamond
    stands where a stage begins.

    It holds no data and so stays the same from tick to tick: the chart then moves without being built anew. `titles`
    names x, run, value and stage.
    """
    colour = {
        "field": "run",
        "type": "nominal",
        "sort": None,
        "scale": {"domain": list(labels)},
        "legend": {
            "orient": "bottom", "direction": "vertical" if len(labels) > 2 else "horizontal", "title": None,
            "labelLimit": 240, "symbolType": "stroke", "symbolStrokeWidth": 3, "symbolOpacity": 1,
        } if len(labels) > 1 else None,
    }  # fmt: skip
    scale = {"type": "log"} if log else {"zero": False}
    across = {"field": "x", "type": "quantitative", "title": titles["x"], "axis": {"grid": False}}
    tooltip = [
        {"field": "run", "type": "nominal", "title": titles["run"]},
        {"field": "x", "type": "quantitative", "title": titles["x"], "format": ".4~g"},
        {"field": "value", "type": "quantitative", "title": titles["value"], "format": ".4~g"},
    ]

    def draw(field: str, mark: Mapping[str, Any]) -> dict[str, Any]:
        up = {"field": field, "type": "quantitative", "title": None, "scale": scale, "axis": {"format": "~g"}}
        return {"mark": dict(mark), "encoding": {"x": across, "y": up, "color": colour, "tooltip": tooltip}}

    shown = "smooth" if smoothed else "value"
    # A line of one point cannot be seen: where there are few, they are points as well.
    points = {
        "transform": [
            {"joinaggregate": [{"op": "count", "as": "count"}], "groupby": ["run"]},
            {"filter": {"field": "count", "lt": FEW_POINTS}},
        ],
        **draw(shown, {"type": "point", "filled": True, "size": 26}),
    }
    begun = draw(shown, {"type": "point", "shape": "diamond", "filled": True, "size": 90, "opacity": 1})
    begun["transform"] = [{"filter": "isValid(datum.stage)"}]
    begun["encoding"]["tooltip"] = [{"field": "stage", "type": "nominal", "title": titles["stage"]}, *tooltip]
    layers = [draw(shown, {"type": "line", "strokeWidth": 1.8}), points, begun]
    if smoothed:
        layers.insert(0, draw("value", {"type": "line", "strokeWidth": 1, "opacity": 0.25}))
    kept = [{"filter": "datum.value > 0"}] if log else []
    return {"transform": kept, "layer": layers}
