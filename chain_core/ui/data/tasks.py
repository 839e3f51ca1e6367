"""The roles of the columns, which a person may change, and the tasks that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import streamlit as st

from chain_core.config import HeadConfig, InputConfig
from chain_core.data.readers import SPLIT
from chain_core.data.roles import apply_roles, find_role_problems
from chain_core.data.schema import ROLES, Column, Task, build_tasks, infer_columns, suggest_config
from chain_core.data.store import DataSet, read_table
from chain_core.errors import ChainError
from chain_core.ui.backend import get_store
from chain_core.ui.data.words import format_notes, name_kind, name_role
from chain_core.ui.language import t
from chain_core.ui.shell import show_error

_EXAMPLE = 60  # characters of a cell shown beside its column


@dataclass(frozen=True)
class Choice:
    """The columns as chosen, what a config makes of them, its tasks, and what is wrong."""

    columns: tuple[Column, ...]
    suggested: Mapping[str, Any]
    tasks: tuple[Task, ...]
    problems: tuple[ChainError, ...]


def edit_roles(data_set: DataSet) -> Choice:
    """The table of columns with a choice of role for each; what is chosen is kept with the data set."""
    st.subheader(t("data.columns_title"), anchor=False)
    st.caption(t("data.columns_text"))
    inferred = _infer(data_set.id, data_set)
    key = f"data_roles_{data_set.id}"
    base = f"{key}_base"
    if key not in st.session_state or base not in st.session_state:
        # The editor keeps changes to the table it was given, so that table stays while the editor does.
        st.session_state[base] = apply_roles(inferred, get_store().get_roles(data_set.id) or {})
    before: tuple[Column, ...] = st.session_state[base]
    edited: Any = st.data_editor(
        _build_frame(data_set, before),
        key=key,
        hide_index=True,
        disabled=["column", "type", "example", "why"],
        column_config={
            "column": st.column_config.TextColumn(t("data.column"), width="medium"),
            "role": st.column_config.SelectboxColumn(
                t("data.role"),
                options=list(ROLES),
                format_func=_name_option,
                required=True,
                width="medium",
            ),
            "type": st.column_config.TextColumn(t("data.type"), width="small"),
            "example": st.column_config.TextColumn(t("data.example"), width="medium"),
            "why": st.column_config.TextColumn(t("data.why"), width="medium"),
        },
    )
    roles = dict(zip(edited["column"], edited["role"], strict=True))
    columns = apply_roles(before, roles)
    if columns != before and get_store().get_roles(data_set.id) != roles:
        get_store().set_roles(data_set.id, roles)
    return _build_choice(data_set.id, columns, data_set)


def show_tasks(choice: Choice) -> None:
    """A row a head: what it predicts, and among how many labels; below, what is odd or wrong."""
    st.subheader(t("data.tasks_title"), anchor=False)
    if choice.tasks:
        rows = [
            {
                t("data.head"): task.name,
                t("data.kind"): name_kind(task.kind),
                t("data.column"): task.column,
                t("data.labels"): f"{len(task.label_space):,}" if task.label_space else "–",
                t("data.label_space"): _list_labels(task),
            }
            for task in choice.tasks
        ]
        st.dataframe(pd.DataFrame(rows), hide_index=True)
    notes = [note for task in choice.tasks for note in task.notes]
    if notes:
        st.info(format_notes(notes), icon=":material/info:")
    for problem in choice.problems:
        show_error(problem)


@st.cache_resource(max_entries=30, show_spinner=False)
def _infer(identity: str, _data_set: DataSet) -> tuple[Column, ...]:
    return infer_columns(read_table(_data_set))


@st.cache_resource(max_entries=30, show_spinner=False)
def _build_choice(identity: str, columns: tuple[Column, ...], _data_set: DataSet) -> Choice:
    """Each head by itself, so that one that cannot be learnt does not hide the others."""
    table = read_table(_data_set)
    suggested = suggest_config(columns)
    problems: list[ChainError] = list(find_role_problems(columns))
    tasks: list[Task] = []
    inputs = InputConfig(**suggested.get("input", {}))
    for name, head in suggested.get("heads", {}).items():
        try:
            tasks += build_tasks(table, {name: HeadConfig(**head)}, columns=inputs)
        except ChainError as error:
            problems.append(error)
    return Choice(columns, suggested, tuple(tasks), tuple(problems))


def _name_option(role: object) -> str:
    return name_role(str(role))


def _build_frame(data_set: DataSet, columns: tuple[Column, ...]) -> pd.DataFrame:
    head = read_table(data_set).slice(0, 50)
    return pd.DataFrame(
        {
            "column": [column.name for column in columns],
            "role": [column.role for column in columns],
            "type": [t(f"data.type_{column.type}") for column in columns],
            "example": [find_example(head, column.name) for column in columns],
            "why": [_explain(column) for column in columns],
        }
    )


def find_example(table: pa.Table, name: str) -> str:
    """The first cell that is not empty, cut to a line."""
    for cell in table[name].to_pylist():
        text = " ".join((" ".join(filter(None, cell)) if isinstance(cell, list) else cell or "").split())
        if text:
            return text if len(text) <= _EXAMPLE else text[: _EXAMPLE - 1] + "…"
    return ""


def _explain(column: Column) -> str:
    if column.name == SPLIT:
        return t("data.why_files")
    return t(f"data.why_{column.note}") if column.note else ""


def _list_labels(task: Task) -> str:
    if task.kind == "regression":
        return t("data.any_number")
    shown = ", ".join(task.label_space[:12])
    return shown + (" …" if len(task.label_space) > 12 else "")
