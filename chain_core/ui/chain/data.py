"""The Chain page's data: which rows and columns are read, further data sets, changed copies of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from chain_core.errors import ChainError
from chain_core.paths import get_home
from chain_core.services.drafts.checks import Inspection, complete_draft, list_columns, read_columns
from chain_core.ui.chain import lists as chain_lists
from chain_core.ui.chain.choices import list_sources
from chain_core.ui.chain.edit import get_value
from chain_core.ui.chain.fields import edit, read_whole
from chain_core.ui.chain.groups import Context, count_changes, find_section, fold, show_group, show_problems
from chain_core.ui.chain.spec import AUGMENT, DATA, INPUT
from chain_core.ui.draft import get_draft
from chain_core.ui.language import t
from chain_core.ui.shell import show_error

_REFUSED = "chain_add_set_refused"


def show_data(inspection: Inspection) -> None:
    """Everything about the rows, behind folds: the Data page has chosen most of it."""
    st.subheader(t("chain.data"), anchor=False)
    show_problems(inspection, "data", "input", "also", "augment")
    context = Context(inspection, inspection.columns)
    with fold("chain.rows_and_columns", wrong=_is_wrong(inspection, "data", "input")):
        show_group(DATA, ("data",), context)
        show_group(INPUT, ("input",), context)
    _show_also(inspection)
    with fold("chain.augment", changed=count_changes(AUGMENT, ("augment",)), wrong=_is_wrong(inspection, "augment")):
        show_group(AUGMENT, ("augment",), context)


def find_columns(name: Any, inspection: Inspection) -> tuple[str, ...]:
    """The columns of a further data set; without a name those of the main one."""
    if not name:
        return inspection.columns
    return list_columns(get_value(read_whole(), ("also", name, "data")), get_home())


def _show_also(inspection: Inspection) -> None:
    also = (get_draft() or {}).get("also")
    also = also if isinstance(also, Mapping) else {}
    with fold("chain.also", mark=str(len(also) or ""), wrong=_is_wrong(inspection, "also")):
        for number, name in enumerate(also):
            with st.container(border=True):
                _show_set(name, number, inspection)
        _show_add()


def _show_set(name: str, number: int, inspection: Inspection) -> None:
    key = f"chain_set_name_{number}"
    if st.session_state.get(key) != name:
        st.session_state[key] = name

    def rename() -> None:
        edit(chain_lists.rename_set, name, st.session_state[key].strip())

    left, right = st.columns([3, 1], vertical_alignment="bottom")
    left.text_input(t("chain.set_name"), key=key, max_chars=64, on_change=rename, help=t("chain.set_name_help"))
    right.button(t("chain.remove"), key=f"chain_set_remove_{number}", type="tertiary", icon=":material/delete:",
                 help=t("chain.remove_set_help"), on_click=edit, args=(chain_lists.remove_set, name))  # fmt: skip
    context = Context(inspection, find_columns(name, inspection))
    show_group(DATA, ("also", name, "data"), context)
    show_group(INPUT, ("also", name, "input"), context)


def _show_add() -> None:
    known = list_sources(str(get_home()))
    with st.popover(t("chain.add_set"), icon=":material/add:", key="chain_add_set"):
        st.selectbox(t("chain.data_train"), list(known), index=None, key="chain_add_set_source",
                     format_func=lambda value: known.get(value, str(value)), accept_new_options=True,
                     placeholder=t("chain.source_choose"), help=t("chain.data_train_help"))  # fmt: skip
        st.button(t("chain.add"), type="primary", on_click=_add, key="chain_add_set_button")
        if error := st.session_state.pop(_REFUSED, None):
            show_error(error)


def _add() -> None:
    chosen = st.session_state["chain_add_set_source"]
    if not chosen:
        return
    try:
        read_columns({"train": chosen}, get_home())
    except ChainError as error:
        st.session_state[_REFUSED] = error
        return
    name = list_sources(str(get_home())).get(chosen, chosen).partition(" · ")[0].rpartition("/")[2].partition(".")[0]
    edit(chain_lists.add_set, name or "more", complete_draft({"data": {"train": chosen}}, get_home()))


def _is_wrong(inspection: Inspection, *sections: str) -> bool:
    return any(find_section(problem.path) in sections for problem in inspection.problems)
