"""The page's figures, each from summaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from tests.benchmarks.results import Spread, Summary

CHAIN_COLOURS = ("#1f6fb4", "#2aa3ad", "#3c9d6e", "#6f7fd6", "#0b4f7d", "#7fb8e6")
PEER_COLOURS = ("#d9822b", "#c0392b", "#8e5ea2", "#a89a2f", "#c95877")
BAND = "rgba(31,111,180,.12)"
HEIGHT = 460
SECONDS_AXIS = {"type": "log", "tickvals": [base * 10**power for power in range(5) for base in (1, 2, 5)]}
Titles = Mapping[str, str]


def choose_colours(names: Sequence[str], chains: Sequence[str]) -> dict[str, str]:
    """Cold colours for chains, warm ones for their peers."""
    colours: dict[str, str] = {}
    for group, palette in (
        ([name for name in names if name in chains], CHAIN_COLOURS),
        ([name for name in names if name not in chains], PEER_COLOURS),
    ):
        colours |= {name: palette[number % len(palette)] for number, name in enumerate(group)}
    return colours


def build_curve_figure(
    summaries: Mapping[str, Summary], metric: str, titles: Titles, colours: Titles, chains: Sequence[str]
) -> go.Figure:
    """Validation figure against seconds, a line a seed, peers dotted; contenders without such a figure are left out."""
    figure = go.Figure()
    finals: list[float] = []
    for name, summary in summaries.items():
        for number, curve in enumerate(summary.curves):
            points = [point for point in curve if metric in point["metrics"]]
            if not points:
                continue
            finals.append(max(point["metrics"][metric] for point in points))
            figure.add_scatter(
                x=[point["seconds"] for point in points],
                y=[point["metrics"][metric] for point in points],
                customdata=[point["epoch"] for point in points],
                mode="lines+markers",
                marker={"size": 5},
                line={"color": colours[name], "width": 1.8, "dash": "solid" if name in chains else "dot"},
                name=titles.get(name, name),
                legendgroup=name,
                showlegend=number == 0,
                hovertemplate="%{y:.4f} after %{x:.1f} s, epoch %{customdata}",
            )
    figure.update_xaxes(title="seconds since the process was started (logarithmic)", **SECONDS_AXIS)
    figure.update_yaxes(title=f"validation {metric}", tickformat=".3f")
    if finals:
        low, high = min(finals), max(finals)
        margin = max(high - low, 0.02)
        figure.update_yaxes(range=[max(low - 1.5 * margin, 0), min(high + 0.3 * margin, 1.005)])
    return finish(figure)


def build_price_figure(
    summaries: Mapping[str, Summary], metric: str, titles: Titles, colours: Titles, chains: Sequence[str]
) -> go.Figure:
    """Final test figure against seconds in all: medians, bars from the lowest to the highest seed. Peers: diamonds."""
    figure = go.Figure()
    for name, summary in summaries.items():
        if metric not in summary.test:
            continue
        score, seconds = summary.test[metric], summary.figures["total"]
        figure.add_scatter(
            x=[seconds.median],
            y=[score.median],
            error_y=_bars(score),
            error_x=_bars(seconds),
            mode="markers",
            marker={"size": 11, "color": colours[name], "symbol": "circle" if name in chains else "diamond"},
            name=titles.get(name, name),
            hovertemplate="%{y:.4f} for %{x:.1f} s",
        )
    figure.update_xaxes(title="seconds in all (logarithmic)", **SECONDS_AXIS)
    figure.update_yaxes(title=f"test {metric}", tickformat=".3f")
    return finish(figure)


def build_line_figure(lines: Mapping[str, Mapping[float, Spread]], x: str, y: str) -> go.Figure:
    """Medians over a number, a line each, with bars from the lowest to the highest seed."""
    figure = go.Figure()
    for number, (title, points) in enumerate(lines.items()):
        xs = sorted(points)
        figure.add_scatter(
            x=xs,
            y=[points[at].median for at in xs],
            error_y={
                "type": "data", "symmetric": False,
                "array": [points[at].high - points[at].median for at in xs],
                "arrayminus": [points[at].median - points[at].low for at in xs],
            },
            mode="lines+markers",
            line={"color": (*CHAIN_COLOURS[:1], *PEER_COLOURS)[number % 6]},
            name=title,
            hovertemplate="%{y:.4g}",
        )  # fmt: skip
    figure.update_xaxes(title=x, dtick=1)
    figure.update_yaxes(title=y)
    return finish(figure)


def build_ablation_figure(
    summaries: Mapping[str, Summary], metric: str, titles: Titles, base: str, colours: Titles
) -> go.Figure:
    """A dot a contender with its range, beside the base's range as a band."""
    shown = {name: summary.test[metric] for name, summary in summaries.items() if metric in summary.test}
    figure = go.Figure()
    figure.add_scatter(
        x=[spread.median for spread in shown.values()],
        y=[titles.get(name, name) for name in shown],
        error_x={
            "type": "data", "symmetric": False,
            "array": [spread.high - spread.median for spread in shown.values()],
            "arrayminus": [spread.median - spread.low for spread in shown.values()],
        },
        mode="markers",
        marker={"size": 9, "color": [colours[name] for name in shown]},
        hovertemplate="%{y}: %{x:.4f}<extra></extra>",
    )  # fmt: skip
    if base in shown:
        low, high = shown[base].low, shown[base].high
        figure.add_vrect(x0=low, x1=high, fillcolor=BAND, line_width=0)
        figure.add_vline(x=shown[base].median, line_color="#1f6fb4", line_width=1)
    figure.update_xaxes(title=f"test {metric}; the band is the base's range", tickformat=".3f")
    figure.update_yaxes(range=[len(shown) - 0.5, -0.5])
    return finish(figure, height=120 + 24 * len(shown), legend=False)


def _bars(spread: Spread) -> dict:
    return {
        "type": "data", "symmetric": False, "thickness": 1.2,
        "array": [spread.high - spread.median], "arrayminus": [spread.median - spread.low],
    }  # fmt: skip


def finish(figure: go.Figure, *, height: int = HEIGHT, legend: bool = True) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 16, "b": 8},
        template="plotly_white",
        font={"size": 13},
        showlegend=legend,
        legend={"orientation": "v", "x": 1.01, "y": 1},
        hovermode="closest",
    )
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    return figure
