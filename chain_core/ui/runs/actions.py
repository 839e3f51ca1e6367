"""What can be done with the chosen run: the buttons of its state in sight, the rest in a menu."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import streamlit as st

from chain_core.errors import ChainError
from chain_core.services.store.records import BUSY, Run
from chain_core.services.store.run_entries import MOST_NAME, MOST_TAGS
from chain_core.services.store.run_queue import MOST_PRIORITY
from chain_core.ui.backend import get_store, get_supervisor
from chain_core.ui.draft import set_draft
from chain_core.ui.language import t
from chain_core.ui.runs.copy import build_draft, read_config
from chain_core.ui.runs.text import get_shown_state
from chain_core.ui.shell import escape_markdown, go_to, guard, show_error

_REFUSED = "runs_refused"
_ICONS = {"pause": "pause", "resume": "play_arrow", "stop": "stop", "cancel": "close", "retry": "replay"}
_PROGRESSIVE = ("stopping", "pausing", "cancelling")


def list_controls(run: Run) -> tuple[str, ...]:
    """The controls that change something in the run's state, the likeliest first."""
    begun = run.attempt > 0
    if run.state == "queued":
        return ("cancel",) if run.control == "stop" else ("pause", "stop", "cancel") if begun else ("pause", "cancel")
    if run.state == "stopping":
        return () if run.control == "cancel" else ("cancel",)
    if run.state == "paused":
        return ("resume", "stop", "cancel") if begun else ("resume", "cancel")
    return {
        "running": ("pause", "stop", "cancel"),
        "pausing": ("resume", "stop", "cancel"),
        **dict.fromkeys(("failed", "stopped", "cancelled"), ("retry",)),
    }.get(run.state, ())


def show_refusal() -> None:
    """Why the store did not take what was clicked."""
    error = st.session_state.pop(_REFUSED, None)
    if error is not None:
        show_error(error)


def act(action: Callable[..., Any], *arguments: Any) -> None:
    """A callback: do something with a run. A refusal is shown as the page runs."""
    try:
        action(*arguments)
    except ChainError as error:
        st.session_state[_REFUSED] = error


def show_actions(run: Run) -> None:
    """The buttons that make sense in this state."""
    with st.container(horizontal=True, key="run_actions"):
        if run.has_report and not run.active:
            if st.button(t("runs.report"), type="primary", icon=":material/analytics:", key="run_report"):
                go_to("report", run=run.id)
            if st.button(t("runs.predict"), icon=":material/chat:", key="run_predict"):
                go_to("predict", run=run.id)
        controls = list_controls(run)
        state = get_shown_state(run)
        if state in _PROGRESSIVE:
            icon = ":material/hourglass_empty:"
            st.button(t(f"runs.now_{state}"), icon=icon, disabled=True, key="run_heard")
        for control in controls:
            if control != "cancel" or _cancels_lightly(run):
                _show_control(run, control)
        if st.button(
            t("runs.duplicate"), icon=":material/content_copy:", key="run_duplicate", help=t("runs.duplicate_help")
        ):
            set_draft(guard(lambda: build_draft(run)), parent=run.id)
            go_to("chain")
        with st.popover(t("runs.more"), icon=":material/more_horiz:", key=f"run_more_{run.id}"):
            _show_menu(run)


def _cancels_lightly(run: Run) -> bool:
    """Whether nothing is lost by it: no worker was ever at the run."""
    return run.attempt == 0 and run.state in ("queued", "paused")


def _show_control(run: Run, control: str) -> None:
    what = "keep" if (run.state, control) == ("pausing", "resume") else control
    st.button(
        t(f"runs.{what}"), icon=f":material/{_ICONS[control]}:", key=f"run_{control}", help=t(f"runs.{what}_help"),
        type="primary" if control == "resume" and run.state == "paused" else "secondary",
        on_click=act, args=(getattr(get_supervisor(), control), run.id),
    )  # fmt: skip


