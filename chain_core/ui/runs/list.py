"""The list of runs, and which of them are chosen: one to look at (`?run=ID`), others whose curves are drawn along
(`&with=ID,ID`), so that a reload keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from chain_core.errors import ChainError, RunError
from chain_core.services.store.records import Run
from chain_core.ui.backend import get_store
from chain_core.ui.language import get_language, t
from chain_core.ui.runs.filters import Choice, clear_filters
from chain_core.ui.runs.text import (
    compute_duration,
    format_duration,
    format_score,
    format_state,
    format_time,
)
from chain_core.ui.shell import guard, show_error

LISTED = 200
MOST_COMPARED = 9
"""Runs beside the chosen one: more colours than these nobody tells apart."""
EVERY_SECONDS = 2.0


def choose_run(runs: Sequence[Run], missing: str = "run_unknown") -> Run:
    """The run that the address names, or the newest; where it names none of them, the error `missing` is shown."""
    wanted = st.query_params.get("run")
    chosen = next((run for run in runs if run.id == wanted), None)
    if wanted and chosen is None:
        show_error(RunError(missing, run=wanted))
    return chosen or runs[0]


def find_chosen(runs: Sequence[Run]) -> Run | None:
    """The run that the address names, on whatever page of the list it stands; else the first of these."""
    wanted = st.query_params.get("run")
    first = runs[0] if runs else None
    if not wanted or (first is not None and first.id == wanted):
        return first
    try:
        run = get_store().get_run(wanted)
    except ChainError as error:
        show_error(error)
        return first
    if run.deleted is not None:
        st.query_params.pop("run", None)
        return first
    return run


def find_compared(chosen: Run) -> list[Run]:
    """The other runs that the address names, as far as they are there."""
    ids = dict.fromkeys(run_id for run_id in st.query_params.get("with", "").split(",") if run_id)
    found = []
    for run_id in list(ids)[:MOST_COMPARED]:
        try:
            run = get_store().get_run(run_id)
        except ChainError:
            continue
        if run.id != chosen.id and run.deleted is None:
            found.append(run)
    return found


def show_runs(choice: Choice, page: int, runs: Sequence[Run], chosen: Run, compared: Sequence[Run]) -> None:
    """A row a run; a click on one opens it, a tick draws its curves along. Follows the queue while something goes
    on."""
    if not runs:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(t("runs.none_found"), width="content")
            st.button(t("runs.show_all"), on_click=clear_filters, key="runs_show_all")
        return
    every = EVERY_SECONDS if get_store().read_states() else None
    ids = [run.id for run in runs]
    st.fragment(_show, run_every=every)(choice, page, ids, chosen.id, [run.id for run in compared])


def _show(choice: Choice, page: int, shown: list[str], chosen: str, compared: list[str]) -> None:
    runs = guard(lambda: choice.find(page))
    if [run.id for run in runs] != shown:
        st.rerun()  # added or deleted elsewhere
    ticked = [index for index, run_id in enumerate(shown) if run_id in (chosen, *compared)]
    # A selection is rows' numbers: it must not outlive the list and the choice that it was made in.
    made_in = hashlib.sha256(" ".join([*shown, "-", chosen, *compared]).encode()).hexdigest()[:12]
    event = st.dataframe(
        build_list(runs, whole=choice.sweep is None),
        key=f"runs_{made_in}_{get_language()}",
        hide_index=True,
        column_config={
            t("runs.name"): st.column_config.TextColumn(width="medium"),
            t("runs.score"): st.column_config.TextColumn(width="medium"),
        },
        height=min(38 + 35 * len(runs), 318),
        on_select="rerun",
        selection_mode=["multi-row", "single-cell"],
        selection_default={"selection": {"rows": ticked}},
    )["selection"]
    rows = [index for index in event["rows"] if index < len(shown)]
    cell = next((index for index, _ in event["cells"] if index < len(shown)), None)
    if cell is not None and shown[cell] != chosen:
        others = [*compared, chosen] if compared else []
        _choose(shown[cell], [run_id for run_id in others if run_id != shown[cell]])
    elif set(rows) != set(ticked):
        elsewhere = [run_id for run_id in (chosen, *compared) if run_id not in shown]
        kept = [run_id for run_id in (chosen, *compared) if run_id in {shown[index] for index in rows}]
        new = [shown[index] for index in rows if shown[index] not in kept]
        every = [*kept, *elsewhere, *new] or [chosen]
        first = chosen if chosen in every else every[0]
        _choose(first, [run_id for run_id in every if run_id != first])


def build_list(runs: Sequence[Run], *, whole: bool = True) -> pd.DataFrame:
    """A row a run; tags only where one has some. Not `whole`: names without what they all begin with, a sweep's own."""
    begin, *others = {run.name.rpartition(" · ")[0] for run in runs}
    shared = len(f"{begin} · ") if begin and not others and not whole else 0
    columns = {
        t("runs.name"): [f"★ {run.name[shared:]}" if run.starred else run.name[shared:] for run in runs],
        t("runs.state"): [format_state(run) for run in runs],
        t("runs.score"): [format_score(run) for run in runs],
    }
    if any(run.tags for run in runs):
        columns[t("runs.tags")] = [", ".join(run.tags) for run in runs]
    columns[t("runs.duration")] = [_format_duration(run) for run in runs]
    columns[t("runs.added")] = [format_time(run.created) for run in runs]
    return pd.DataFrame(columns)


def _choose(run_id: str, others: Sequence[str]) -> None:
    st.query_params["run"] = run_id
    if others:
        st.session_state["runs_view"] = "curves"  # the view in which they are drawn together
        st.query_params["with"] = ",".join(others[:MOST_COMPARED])
    else:
        st.query_params.pop("with", None)
    st.rerun()


def _format_duration(run: Run) -> str:
    seconds = compute_duration(run)
    return "" if seconds is None else format_duration(seconds)
