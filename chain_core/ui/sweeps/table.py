"""A sweep's runs as one table that follows them, and what can be done with one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from chain_core.errors import RunError
from chain_core.services.store.records import Run
from chain_core.services.sweeps.axes import SEED
from chain_core.services.sweeps.results import Row, Setting, build_rows, compute_settings, find_best_setting
from chain_core.services.sweeps.trials import SweepState, read_sweep
from chain_core.ui.backend import get_store
from chain_core.ui.draft import set_draft
from chain_core.ui.language import get_language, t
from chain_core.ui.runs.copy import build_draft
from chain_core.ui.runs.text import explain_error, format_figure, name_metric
from chain_core.ui.shell import escape_markdown, go_to, guard
from chain_core.ui.sweeps.keys import Key, list_keys
from chain_core.ui.sweeps.text import describe_settings, describe_trial, name_axes, name_value

EVERY_SECONDS = 2.0
HEIGHT = 460


def show_table(state: SweepState) -> None:
    """The table and the buttons below it, drawn again every two seconds while anything goes on."""
    every = EVERY_SECONDS if state.active else None
    st.fragment(_show, run_every=every)(state.group.id, _mark(state))


def _mark(state: SweepState) -> str:
    """What of a sweep the rest of the page depends on."""
    ended = [trial.number for trial in state.trials if trial.ended]
    return f"{state.group.state} {state.active} {state.total} {ended}"


def _show(group_id: str, shown: str) -> None:
    state = guard(lambda: _read(group_id))
    if _mark(state) != shown:
        st.rerun()  # header, buttons and figures change too
    rows, keys = build_rows(state), list_keys(state.sweep.base)
    if not rows:
        st.caption(t("sweeps.none_yet"))
        return
    best = find_best_setting(compute_settings(rows))
    selected = _show_rows(state, rows, keys, best)
    _show_actions(state, rows, keys, best, selected)


def _read(group_id: str) -> SweepState:
    """The sweep; where somebody has deleted it, the page runs again and says so."""
    try:
        return read_sweep(get_store(), group_id)
    except RunError as error:
        if error.code in ("group_deleted", "group_unknown"):
            st.rerun()
        raise


def _show_rows(state: SweepState, rows: Sequence[Row], keys: Mapping[str, Key], best: Setting | None) -> int | None:
    """The number of the selected row."""
    frame, columns = build_frame(state, rows, keys, best)
    event = st.dataframe(
        frame,
        key=f"sweep_rows_{state.group.id}_{get_language()}",
        hide_index=True,
        column_config=columns,
        placeholder="–",
        height=min(38 + 35 * len(rows), HEIGHT),
        on_select="rerun",
        selection_mode="single-row",
    )
    chosen = event["selection"]["rows"]
    return chosen[0] if chosen and chosen[0] < len(rows) else None


def build_frame(
    state: SweepState, rows: Sequence[Row], keys: Mapping[str, Key], best: Setting | None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A row a run: its settings, its figures, its state; and how the columns are written."""
    paths = [axis.path for axis in state.sweep.axes]
    names = name_axes(paths, keys)
    numbers = best.numbers if best else ()
    frame: dict[str, Any] = {"#": [f"★ {row.number + 1}" if row.number in numbers else f"{row.number + 1}"
                                   for row in rows]}  # fmt: skip
    columns: dict[str, Any] = {"#": st.column_config.TextColumn(width=60, pinned=True)}
    for path in paths:
        frame[names[path]] = _write_settings([row.params.get(path) for row in rows], keys.get(path))
    score = t("sweeps.score")
    frame[score] = pd.Series([row.score for row in rows], dtype="float64")
    columns[score] = st.column_config.NumberColumn(format="%.3f", help=t("sweeps.score_help"))
    for head, metric, split in _list_heads(rows):
        title = f"{head} · {name_metric(metric)} ({t('runs.' + split)})"
        frame[title] = pd.Series([row.heads.get(head, ("", None))[1] for row in rows], dtype="float64")
        columns[title] = st.column_config.NumberColumn(format="%.3f")
    seconds, parameters, word = t("sweeps.seconds"), t("sweeps.parameters"), t("runs.state")
    frame[seconds] = pd.Series([row.seconds for row in rows], dtype="float64")
    columns[seconds] = st.column_config.NumberColumn(format="%.1f")
    frame[parameters] = pd.Series([row.trainable for row in rows], dtype="Int64")
    columns[parameters] = st.column_config.NumberColumn(format="localized")
    frame[word] = [describe_trial(state, row.number) for row in rows]
    return pd.DataFrame(frame), columns


