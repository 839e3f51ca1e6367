"""A sweep's figures: parallel coordinates, and what quality costs in seconds and in parameters.

They stand still between two ends of runs: a figure that is drawn at each look would flicker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from chain_core.reports.sweep_figures import Dimension, Point, build_cost_figure, build_parallel_figure
from chain_core.services.sweeps.axes import SEED
from chain_core.services.sweeps.results import Row, Setting, find_front
from chain_core.services.sweeps.trials import SweepState
from chain_core.ui.language import t
from chain_core.ui.sweeps.keys import list_keys
from chain_core.ui.sweeps.text import describe_settings, name_axes, name_value

PLOT = {"displayModeBar": False}
FEWEST = 2
"""Settings below which there is nothing to compare."""


def show_figures(state: SweepState, rows: Sequence[Row], settings: Sequence[Setting]) -> None:
    """Nothing before two settings have ended."""
    counted = [row for row in rows if row.counts]
    if len(settings) < FEWEST:
        if state.active:
            st.caption(t("sweeps.figures_wait"))
        return
    st.subheader(t("sweeps.figures"), anchor=False)
    _show_parallel(state, counted)
    left, right = st.columns(2)
    with left:
        _show_cost(state, settings, "seconds")
    with right:
        _show_cost(state, settings, "trainable")


def _show_parallel(state: SweepState, rows: Sequence[Row]) -> None:
    keys = list_keys(state.sweep.base)
    axes = {axis.path: axis for axis in state.sweep.axes}
    names = name_axes(list(axes), keys)
    dimensions = []
    for path, axis in axes.items():
        values = [row.params[path] for row in rows]
        numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        texts = [] if numeric else [name_value(value, keys.get(path)) for value in values]
        dimensions.append(Dimension(names[path], values, axis.log, texts))
    dark = st.context.theme.type == "dark"
    scores = [row.score for row in rows if row.score is not None]
    st.markdown(f"**{t('sweeps.parallel')}**", help=t("sweeps.parallel_help"))
    figure = build_parallel_figure(dimensions, scores, t("sweeps.score"), dark=dark)
    st.plotly_chart(figure, key=f"sweep_parallel_{state.group.id}", config=PLOT)


def _show_cost(state: SweepState, settings: Sequence[Setting], cost: str) -> None:
    known: list[tuple[float, Setting]] = [
        (float(value), setting) for setting in settings if (value := getattr(setting, cost)) is not None
    ]
    if len(known) < FEWEST:
        return
    keys = list_keys(state.sweep.base)
    whole = [index for index, (_, setting) in enumerate(known) if not setting.pruned]
    front = {whole[index] for index in find_front([(known[index][0], known[index][1].score) for index in whole])}
    points = [
        Point(value, setting.score, _describe(setting, keys), index in front, setting.pruned)
        for index, (value, setting) in enumerate(known)
    ]
    seeds = any(axis.path == SEED for axis in state.sweep.axes)
    quality = t("sweeps.median") if seeds else t("sweeps.score")
    titles = {
        "cost": t(f"sweeps.cost_{cost}"), "quality": quality, "front": t("sweeps.front"), "other": t("sweeps.other"),
        "pruned": t("sweeps.pruned"),
    }  # fmt: skip
    st.markdown(f"**{t(f'sweeps.against_{cost}')}**", help=t("sweeps.front_help"))
    figure = build_cost_figure(points, titles, log=cost == "trainable")
    st.plotly_chart(figure, key=f"sweep_{cost}_{state.group.id}", config=PLOT)


def _describe(setting: Setting, keys: Any) -> str:
    text = describe_settings(setting.params, keys) or t("sweeps.as_draft")
    return f"{text} ({t('sweeps.best_of', count=len(setting.numbers))})" if len(setting.numbers) > 1 else text
