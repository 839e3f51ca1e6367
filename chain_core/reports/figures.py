"""Plotly figures on no ground of their own, so that they stand on a light page as on a dark one.

Labels are the user's: `plain` keeps Plotly from reading tags in them, and classes stand at numbered places with
their names as tick texts, so that "1" or "2024-01-01" stays a name and long names may be cut without meeting.
"""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from chain_core.reports.frames import LIMIT, Confusion
from chain_core.reports.metrics import LOWER_IS_BETTER
from chain_core.reports.wording import Say

DEPTH_COLOURS = ("#4088bf", "#e08e2b", "#3c9d6e", "#9b6bc3", "#c95877", "#2aa3ad", "#a89a2f", "#6f7fd6")
FOUND, MISSED, EXTRA = "#3c9d6e", "#e08e2b", "#c95877"
SHARES = {False: [[0, "#eef3f7"], [1, "#1f5a87"]], True: [[0, "#1b222c"], [1, "#2f7ab8"]]}
"""Of a confusion matrix, by whether the page is dark: solid, because Plotly picks the counts' colour by them."""
MAX_POINTS = 3000


def build_confusion_figure(confusion: Confusion, say: Say, *, dark: bool = False) -> go.Figure:
    """Gold down, predicted across; each row's shares as colour, counts as text."""
    names = [plain(label, 22) for label in confusion.labels]
    full = [plain(label, 200) for label in confusion.labels]
    counts, size = confusion.counts, len(names)
    hover = [[[full[i], full[j]] for j in range(size)] for i in range(size)]
    figure = go.Figure(
        go.Heatmap(
            z=confusion.shares,
            text=np.where(counts > 0, counts.astype(str), ""),
            texttemplate="%{text}" if size <= 2 * LIMIT else None,
            customdata=hover,
            hovertemplate=f"{say('gold')}: %{{customdata[0]}}<br>{say('predicted')}: %{{customdata[1]}}"
            f"<br>%{{text}} (%{{z:.1%}})<extra></extra>",
            colorscale=SHARES[dark],
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=1,
            ygap=1,
        )
    )
    places = list(range(size))
    angle = -45 if size <= 12 else -90  # upright names need the least width
    figure.update_xaxes(title=say("predicted"), tickvals=places, ticktext=names, tickangle=angle, showgrid=False)
    figure.update_yaxes(title=say("gold"), tickvals=places, ticktext=names, autorange="reversed", showgrid=False)
    return finish(figure, height=180 + max(24 * size, 120))


def build_class_figure(classes: pd.DataFrame, say: Say) -> go.Figure:
    """F1 of each class, a bar a depth, from `compute_class_depths`; the LIMIT classes with the most gold."""
    shown = classes.head(LIMIT)
    depths = [name for name in classes.columns if name not in ("label", "support")]
    places = list(range(len(shown)))
    figure = go.Figure()
    for i, depth in enumerate(depths):
        figure.add_bar(
            y=places,
            x=shown[depth],
            orientation="h",
            name=say("depth", depth=depth),
            marker_color=DEPTH_COLOURS[i % len(DEPTH_COLOURS)],
            customdata=[[plain(label, 200), n] for label, n in zip(shown["label"], shown["support"], strict=True)],
            hovertemplate=f"%{{customdata[0]}}<br>F1 %{{x:.3f}}<br>{say('support')} %{{customdata[1]:,}}",
        )
    names = [f"{plain(label, 22)} ({n:,})" for label, n in zip(shown["label"], shown["support"], strict=True)]
    figure.update_xaxes(title="F1", range=[0, 1])
    figure.update_yaxes(tickvals=places, ticktext=names, autorange="reversed", showgrid=False)
    figure.update_layout(barmode="group", bargap=0.25, showlegend=len(depths) > 1)
    return finish(figure, height=110 + len(shown) * max(22, 9 * len(depths) + 6))


