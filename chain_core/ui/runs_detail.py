"""The chosen run: what it is, what can be done with it, what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from chain_core.config import load_yaml
from chain_core.errors import ConfigError
from chain_core.services.records import BUSY, Run
from chain_core.ui.backend import get_store, get_supervisor
from chain_core.ui.draft import set_draft
from chain_core.ui.language import t
from chain_core.ui.runs_text import (
    compute_duration,
    explain_error,
    format_duration,
    format_figure,
    name_metric,
    show_badge,
)
from chain_core.ui.shell import escape_markdown, go_to, guard


def show_header(run: Run) -> None:
    """Name, state, and the main figures once there are some."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(escape_markdown(run.name), anchor=False, width="content")
        show_badge(run)
        seconds = compute_duration(run)
        if not run.active and seconds is not None:
            st.caption(format_duration(seconds), width="content")
    summary = run.progress.get("summary") or {}
    if summary.get("heads"):
        with st.container(horizontal=True):
            for head, (metric, value) in summary["heads"].items():
                label = f"{escape_markdown(head)} · {name_metric(metric)} ({t('runs.' + summary['split'])})"
                st.metric(label, format_figure(value), width="content")


def show_actions(run: Run) -> None:
    """The buttons that make sense in this state."""
    with st.container(horizontal=True):
        if run.has_report and not run.active:
            if st.button(t("runs.report"), type="primary", icon=":material/analytics:", key="run_report"):
                go_to("report", run=run.id)
            if st.button(t("runs.predict"), icon=":material/chat:", key="run_predict"):
                go_to("predict", run=run.id)
        if run.active:
            _show_stop(run)
        if st.button(
            t("runs.duplicate"), icon=":material/content_copy:", key="run_duplicate", help=t("runs.duplicate_help")
        ):
            set_draft(guard(lambda: build_draft(run)))
            go_to("chain")
        st.download_button(
            t("runs.config"),
            read_config(run),
            file_name=f"{run.id}.yaml",
            mime="application/yaml",
            icon=":material/download:",
            key="run_config",
            on_click="ignore",
        )
        if run.state not in BUSY:
            _show_delete(run)


def _show_stop(run: Run) -> None:
    queued, stopping = run.state == "queued", run.state == "stopping"
    label = "runs.cancel" if queued else "runs.stopping" if stopping else "runs.stop"
    help_ = None if queued else t("runs.stop_help")
    if st.button(t(label), icon=":material/stop:", disabled=stopping, key="run_stop", help=help_):
        guard(lambda: get_supervisor().stop(run.id))
        st.rerun()


def _show_delete(run: Run) -> None:
    with st.popover(t("runs.delete"), icon=":material/delete:", key="run_delete"):
        st.markdown(t("runs.delete_sure", run=escape_markdown(run.name)))
        if st.button(t("runs.delete_yes"), type="primary", key="run_delete_yes"):
            guard(lambda: get_store().delete_run(run.id))
            guard(lambda: get_store().purge_deleted([run.id]))
            st.query_params.pop("run", None)
            st.rerun()


def show_error_of(run: Run) -> None:
    """Why a run failed, with the traceback one click away."""
    if not run.error:
        return
    st.error(escape_markdown(explain_error(run.error)), icon=":material/error:")
    if run.error.get("traceback"):
        with st.expander(t("runs.traceback")):
            st.code(run.error["traceback"], language=None)


def read_config(run: Run) -> str:
    """The run's complete config as YAML: with what was inferred, once the run has written it."""
    path = run.path / "config.yaml"
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return run.config_yaml


def build_draft(run: Run) -> dict[str, Any]:
    """The run's config as a new draft, its paths absolute since a draft has no folder of its own."""
    try:
        mapping = load_yaml(read_config(run))
    except ConfigError:  # a file cut short by a crash
        mapping = load_yaml(run.config_yaml)
    return fix_paths(mapping, Path(run.folder))


PATHS = (
    *((*base, key) for base in (("data",), ("also", "*", "data")) for key in ("train", "validation", "test")),
    ("augment", "synonyms"),
    ("augment", "back_translation", "*"),
    ("stages", "*", "data"),
    ("start", "run"),
)
"""Keys that may hold a path; `*`: every entry."""


def fix_paths(mapping: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The mapping with every path that exists below `folder` made absolute."""
    fixed: Any = dict(mapping)
    for path in PATHS:
        fixed = _fix(fixed, path, folder)
    return fixed


def _fix(value: Any, path: tuple[str, ...], folder: Path) -> Any:
    if not path:
        return str((folder / value).resolve()) if isinstance(value, str) and (folder / value).exists() else value
    if isinstance(value, list):
        return [_fix(item, path[1:], folder) for item in value]
    if isinstance(value, Mapping):
        keys = value if path[0] == "*" else [path[0]]
        return {**value, **{key: _fix(value[key], path[1:], folder) for key in keys if key in value}}
    return value
