"""The chosen run: what it is, and what went wrong."""

from __future__ import annotations

import streamlit as st

from chain_core.errors import ChainError
from chain_core.services.store.records import Run
from chain_core.ui.backend import get_store
from chain_core.ui.language import t
from chain_core.ui.runs.actions import show_star
from chain_core.ui.runs.text import (
    compute_duration,
    explain_error,
    format_duration,
    format_figure,
    name_metric,
    show_badge,
)
from chain_core.ui.shell import escape_markdown


def show_header(run: Run) -> None:
    """Star, name, state and tags, and the main figures once there are some."""
    with st.container(horizontal=True, vertical_alignment="center", key="run_header"):
        show_star(run)
        st.subheader(escape_markdown(run.name), anchor=False, width="content")
        show_badge(run)
        for tag in run.tags:
            st.badge(escape_markdown(tag), color="gray", icon=":material/sell:")
        seconds = compute_duration(run)
        if not run.active and seconds is not None:
            st.caption(format_duration(seconds), width="content")
        _show_parent(run)
    summary = run.progress.get("summary") or {}
    if summary.get("heads"):
        with st.container(horizontal=True):
            for head, (metric, value) in summary["heads"].items():
                label = f"{escape_markdown(head)} · {name_metric(metric)} ({t('runs.' + summary['split'])})"
                st.metric(label, format_figure(value), width="content")


def _show_parent(run: Run) -> None:
    """The run that this one is a changed copy of, while it is there."""
    if run.parent is None:
        return
    try:
        parent = get_store().get_run(run.parent)
    except ChainError:
        return
    if parent.deleted is None:
        label = t("runs.copy_of", run=escape_markdown(parent.name))
        if st.button(label, type="tertiary", key="run_parent"):
            st.query_params["run"] = parent.id
            st.rerun()


def show_error_of(run: Run) -> None:
    """Why a run failed, with the traceback one click away."""
    if not run.error:
        return
    st.error(escape_markdown(explain_error(run.error)), icon=":material/error:")
    if run.error.get("traceback"):
        with st.expander(t("runs.traceback")):
            st.code(run.error["traceback"], language=None)