def build_label_figure(counts: pd.DataFrame, say: Say) -> go.Figure:
    """Of a multilabel head: each label's rows found, missed and wrongly given, from `compute_label_counts`."""
    shown = counts.head(LIMIT)
    places = list(range(len(shown)))
    names = [plain(label, 22) for label in shown["label"]]
    figure = go.Figure()
    for column, colour in (("found", FOUND), ("missed", MISSED), ("extra", EXTRA)):
        figure.add_bar(
            y=places,
            x=shown[column],
            orientation="h",
            name=say(column),
            marker_color=colour,
            customdata=[plain(label, 200) for label in shown["label"]],
            hovertemplate=f"%{{customdata}}<br>{say(column)}: %{{x:,}}<extra></extra>",
        )
    figure.update_xaxes(title=say("rows_axis"))
    figure.update_yaxes(tickvals=places, ticktext=names, autorange="reversed", showgrid=False)
    figure.update_layout(barmode="stack", bargap=0.25)
    return finish(figure, height=130 + 24 * len(shown))


def build_depth_figure(depths: pd.DataFrame, say: Say) -> go.Figure:
    """A line a metric over the head's depths, from `compute_depth_frame`; without errors, where less is better."""
    metrics = [name for name in depths.columns if name != "depth" and name not in LOWER_IS_BETTER]
    figure = go.Figure()
    for i, name in enumerate(metrics):
        figure.add_scatter(
            x=depths["depth"],
            y=depths[name],
            mode="lines+markers",
            name=say(f"metric.{name}"),
            line_color=DEPTH_COLOURS[i % len(DEPTH_COLOURS)],
            hovertemplate=f"{say('metric.' + name)}: %{{y:.3f}}<extra></extra>",
        )
    figure.update_xaxes(title=say("depth_axis"), tickvals=depths["depth"].tolist())
    figure.update_layout(hovermode="x unified", showlegend=True)
    return finish(figure, height=300)


def build_scatter_figure(residuals: pd.DataFrame, say: Say) -> go.Figure:
    """Gold across, predicted up, and the line where they are equal, from `compute_residuals`."""
    shown = residuals if len(residuals) <= MAX_POINTS else residuals.sample(MAX_POINTS, random_state=0)
    both = shown[["gold", "predicted"]].to_numpy(float)
    both = both[np.isfinite(both).all(1)]
    ends = [float(both.min()), float(both.max())] if len(both) else [0.0, 1.0]
    figure = go.Figure()
    figure.add_scatter(x=ends, y=ends, mode="lines", line={"color": "#888888", "dash": "dot"}, hoverinfo="skip")
    figure.add_scatter(
        x=shown["gold"],
        y=shown["predicted"],
        mode="markers",
        marker={"color": DEPTH_COLOURS[0], "size": 6, "opacity": 0.6},
        customdata=[plain(text, 80) for text in shown["text"]],
        hovertemplate=f"%{{customdata}}<br>{say('gold')}: %{{x:.4g}}<br>{say('predicted')}: %{{y:.4g}}<extra></extra>",
    )
    figure.update_xaxes(title=say("gold"))
    figure.update_yaxes(title=say("predicted"))
    figure.update_layout(showlegend=False)
    return finish(figure, height=380)


def finish(figure: go.Figure, *, height: int) -> go.Figure:
    layout: dict[str, Any] = {
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 28, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        "dragmode": False,
    }
    figure.update_layout(**layout)
    figure.update_xaxes(automargin=True, gridcolor="rgba(128,128,128,.25)", zeroline=False)
    figure.update_yaxes(automargin=True, gridcolor="rgba(128,128,128,.25)", zeroline=False)
    return figure


def plain(text: str, limit: int) -> str:
    """A label on one line, at most `limit` characters, that Plotly shows letter by letter."""
    line = " ".join(str(text).split()) or "∅"
    if len(line) > limit:
        # In the middle: the names of one family often differ at their ends only.
        line = f"{line[: limit - limit // 3 - 1]}…{line[-(limit // 3) :]}"
    return html.escape(line, quote=False)