def _show_menu(run: Run) -> None:
    """Name, tags, priority, the config, and what takes something away."""
    store = get_store()
    name = follow(f"run_name_{run.id}", run.name)
    st.text_input(t("runs.rename"), run.name, max_chars=MOST_NAME, key=name, on_change=_rename, args=(run.id, name))
    tags = follow(f"run_tags_{run.id}", list(run.tags))
    st.multiselect(
        t("runs.tags"), sorted({*guard(store.list_tags), *run.tags}, key=str.casefold), run.tags, key=tags,
        max_selections=MOST_TAGS, accept_new_options=True, placeholder=t("runs.tags_new"), on_change=_tag,
        args=(run.id, tags),
    )  # fmt: skip
    if run.state in ("queued", "paused"):
        priority = follow(f"run_priority_{run.id}", run.priority)
        st.number_input(
            t("runs.priority"), -MOST_PRIORITY, MOST_PRIORITY, run.priority, step=1, key=priority,
            help=t("runs.priority_help"), on_change=_prioritise, args=(run.id, priority),
        )  # fmt: skip
    st.download_button(
        t("runs.config"), read_config(run), file_name=f"{run.id}.yaml", mime="application/yaml",
        icon=":material/download:", key="run_config", on_click="ignore", width="stretch",
    )  # fmt: skip
    if "cancel" in list_controls(run) and not _cancels_lightly(run):
        st.button(
            t("runs.cancel"), icon=":material/close:", key="run_cancel", help=t("runs.cancel_help"), width="stretch",
            on_click=act, args=(get_supervisor().cancel, run.id),
        )  # fmt: skip
    if run.state not in BUSY:
        # A key of its own: a second click must not meet the run that is shown next.
        st.button(
            t("runs.delete"), icon=":material/delete:", key=f"run_delete_{run.id}", help=t("runs.delete_help"),
            width="stretch", on_click=act, args=(_delete, run.id),
        )  # fmt: skip


def follow(name: str, value: Any) -> str:
    """The key of a widget whose default is what the store has. It is another one where that was changed elsewhere, or
    came out otherwise than the user had it: a widget in a popover that is shut hears of no new value, and would hand
    its old one in when it opens."""
    turn, known = st.session_state.get(name, (0, value))
    turn += known != value
    st.session_state[name] = (turn, value)
    return f"{name}_{turn}"


def take(key: str) -> Any:
    """In a callback: what the user has made of a widget that follows the store."""
    name, _, turn = key.rpartition("_")
    st.session_state[name] = (int(turn), st.session_state[key])
    return st.session_state[key]


def _rename(run_id: str, key: str) -> None:
    act(get_store().rename_run, run_id, take(key))


def _tag(run_id: str, key: str) -> None:
    act(get_store().set_tags, run_id, take(key))


def _prioritise(run_id: str, key: str) -> None:
    act(get_store().set_priority, run_id, take(key))


def _delete(run_id: str) -> None:
    get_store().delete_run(run_id)
    st.query_params.pop("run", None)


def show_deleted() -> None:
    """What was deleted and can still be brought back."""
    hidden = [run for run in guard(get_store().list_hidden_runs) if run.deleted]
    show_undos([partial(_show_undo, run) for run in hidden], "runs_deleted")


def show_undos(undos: Sequence[Callable[[], None]], key: str) -> None:
    """A sentence and a button each: the first in sight, the others behind it."""
    if not undos:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=key):
        undos[0]()
        if len(undos) > 1:
            with st.popover(t("runs.more_deleted", count=len(undos) - 1), key=f"{key}_more"):
                for undo in undos[1:]:
                    with st.container(horizontal=True, vertical_alignment="center"):
                        undo()


def _show_undo(run: Run) -> None:
    st.markdown(t("runs.deleted", run=escape_markdown(run.name)), width="content")
    st.button(t("runs.undo"), icon=":material/undo:", key=f"run_undo_{run.id}", on_click=act, args=(_restore, run.id))


def _restore(run_id: str) -> None:
    if get_store().restore_run(run_id):
        st.query_params["run"] = run_id


def show_star(run: Run) -> None:
    """The switch beside the run's name."""
    label = "★" if run.starred else "☆"
    help_ = t("runs.unstar" if run.starred else "runs.star")
    st.button(
        label, type="tertiary", key="run_star", help=help_, on_click=act,
        args=(get_store().set_star, run.id, not run.starred),
    )  # fmt: skip
