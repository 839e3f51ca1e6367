"""The list of runs, and which of them is chosen (`?run=ID`, so that a reload keeps it)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from chain_core.errors import RunError
from chain_core.services.records import Run
from chain_core.ui.backend import get_store
from chain_core.ui.language import get_language, t
from chain_core.ui.runs_text import (
    compute_duration,
    format_duration,
    format_score,
    format_state,
    format_time,
)
from chain_core.ui.shell import guard, show_error

LISTED = 200
EVERY_SECONDS = 2.0


def choose_run(runs: Sequence[Run], missing: str = "run_unknown") -> Run:
    """The run that the address names, or the newest; where it names none of them, the error `missing` is shown."""
    wanted = st.query_params.get("run")
    chosen = next((run for run in runs if run.id == wanted), None)
    if wanted and chosen is None:
        show_error(RunError(missing, run=wanted))
    return chosen or runs[0]


def show_runs(runs: Sequence[Run], chosen: Run) -> None:
    """A row a run, the newest first; a click on a row chooses it. Follows the queue while anything is active."""
    every = EVERY_SECONDS if any(run.active for run in runs) else None
    st.fragment(_show, run_every=every)([run.id for run in runs], chosen.id)


def _show(shown: list[str], chosen: str) -> None:
    runs = guard(lambda: get_store().list_runs(LISTED))
    if [run.id for run in runs] != shown:
        st.rerun()  # added or deleted elsewhere
    frame = pd.DataFrame(
        {
            t("runs.name"): [run.name for run in runs],
            t("runs.state"): [format_state(run) for run in runs],
            t("runs.score"): [format_score(run) for run in runs],
            t("runs.duration"): [_format_duration(run) for run in runs],
            t("runs.added"): [format_time(run.created) for run in runs],
        }
    )
    # A selection is a row's number: it must not outlive the list it was made in.
    ids = hashlib.sha256(" ".join(shown).encode()).hexdigest()[:12]
    position = shown.index(chosen)
    event = st.dataframe(
        frame,
        key=f"runs_{ids}_{chosen}_{get_language()}",
        hide_index=True,
        column_config={t("runs.score"): st.column_config.TextColumn(width="large")},
        height=min(38 + 35 * len(runs), 250),
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [position]}},
    )
    selected = event["selection"]["rows"]
    if selected and selected[0] < len(runs) and selected[0] != position:
        st.query_params["run"] = shown[selected[0]]
        st.rerun()


def _format_duration(run: Run) -> str:
    seconds = compute_duration(run)
    return "" if seconds is None else format_duration(seconds)
