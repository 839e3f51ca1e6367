"""The last runs, and what this machine has."""

from __future__ import annotations

import streamlit as st

from chain_core.services.machine import Machine, load_machine
from chain_core.services.store.records import Run
from chain_core.ui.backend import get_store
from chain_core.ui.language import t
from chain_core.ui.runs.text import format_score, format_time, show_badge
from chain_core.ui.shell import escape_markdown, go_to, guard

LAST_RUNS = 5
EVERY_SECONDS = 2.0
_GIB = 2**30


def show_last_runs() -> None:
    """The newest runs, each with the one click to what it has to show."""
    st.markdown(f"#### {t('home.runs')}")
    active = any(run.active for run in guard(lambda: get_store().list_runs(LAST_RUNS)))
    st.fragment(_show_runs, run_every=EVERY_SECONDS if active else None)()


def _show_runs() -> None:
    runs = guard(lambda: get_store().list_runs(LAST_RUNS))
    if not runs:
        st.caption(t("home.no_runs"))
    for run in runs:
        _show_run(run)


def _show_run(run: Run) -> None:
    target = "report" if run.has_report and not run.active else "runs"
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{escape_markdown(run.name)}**", width="content")
        show_badge(run)
        st.caption(escape_markdown(format_score(run)) or format_time(run.created), width="stretch")
        if st.button(t(f"home.open_{target}"), key=f"home_{run.id}"):
            go_to(target, run=run.id)


def show_machine() -> None:
    """Cores, memory, GPU, precision; asks again each second until the worker has measured them."""
    st.markdown(f"#### {t('home.machine')}")
    measured = guard(lambda: load_machine(get_store())).measured
    st.fragment(_show_machine, run_every=None if measured else 1.0)(measured)


def _show_machine(measured_before: bool) -> None:
    machine = load_machine(get_store())
    if machine.measured and not measured_before:
        st.rerun()  # once more, to end the asking
    gpus, precision, speed = describe_machine(machine)
    with st.container(horizontal=True):
        st.metric(t("home.cores"), machine.cores, width="content")
        st.metric(t("home.memory"), f"{machine.memory / _GIB:.0f} GiB", width="content")
        st.metric(t("home.gpu"), gpus, width="content")
        st.metric(t("home.precision"), precision, width="content", help=t("home.precision_help"))
        st.metric(t("home.speed"), speed, width="content", help=t("home.speed_help"))


def describe_machine(machine: Machine) -> tuple[str, str, str]:
    """GPU, precision and speed in words; `measuring…` until the worker has told."""
    if machine.gpus is None or machine.precision is None:
        return (t("home.measuring"),) * 3
    gpus = ", ".join(f"{gpu.name} ({gpu.memory / _GIB:.0f} GiB)" for gpu in machine.gpus)
    speed = machine.gflops.get(machine.precision)
    return (
        escape_markdown(gpus) or t("home.no_gpu"),
        machine.precision,
        "–" if speed is None else f"{speed:,.0f} GFLOP/s",
    )
