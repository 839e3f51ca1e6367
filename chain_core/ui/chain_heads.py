"""The heads: what each predicts, from which column, at which depths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from chain_core.config import HEAD_KINDS
from chain_core.services.checks import Inspection
from chain_core.ui import chain_edit
from chain_core.ui.chain_fields import choice, edit, line, pick_column, read, real_number, slide, switch
from chain_core.ui.chain_sections import show_problems
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
    _show_add(heads, inspection.columns)


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
    left, right = st.columns(2)
    with left:
        _edit_name(name)
        choice("chain.kind", (*path, "kind"), HEAD_KINDS, prefix="chain.kind", help="chain.kind_help")
    with right:
        pick_column("chain.column", (*path, "column"), inspection.columns)
        real_number("chain.weight", (*path, "weight"), 0.0, 1000.0, step=0.1, help="chain.weight_help")
    _pick_depths(name, head)
    task = next((task for task in inspection.tasks if task.name == name), None)
    if task is not None and task.label_space:
        labels = ", ".join(task.label_space[:8]) + (" …" if len(task.label_space) > 8 else "")
        st.caption(t("chain.labels", count=len(task.label_space), labels=escape_markdown(labels)))
    buttons = st.container(horizontal=True)
    with buttons.popover(t("chain.more_head"), key=f"chain_more_{name}"):
        _show_more(path, head)
    buttons.button(t("chain.remove_head"), key=f"chain_remove_{name}", type="tertiary", icon=":material/delete:",
              on_click=edit, args=(chain_edit.remove_head, name))  # fmt: skip


def _show_more(path: tuple[str, str], head: Mapping[str, Any]) -> None:
    kind = head.get("kind")
    slide("chain.dropout", (*path, "dropout"), 0.0, 0.9, step=0.05)
    if kind != "regression":
        slide(
            "chain.label_smoothing", (*path, "label_smoothing"), 0.0, 0.9, step=0.01, help="chain.label_smoothing_help"
        )
        switch(
            "chain.class_weights", (*path, "class_weights"), on="balanced", off="none", help="chain.class_weights_help"
        )
    if kind == "multilabel":
        line("chain.separator", (*path, "separator"), limit=3, off=True, help="chain.separator_help")


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


def _show_add(heads: Mapping[str, Any], columns: tuple[str, ...]) -> None:
    used = {head.get("column") for head in heads.values() if isinstance(head, Mapping)}
    used |= {value for value in (read(("input", role)) for role in ("text", "pair", "tokens")) if value}
    free = [column for column in columns if column not in used] or list(columns)
    if not free:
        return

    def add() -> None:
        edit(chain_edit.add_head, st.session_state["chain_add_kind"], st.session_state["chain_add_column"])

    with st.popover(t("chain.add_head"), icon=":material/add:", key="chain_add"):
        st.selectbox(t("chain.column"), free, key="chain_add_column")
        st.selectbox(
            t("chain.kind"), HEAD_KINDS, key="chain_add_kind", format_func=lambda kind: t(f"chain.kind_{kind}")
        )
        st.button(t("chain.add"), type="primary", on_click=add, key="chain_add_button")
