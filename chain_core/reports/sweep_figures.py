"""Plotly figures of a sweep: parallel coordinates, and what quality costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from chain_core.reports.figures import DEPTH_COLOURS, finish, plain

SCALES = {False: [[0, "#c9d8e4"], [0.5, "#4088bf"], [1, "#0d3a5c"]], True: [[0, "#33475a"], [0.5, "#4088bf"],
                                                                            [1, "#c4e3fa"]]}  # fmt: skip
"""By whether the page is dark: the best lines stand out from it."""
FRONT = "#e08e2b"
MOST_TICKS = 9
TEXT = {False: "#31333f", True: "#fafafa"}


@dataclass(frozen=True)
class Dimension:
    """One upright axis: a name, and a value for each line."""

    name: str
    values: Sequence[Any]
    log: bool = False
    texts: Sequence[str] = ()
    """Of the values, as people read them; none: as numbers."""


@dataclass(frozen=True)
class Point:
    """One setting: its cost, its quality, and what is said of it."""

    cost: float
    quality: float
    text: str
    front: bool
    pruned: bool


def build_parallel_figure(dimensions: Sequence[Dimension], scores: Sequence[float], name: str, *, dark: bool) -> Any:
    """A line a run through its settings to its score, coloured by the score."""
    low, high = min(scores), max(scores)
    axes = [_build_axis(dimension) for dimension in dimensions]
    axes.append({"label": plain(name, 24), "values": list(scores), **_build_ends(low, high)})
    line = {"color": list(scores), "colorscale": SCALES[dark], "cmin": low, "cmax": high if high > low else low + 1e-9}
    font = {"color": TEXT[dark], "size": 12}
    figure = go.Figure(go.Parcoords(line=line, dimensions=axes, labelfont=font, tickfont=font,
                                    rangefont={"size": 1, "color": "rgba(0,0,0,0)"}))  # fmt: skip
    finish(figure, height=340)
    figure.update_layout(margin={"l": 56, "r": 48, "t": 48, "b": 16})
    return figure


def _build_ends(low: float, high: float) -> dict[str, Any]:
    if high <= low:
        return {"range": [low - 0.5, low + 0.5], "tickvals": [low], "ticktext": [f"{low:.3f}"]}
    ticks = [low + (high - low) * step / 4 for step in range(5)]
    return {"range": [low, high], "tickvals": ticks, "ticktext": [f"{tick:.3f}" for tick in ticks]}


def _build_axis(dimension: Dimension) -> dict[str, Any]:
    """Few values stand equally far apart under their names; many numbers on a scale of their own."""
    texts = [plain(text, 14) for text in dimension.texts] or [f"{value:.4g}" for value in dimension.values]
    distinct = list(dict.fromkeys(texts))
    base = {"label": plain(dimension.name, 24)}
    numeric = all(_is_number(value) for value in dimension.values)
    if numeric:
        distinct = list(dict.fromkeys(text for _, text in sorted(zip(dimension.values, texts, strict=True))))
    if not numeric or len(distinct) <= MOST_TICKS:
        places = {text: place for place, text in enumerate(distinct)}
        last = max(len(distinct) - 1, 1)
        ticks = {"tickvals": list(range(len(distinct))), "ticktext": distinct, "range": [0, last]}
        return {**base, "values": [places[text] for text in texts], **ticks}
    values = [math.log10(value) if dimension.log else float(value) for value in dimension.values]
    low, high = min(values), max(values)
    marks = [low + (high - low) * step / 4 for step in range(5)]
    names = [f"{10**tick if dimension.log else tick:.3g}" for tick in marks]
    return {**base, "values": values, "range": [low, high], "tickvals": marks, "ticktext": names}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def build_cost_figure(points: Sequence[Point], titles: Mapping[str, str], *, log: bool) -> go.Figure:
    """Quality up, cost across; the front as a line. `titles`: cost, quality, front, other, pruned."""
    figure = go.Figure()
    front = sorted((point for point in points if point.front), key=lambda point: point.cost)
    rest = [point for point in points if not point.front and not point.pruned]
    pruned = [point for point in points if not point.front and point.pruned]
    hollow = {"size": 8, "symbol": "circle-open", "color": "#888888"}
    filled = {"size": 9, "color": DEPTH_COLOURS[0], "opacity": 0.75}
    bright = {"size": 11, "color": FRONT}
    for part, name, marker in ((pruned, "pruned", hollow), (rest, "other", filled), (front, "front", bright)):
        if part:
            figure.add_scatter(
                x=[point.cost for point in part],
                y=[point.quality for point in part],
                customdata=[plain(point.text, 200) for point in part],
                mode="lines+markers" if name == "front" else "markers",
                line={"color": FRONT, "width": 1.5, "shape": "hv"},
                marker=marker,
                name=titles[name],
                hovertemplate=f"%{{customdata}}<br>{titles['quality']} %{{y:.3f}}"
                f"<br>{titles['cost']} %{{x:,.4g}}<extra></extra>",
            )
    costs = [point.cost for point in points if point.cost > 0]
    wide = log and bool(costs) and max(costs) / min(costs) > 20
    figure.update_xaxes(title=titles["cost"], type="log" if wide else "linear")
    if not wide:
        figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(title=titles["quality"])
    figure.update_layout(showlegend=True, hoverlabel={"align": "left"})
    return finish(figure, height=340)