def _write_settings(values: Sequence[Any], key: Key | None) -> Any:
    """Numbers stay numbers, so that the column sorts as they do."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return pd.Series(values)
    return [name_value(value, key) for value in values]


def _list_heads(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Head, metric and split, as the first reports have them."""
    found: dict[str, tuple[str, str, str]] = {}
    for row in rows:
        for head, (metric, _) in row.heads.items():
            found.setdefault(head, (head, metric, row.split))
    return list(found.values())


def _show_actions(
    state: SweepState, rows: Sequence[Row], keys: Mapping[str, Key], best: Setting | None, selected: int | None
) -> None:
    run = state.runs.get(best.numbers[0]) if best else None
    if best is not None and run is not None:
        key = "sweeps.best_median" if len(best.numbers) > 1 else "sweeps.best"
        settings = describe_settings(best.params, keys) or t("sweeps.as_draft")
        text = t(key, settings=settings, score=format_figure(best.score), count=len(best.numbers))
        st.markdown(f"★ {escape_markdown(text)}")
    with st.container(horizontal=True, key="sweep_actions"):
        label, help_ = t("sweeps.use_best"), t("sweeps.use_help")
        star = ":material/star:"
        if run and st.button(label, type="primary", icon=star, key="sweep_use_best", help=help_):
            use_settings(state, run)
        other = state.runs.get(selected) if selected is not None else None
        if other is not None:
            if st.button(t("sweeps.use_selected", number=(selected or 0) + 1), key="sweep_use_selected"):
                use_settings(state, other)
            if st.button(t("sweeps.open", number=(selected or 0) + 1), icon=":material/monitoring:", key="sweep_open"):
                go_to("runs", run=other.id)
    if selected is None:
        st.caption(t("sweeps.select"))
    else:
        _show_trouble(state, selected)


def _show_trouble(state: SweepState, number: int) -> None:
    """Why the selected run failed, or never was."""
    run = state.runs.get(number)
    error = state.problems.get(number) or (run.error if run is not None else None)
    if error:
        st.error(escape_markdown(explain_error(error)), icon=":material/error:")


def use_settings(state: SweepState, run: Run) -> None:
    """The run's config as the next draft, under the sweep's name, on the Chain page."""
    set_draft({**guard(lambda: build_draft(run)), "name": state.group.name}, parent=run.id)
    go_to("chain")


def show_medians(state: SweepState, settings: Sequence[Setting]) -> None:
    """Where the seed varies: one row a setting, its median and how far its seeds lie apart."""
    if all(axis.path != SEED for axis in state.sweep.axes) or len(state.sweep.axes) < 2 or not settings:
        return
    keys = list_keys(state.sweep.base)
    names = name_axes(list(settings[0].params), keys)
    frame: dict[str, Any] = {
        names[path]: _write_settings([setting.params[path] for setting in settings], keys.get(path)) for path in names
    }
    frame[t("sweeps.median")] = [setting.score for setting in settings]
    frame[t("sweeps.lowest")] = [setting.low for setting in settings]
    frame[t("sweeps.highest")] = [setting.high for setting in settings]
    frame[t("sweeps.runs")] = [len(setting.numbers) for setting in settings]
    frame[t("sweeps.seconds")] = pd.Series([setting.seconds for setting in settings], dtype="float64")
    figure = st.column_config.NumberColumn(format="%.3f")
    columns = {t(f"sweeps.{name}"): figure for name in ("median", "lowest", "highest")}
    columns[t("sweeps.seconds")] = st.column_config.NumberColumn(format="%.1f")
    st.markdown(f"**{t('sweeps.over_seeds')}**")
    height = min(38 + 35 * len(settings), 320)
    st.dataframe(pd.DataFrame(frame), hide_index=True, column_config=columns, height=height, placeholder="–")
