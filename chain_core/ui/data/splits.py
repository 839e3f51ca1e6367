"""Which rows train, validate and test; and the step on to the chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from chain_core.config import DataConfig, InputConfig
from chain_core.data.readers import SPLIT
from chain_core.data.splits import split_rows
from chain_core.data.store import DataSet, read_table
from chain_core.data.task import Column
from chain_core.errors import ChainError
from chain_core.ui.data.draft import build_draft
from chain_core.ui.data.tasks import Choice
from chain_core.ui.draft import get_draft, set_draft
from chain_core.ui.language import t
from chain_core.ui.shell import go_to, show_error

Splits = Mapping[str, Any]


def choose_splits(data_set: DataSet, choice: Choice) -> Splits | None:
    """The config's `data` keys that say how rows are divided; None where they cannot be."""
    st.subheader(t("data.splits_title"), anchor=False)
    column = choice.suggested.get("data", {}).get("split")
    given = _find_given(data_set.id, column, data_set)
    if isinstance(given, ChainError):
        show_error(given)
        return None
    complete = "validation" in given and "test" in given
    st.caption(t("data.splits_complete" if complete else "data.splits_given" if given else "data.splits_drawn"))
    chosen: dict[str, Any] = {"split": column} if column else {}
    if not complete:
        chosen |= _ask_fractions(data_set, given)
    counts = _count(data_set.id, choice.columns, tuple(sorted(chosen.items())), choice, data_set)
    if isinstance(counts, ChainError):
        show_error(counts)
        return None
    st.markdown(" · ".join(t(f"data.split_{split}", rows=rows) for split, rows in counts.items()))
    if "test" not in counts:
        st.info(t("data.no_test"), icon=":material/info:")
    return chosen


def _ask_fractions(data_set: DataSet, given: tuple[str, ...]) -> dict[str, Any]:
    """How much of the train rows is set aside for what is not given, and by which seed."""
    drafted = _read_drafted(data_set)
    chosen: dict[str, Any] = {}
    fields = st.columns(3)
    if "validation" not in given:
        percent = _ask_percent(fields[0], "validation", 1, drafted.get("validation", 0.1), data_set)
        chosen["validation"] = percent / 100
    if "test" not in given:
        percent = _ask_percent(fields[1], "test", 0, drafted.get("test", 0.0 if given else 0.2), data_set)
        chosen["test"] = percent / 100 if percent else None
    seed = drafted.get("split_seed", 0)
    chosen["split_seed"] = fields[2].number_input(
        t("data.split_seed"), 0, 10**6, int(seed), help=t("data.split_seed_help"), key=f"data_seed_{data_set.id}"
    )
    return chosen


def show_next(data_set: DataSet, choice: Choice, splits: Splits | None) -> None:
    """The one button that leads on, and what it waits for."""
    ready = splits is not None and not choice.problems
    clicked = st.button(
        t("data.next"), type="primary", disabled=not ready, icon=":material/arrow_forward:", key="data_next"
    )
    if not ready:
        st.caption(t("data.next_waits"))
    elif clicked:
        set_draft(build_draft(data_set, choice.suggested, splits or {}, get_draft()), parent=None)
        go_to("chain")


def _ask_percent(place: Any, split: str, least: int, fraction: Any, data_set: DataSet) -> int:
    start = round(100 * fraction) if isinstance(fraction, float) else 0
    return place.slider(
        t(f"data.percent_{split}"), least, 45, min(max(start, least), 45), format="%d%%",
        key=f"data_{split}_{data_set.id}",
    )  # fmt: skip


def _read_drafted(data_set: DataSet) -> Mapping[str, Any]:
    """The draft's own choice where it is for this data set."""
    drafted = (get_draft() or {}).get("data") or {}
    return {key: value for key, value in drafted.items() if value is not None} if (
        drafted.get("train") == data_set.id) else {}  # fmt: skip


@st.cache_resource(max_entries=30, show_spinner=False)
def _find_given(identity: str, column: str | None, _data_set: DataSet) -> tuple[str, ...] | ChainError:
    """The splits that a column names; none where the rows are to be divided here."""
    name = column or (SPLIT if SPLIT in _data_set.columns else None)
    if name is None:
        return ()
    try:
        # Only rows that the column leaves out are drawn, and here none are.
        data = DataConfig(train=_data_set.id, validation="given", test=None, split=column)
        return tuple(split_rows(read_table(_data_set, [name]), data, ()))
    except ChainError as error:
        return error


@st.cache_resource(max_entries=60, show_spinner=False)
def _count(
    identity: str,
    columns: tuple[Column, ...],
    chosen: tuple[tuple[str, Any], ...],
    _choice: Choice,
    _data_set: DataSet,
) -> dict[str, int] | ChainError:
    """Split -> rows."""
    try:
        data = DataConfig(train=_data_set.id, **dict(chosen))
        inputs = InputConfig(**_choice.suggested.get("input", {}))
        rows = split_rows(read_table(_data_set), data, _choice.tasks, inputs)
    except ChainError as error:
        return error
    return {split: len(numbers) for split, numbers in rows.items()}
