"""Which sweep is looked at (`?sweep=ID`), how it stands, and what can be asked of all its runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from chain_core.errors import ChainError
from chain_core.services.store.records import Group
from chain_core.services.sweeps.steps import CONTROLS, control_sweep, extend_sweep
from chain_core.services.sweeps.trials import SweepState, find_group, read_sweep
from chain_core.ui.backend import get_store, get_supervisor
from chain_core.ui.language import t
from chain_core.ui.runs.filters import clear_filters
from chain_core.ui.runs.text import format_time
from chain_core.ui.shell import escape_markdown, go_to, guard, show_error
from chain_core.ui.sweeps.filing import show_menu
from chain_core.ui.sweeps.text import COLOURS

LISTED = 100
MORE_TRIALS = 10
_ICONS = {
    "pause": ":material/pause:", "resume": ":material/play_arrow:", "stop": ":material/stop:",
    "cancel": ":material/close:",
}  # fmt: skip


def find_chosen(groups: Sequence[Group]) -> Group | None:
    """The one that the address names, or the newest; a sentence where it names one that is deleted or never was."""
    wanted = st.query_params.get("sweep")
    if wanted:
        try:
            return find_group(get_store(), wanted)
        except ChainError as error:
            show_error(error)
    return groups[0] if groups else None


def show_choice(groups: Sequence[Group], chosen: Group) -> None:
    """A list to choose another, where there is one."""
    by_id = {group.id: group for group in groups} | {chosen.id: chosen}
    if len(by_id) < 2:
        return

    def name(group_id: str) -> str:
        group = by_id[group_id]
        state = t(f"sweeps.state_{group.state}")
        return f"{group.name} · {t(f'sweeps.kind_{group.kind}')} · {format_time(group.created)} · {state}"

    if st.session_state.get("sweep_choice") != chosen.id:
        st.session_state["sweep_choice"] = chosen.id
    st.selectbox(t("sweeps.choose"), list(by_id), format_func=name, key="sweep_choice", on_change=_choose)


def _choose() -> None:
    st.query_params["sweep"] = st.session_state["sweep_choice"]


def show_header(state: SweepState) -> None:
    """Name, state, how many of its runs are done."""
    group = state.group
    done = sum(trial.ended for trial in state.trials)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(escape_markdown(group.name), anchor=False, width="content")
        st.badge(t(f"sweeps.state_{group.state}"), color=COLOURS[group.state])  # type: ignore[arg-type]
        st.caption(t("sweeps.done", done=done, total=state.total), width="content")
    if state.active and state.total:
        st.progress(min(1.0, done / state.total))


def show_controls(state: SweepState) -> None:
    """The buttons that mean something now."""
    group = state.group
    with st.container(horizontal=True, key="sweep_controls"):
        for control, (before, _) in CONTROLS.items():
            if group.state not in before or (control == "resume" and _is_complete(state)):
                continue
            if st.button(t(f"sweeps.{control}"), icon=_ICONS[control], key=f"sweep_{control}",
                         help=t(f"sweeps.{control}_help")):  # fmt: skip
                guard(partial(control_sweep, get_store(), group.id, control))
                get_supervisor().wake()
                st.rerun()
        ended = state.sweep.kind == "search" and group.state in ("finished", "stopped")
        if ended and st.button(t("sweeps.extend", count=MORE_TRIALS), icon=":material/add:", key="sweep_extend"):
            guard(lambda: extend_sweep(get_store(), group.id, MORE_TRIALS))
            st.rerun()
        if st.button(t("sweeps.show_runs"), icon=":material/monitoring:", key="sweep_runs"):
            clear_filters()
            go_to("runs", sweep=group.id)
        show_menu(group)


def _is_complete(state: SweepState) -> bool:
    """Whether nothing is left to go on with."""
    return len(state.trials) >= state.total and not state.has_run("paused", "pausing")


def read_chosen(group: Group) -> SweepState:
    """Everything of the chosen sweep; the page ends where it is gone."""
    return guard(lambda: read_sweep(get_store(), group.id))
