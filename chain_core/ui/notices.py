"""A word on whichever page is open when a run ends: once for each run, none for what had ended before; and as long as
the disk is full, since a run can then not even write down that it has failed."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from chain_core.errors import ChainError
from chain_core.paths import get_home
from chain_core.services.store.records import ACTIVE, ENDED, Run
from chain_core.storage.disk import find_lack
from chain_core.ui.backend import get_store
from chain_core.ui.escape import escape_markdown
from chain_core.ui.language import t
from chain_core.ui.runs.text import explain_error, format_score

EVERY_SECONDS = 3.0
MOST_AT_ONCE = 3
_WATCHED = "notices_watched"
_ICONS = {"finished": "check_circle", "stopped": "stop_circle", "cancelled": "cancel", "failed": "error"}


def show_notices() -> None:
    """Tell that the disk is full, and what has ended since this session last looked; look again by itself while
    something goes on."""
    st.fragment(_look, run_every=EVERY_SECONDS if _read() else None)()


def _read(watched: Iterable[str] = ()) -> dict[str, str]:
    try:
        return get_store().read_states(watched)
    except ChainError:
        return {}  # a page that needs the store says so


def _look() -> None:
    """One look at the disk, one small query, and one for each run that has ended."""
    free = find_lack(get_home())
    if free is not None:
        st.error(t("notices.disk_full", free=f"{free / 1e6:.0f}"), icon=":material/hard_drive:")
    watched: set[str] = st.session_state.get(_WATCHED, set())
    states = _read(watched)
    ended = sorted(run_id for run_id in watched if states.get(run_id) in ENDED)
    st.session_state[_WATCHED] = {run_id for run_id, state in states.items() if state in (*ACTIVE, "paused")}
    for run_id in ended[:MOST_AT_ONCE]:
        try:
            _tell(get_store().get_run(run_id))
        except ChainError:
            continue
    if len(ended) > MOST_AT_ONCE:
        st.toast(t("notices.more", count=len(ended) - MOST_AT_ONCE), icon=":material/more_horiz:")


def _tell(run: Run) -> None:
    result = format_score(run)
    if run.state == "failed" and run.error:
        result = explain_error(run.error)
    sentence = t(f"notices.{run.state}", run=escape_markdown(run.name))
    st.toast(
        f"{sentence}  \n{escape_markdown(result)}" if result else sentence,
        icon=f":material/{_ICONS[run.state]}:",
        duration="long",
    )
