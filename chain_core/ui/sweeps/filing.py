"""A sweep's name, and how it is deleted and brought back."""

from __future__ import annotations

from functools import partial

import streamlit as st

from chain_core.services.store.records import Group
from chain_core.services.sweeps.trials import MOST_NAME, rename_sweep
from chain_core.ui.backend import get_store
from chain_core.ui.language import t
from chain_core.ui.runs.actions import act, follow, show_undos, take
from chain_core.ui.shell import escape_markdown, guard


def show_menu(group: Group) -> None:
    """Behind a button: what is seldom wanted. Each sweep has its own: after a delete, a second click is one on nothing
    rather than on the next sweep's."""
    with st.popover(t("runs.more"), icon=":material/more_horiz:", key=f"sweep_more_{group.id}"):
        name = follow(f"sweep_name_{group.id}", group.name)
        st.text_input(
            t("sweeps.rename"), group.name, max_chars=MOST_NAME, key=name, help=t("sweeps.rename_help"),
            on_change=_rename, args=(group.id, name),
        )  # fmt: skip
        st.button(
            t("sweeps.delete"), icon=":material/delete:", key=f"sweep_delete_{group.id}",
            help=t("sweeps.delete_help"), width="stretch", on_click=act, args=(_delete, group.id),
        )  # fmt: skip


def _rename(group_id: str, key: str) -> None:
    act(rename_sweep, get_store(), group_id, take(key))


def _delete(group_id: str) -> None:
    get_store().delete_group(group_id)
    st.query_params.pop("sweep", None)


def show_deleted() -> None:
    """What was deleted and can still be brought back."""
    hidden = [group for group in guard(lambda: get_store().list_groups(deleted=True)) if group.deleted]
    hidden.sort(key=lambda group: group.deleted or 0.0, reverse=True)
    show_undos([partial(_show_undo, group) for group in hidden], "sweeps_deleted")


def _show_undo(group: Group) -> None:
    count = guard(lambda: get_store().count_runs(group_id=group.id, deleted=True))
    st.markdown(t("sweeps.is_deleted", sweep=escape_markdown(group.name), count=count), width="content")
    key = f"sweep_undo_{group.id}"
    st.button(t("runs.undo"), icon=":material/undo:", key=key, on_click=act, args=(_restore, group.id))


def _restore(group_id: str) -> None:
    if get_store().restore_group(group_id):
        st.query_params["sweep"] = group_id
