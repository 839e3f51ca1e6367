"""Curves of the chosen run and those ticked with it: which ones, over what, how smooth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from chain_core.paths import get_home
from chain_core.services.store.records import ENDED, Curve, Run
from chain_core.ui.backend import get_store
from chain_core.ui.language import t
from chain_core.ui.runs.compare import AXES, DEFAULT_SERIES, build_chart, build_frame, name_apart, order_series
from chain_core.ui.runs.text import name_metric
from chain_core.ui.shell import escape_markdown

POINTS = 500
"""Of a curve: more than a chart has pixels for them."""
MOST_SERIES = 8
_SERIES = "runs_series"
Curves = dict[str, Curve]


def show_compared(runs: Sequence[Run]) -> None:
    """A chart a series, each with a colour a run."""
    store = get_store()
    names = order_series(name for run in runs for name in _list_series(run))
    if not names:
        st.caption(t("runs.no_step_yet"))
        return
    chosen, axis, factor, log = _show_settings(names)
    if not chosen:
        st.caption(t("runs.no_series"))
        return
    labels = name_apart([run.name for run in runs])
    curves = {
        label: _read_ended(str(get_home()), run.id, run.attempt, tuple(chosen))
        if run.state in ENDED
        else store.read_curves(run.id, POINTS, chosen)
        for label, run in zip(labels, runs, strict=True)
    }
    stages = {
        label: _read_ended_stages(str(get_home()), run.id, run.attempt)
        if run.state in ENDED
        else store.read_events(run.id, kinds=("stage",))
        for label, run in zip(labels, runs, strict=True)
    }
    for start in range(0, len(chosen), 2):
        places = st.columns(2) if len(chosen) > 1 else [st.container()]
        for place, series in zip(places, chosen[start : start + 2], strict=False):
            with place:
                _show_chart(curves, stages, series, axis, factor, log)
    if any(len(events) > 1 for events in stages.values()):
        st.caption(t("runs.stage_marks"))
    if len(runs) == 1:
        st.caption(t("runs.tick_more"))


def _show_settings(names: Sequence[str]) -> tuple[list[str], str, float, bool]:
    """The series, what stands below the curves, the smoothing, and whether the scale is logarithmic."""
    kept = st.session_state.get(_SERIES)
    if kept is None:
        st.session_state[_SERIES] = [name for name in DEFAULT_SERIES if name in names] or list(names[:1])
    elif any(name not in names for name in kept):  # another run's
        st.session_state[_SERIES] = [name for name in kept if name in names] or list(names[:1])
    chosen = st.multiselect(
        t("runs.series"), names, key=_SERIES, format_func=name_series, max_selections=MOST_SERIES,
        persist_state="session",
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        axis = st.segmented_control(
            t("runs.axis"), AXES, key="runs_axis", default="step", required=True, persist_state="session",
            format_func=lambda axis: t(f"runs.axis_{axis}"),
        )  # fmt: skip
        factor = st.slider(
            t("runs.smoothing"), 0.0, 0.95, 0.0, 0.05, key="runs_smoothing", help=t("runs.smoothing_help"), width=200,
            persist_state="session",
        )  # fmt: skip
        log = st.toggle(t("runs.log_scale"), key="runs_log_scale", help=t("runs.log_help"), persist_state="session")
    return chosen, axis or "step", factor, log


def _show_chart(
    curves: Mapping[str, Curves],
    stages: Mapping[str, Sequence[Mapping[str, Any]]],
    series: str,
    axis: str,
    factor: float,
    log: bool,
) -> None:
    title = name_series(series)
    st.markdown(f"**{escape_markdown(title)}**")
    found = {label: read[series] for label, read in curves.items() if series in read}
    frame, minutes = build_frame(found, series, axis, factor, stages)
    if frame.empty:
        st.caption(t("runs.no_value_yet"))
        return
    across = t("runs.axis_minutes" if minutes else f"runs.axis_{axis}")
    titles = {"x": across, "run": t("runs.name"), "value": title, "stage": t("runs.stage")}
    labels = list(curves)
    legend = 22 * len(labels) if len(labels) > 1 else 0
    st.vega_lite_chart(frame, build_chart(labels, titles, log=log, smoothed=factor > 0), height=270 + legend)


def name_series(series: str) -> str:
    """A curve's name in words: `intent @3: accuracy (validation)`."""
    group, _, rest = series.partition("/")
    if group in ("train", "validation"):
        head, _, metric = rest.rpartition("/")
        what = t("runs.selecting_score") if metric == "score" and not head else name_metric(metric)
        name = f"{head.replace('@', ' @')}: {what}" if head else what[:1].upper() + what[1:]
        return f"{name} ({t(f'runs.{group}')})"
    if group in ("gradient", "learning_rate", "memory") and rest:
        return t(f"runs.series_{group}_of", part=t(f"runs.part_{rest}"))
    return t(f"runs.series_{group}")


def _list_series(run: Run) -> list[str]:
    if run.state in ENDED:
        return _list_ended(str(get_home()), run.id, run.attempt)
    return get_store().list_series(run.id)


# What has ended is read once, as long as nobody takes it up again.


@st.cache_data(max_entries=500, show_spinner=False)
def _list_ended(home: str, run_id: str, attempt: int) -> list[str]:
    return get_store().list_series(run_id)


@st.cache_data(max_entries=100, show_spinner=False)
def _read_ended(home: str, run_id: str, attempt: int, series: tuple[str, ...]) -> Curves:
    return get_store().read_curves(run_id, POINTS, series)


@st.cache_data(max_entries=500, show_spinner=False)
def _read_ended_stages(home: str, run_id: str, attempt: int) -> list[dict[str, Any]]:
    return get_store().read_events(run_id, kinds=("stage",))
