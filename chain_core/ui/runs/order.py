"""The runs that wait, in the order in which they are taken up."""

from __future__ import annotations

import streamlit as st

from chain_core.services.store.records import Run
from chain_core.ui.backend import get_store
from chain_core.ui.language import t
from chain_core.ui.runs.actions import act, show_refusal
from chain_core.ui.shell import escape_markdown, guard

SHOWN = 8
EVERY_SECONDS = 2.0
_MOVES = {
    "first": "vertical_align_top",
    "up": "arrow_upward",
    "down": "arrow_downward",
    "last": "vertical_align_bottom",
}


def show_order(chosen: Run | None) -> None:
    """The queue, where there is something to put in order; each run with the buttons that move it."""
    waiting = guard(lambda: get_store().count_runs(("queued",)))
    if waiting < 2:
        return
    with st.expander(t("runs.queue", count=waiting), icon=":material/queue:", key="runs_queue"):
        st.fragment(_show, run_every=EVERY_SECONDS)(chosen.id if chosen else "")


def _show(chosen: str) -> None:
    show_refusal()
    queue = guard(get_store().list_queue)
    if len(queue) < 2:
        st.rerun()
    places = list(enumerate(queue, start=1))
    further = [(place, run) for place, run in places[SHOWN:] if run.id == chosen]
    for place, run in [*places[:SHOWN], *further]:
        _show_place(place, run, len(queue))
    rest = len(queue) - SHOWN - len(further)
    if rest > 0:
        st.caption(t("runs.queue_rest", count=rest))


def _show_place(place: int, run: Run, count: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"run_place_{run.id}"):
        name = escape_markdown(run.name)
        if run.priority:
            name += f" · {t('runs.with_priority', priority=run.priority)}"
        st.markdown(f"{place}. {name}", width="stretch")
        for where, icon in _MOVES.items():
            still = place == 1 if where in ("first", "up") else place == count
            st.button(
                "", icon=f":material/{icon}:", key=f"run_{where}_{run.id}", type="tertiary", disabled=still,
                help=t(f"runs.move_{where}"), on_click=act, args=(get_store().move_run, run.id, where),
            )  # fmt: skip
