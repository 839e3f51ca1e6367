"""The heads: what each predicts, from which column, at which depths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from chain_core.config import HEAD_KINDS, SELF_SUPERVISED
from chain_core.services.drafts.checks import Inspection
from chain_core.ui.chain import edit as chain_edit
from chain_core.ui.chain import lists as chain_lists
from chain_core.ui.chain.data import find_columns
from chain_core.ui.chain.fields import choice, edit, pick, read, real_number
from chain_core.ui.chain.groups import Context, count_changes, show_group, show_problems
from chain_core.ui.chain.spec import HEAD
from chain_core.ui.draft import get_draft
from chain_core.ui.language import get_language, t
from chain_core.ui.shell import escape_markdown


def show_heads(inspection: Inspection) -> None:
    """One fold a head, its summary as the label; then a button for one more."""
    st.subheader(t("chain.heads"), anchor=False)
    heads = (get_draft() or {}).get("heads")
    if not isinstance(heads, Mapping):
        heads = {}
    shown = _show_general_problems(inspection, heads)
    for name, head in heads.items():
        head = head if isinstance(head, Mapping) else {}
        problems = [problem for problem in inspection.problems if _belongs(problem.path, name)]
        icon = ":material/error:" if problems else ":material/adjust:"
        label = _summarise(name, head)
        with st.expander(label, key=f"chain_head_{name}", icon=icon, expanded=bool(problems)):
            for problem in problems:
                if problem.path not in shown:
                    st.error(escape_markdown(problem.error.text(get_language())), icon=":material/error:")
            _show_head(name, head, inspection)
    _show_add(heads, inspection)


def _show_general_problems(inspection: Inspection, heads: Mapping[str, Any]) -> set[str]:
    """Problems of all heads together; those of one head stand in its fold."""
    general = tuple(p for p in inspection.problems if not any(_belongs(p.path, name) for name in heads))
    show_problems(Inspection(general), "heads")
    return {problem.path for problem in general}


def _belongs(path: str, name: str) -> bool:
    whole = f"heads.{name}"
    return path == whole or path.startswith((f"{whole}.", f"{whole}["))


def _summarise(name: str, head: Mapping[str, Any]) -> str:
    kind = head.get("kind")
    words = t(f"chain.kind_{kind}") if kind in HEAD_KINDS else "?"
    depths = ", ".join(str(depth) for depth in chain_edit.read_head_depths(get_draft() or {}, head))
    return f"**{escape_markdown(name)}** · {words} · {t('chain.at_depths', depths=depths)}"


def _show_head(name: str, head: Mapping[str, Any], inspection: Inspection) -> None:
    path = ("heads", name)
    columns = find_columns(head.get("data"), inspection)
    left, right = st.columns(2)
    with left:
        _edit_name(name)
        choice("chain.kind", (*path, "kind"), HEAD_KINDS, prefix="chain.kind", help="chain.kind_help",
               change=lambda draft, kind: chain_edit.change_kind(draft, name, kind))  # fmt: skip
    with right:
        if head.get("kind") not in SELF_SUPERVISED or head.get("column"):
            pick("chain.column", (*path, "column"), columns, help="chain.column_help", off=None)
        real_number("chain.weight", (*path, "weight"), 0.0, 1000.0, step=0.1, help="chain.weight_help")
    also = read(("also",))
    if head.get("data") or (isinstance(also, Mapping) and also):
        pick("chain.head_data", (*path, "data"), list(also) if isinstance(also, Mapping) else [],
             help="chain.head_data_help", off="chain.main_data")  # fmt: skip
    _pick_depths(name, head)
    task = next((task for task in inspection.tasks if task.name == name), None)
    if task is not None and task.label_space:
        labels = ", ".join(task.label_space[:8]) + (" …" if len(task.label_space) > 8 else "")
        st.caption(t("chain.labels", count=len(task.label_space), labels=escape_markdown(labels)))
    changed = count_changes(HEAD, path)
    label = t("chain.more_head") + (f" · {t('chain.changed', count=changed)}" if changed else "")
    buttons = st.container(horizontal=True)
    with buttons.popover(label, key=f"chain_more_{name}"):
        show_group(HEAD, path, Context(inspection, columns), columns=1)
    buttons.button(t("chain.remove_head"), key=f"chain_remove_{name}", type="tertiary", icon=":material/delete:",
              on_click=edit, args=(chain_edit.remove_head, name))  # fmt: skip


def _edit_name(name: str) -> None:
    key = f"chain_name_{name}"
    if st.session_state.get(key) != name:
        st.session_state[key] = name

    def write() -> None:
        edit(chain_edit.rename_head, name, st.session_state[key].strip())

    st.text_input(t("chain.head_name"), key=key, max_chars=64, on_change=write)


def _pick_depths(name: str, head: Mapping[str, Any]) -> None:
    draft = get_draft() or {}
    key, value = f"chain_depths_{name}", chain_edit.read_head_depths(draft, head)
    if st.session_state.get(key) != value:
        st.session_state[key] = value
    options = list(range(chain_edit.read_depth(draft) + 1))

    def write() -> None:
        edit(chain_edit.set_head_depths, name, st.session_state[key])

    st.pills(t("chain.depths"), options, key=key, selection_mode="multi", on_change=write, help=t("chain.depths_help"))


def _show_add(heads: Mapping[str, Any], inspection: Inspection) -> None:
    """Kind, data set and column of one more head; self-supervised kinds need no column."""
    also = read(("also",))
    data = st.session_state.get("chain_add_data") if isinstance(also, Mapping) and also else None
    columns = find_columns(data, inspection)
    used = {head.get("column") for head in heads.values() if isinstance(head, Mapping) and head.get("data") == data}
    used |= {value for value in (read(("input", role)) for role in ("text", "pair", "tokens")) if value}
    free = [column for column in columns if column not in used] or list(columns)

    def add() -> None:
        chosen = st.session_state
        column = chosen.get("chain_add_column") or ""
        edit(chain_lists.add_head_and_stage, chosen["chain_add_kind"], column, data)

    with st.popover(t("chain.add_head"), icon=":material/add:", key="chain_add"):
        kind = st.selectbox(
            t("chain.kind"), HEAD_KINDS, key="chain_add_kind", format_func=lambda kind: t(f"chain.kind_{kind}"),
            help=t("chain.kind_help"),
        )  # fmt: skip
        if isinstance(also, Mapping) and also:
            st.selectbox(t("chain.head_data"), list(also), index=None, key="chain_add_data",
                         placeholder=t("chain.main_data"))  # fmt: skip
        if kind not in SELF_SUPERVISED:
            st.selectbox(t("chain.column"), free, key="chain_add_column")
        off = kind not in SELF_SUPERVISED and not free
        st.button(t("chain.add"), type="primary", on_click=add, key="chain_add_button", disabled=off)
