"""A table in which each link of the chain has a row."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from chain_core.config import LINK_KINDS, LinkConfig
from chain_core.services.drafts.checks import Inspection
from chain_core.ui.chain.choices import name_tie
from chain_core.ui.chain.conditions import convolves
from chain_core.ui.chain.edit import get_value, set_value
from chain_core.ui.chain.fields import read, read_whole
from chain_core.ui.draft import get_draft, set_draft
from chain_core.ui.language import t

_KEY = "chain_link_table"
_VERSION = "chain_link_table_version"
COLUMNS = tuple(LinkConfig.model_fields)
_NUMBERS = ("density", "dropout", "kernel")


def show_each_link(inspection: Inspection) -> None:
    """Tap and settings of every link, editable in place; the kernel only where a link has one."""
    links = [link if isinstance(link, dict) else {} for link in read(("chain", "links"))]
    taps = list(inspection.plan.taps) if inspection.plan else [None] * len(links)
    frame = build_frame(links, taps)
    conv = any(convolves(link, read_whole()) for link in links)
    layers = inspection.plan.num_layers if inspection.plan else 1000
    # A data editor keeps its own edits: a new key after each makes the draft the only truth.
    version = st.session_state.setdefault(_VERSION, 0)
    choose = st.column_config.SelectboxColumn
    st.data_editor(
        frame,
        key=f"{_KEY}_{version}",
        on_change=_write,
        args=(f"{_KEY}_{version}", taps),
        column_order=["tap", *(name for name in COLUMNS if name != "kernel" or conv)],
        column_config={
            "_index": st.column_config.NumberColumn(t("chain.link"), width=50),
            "tap": st.column_config.NumberColumn(t("chain.tap"), min_value=0, max_value=layers, step=1, width=60),
            "kind": choose(
                t("chain.link_kind"), options=["auto", *LINK_KINDS], required=True, width=116,
                format_func=lambda kind: t(f"chain.link_{kind}"),
            ),
            "density": st.column_config.NumberColumn(t("chain.density"), min_value=0.01, max_value=1.0, step=0.01),
            "dropout": st.column_config.NumberColumn(t("chain.dropout"), min_value=0.0, max_value=0.99, step=0.01),
            "kernel": st.column_config.NumberColumn(t("chain.kernel"), min_value=1, max_value=31, step=2),
            "init": choose(
                t("chain.init"), options=["identity", "random", "backbone"], required=True,
                format_func=lambda init: t(f"chain.init_{init}"),
            ),
            "tie": choose(
                t("chain.tie"), options=["backbone", *map(str, range(1, len(links)))],
                format_func=lambda tie: name_tie(tie) if tie else "",
            ),
            "strategy": choose(
                t("chain.strategy"), options=["train", "freeze"], required=True,
                format_func=lambda strategy: t(f"chain.strategy_{strategy}"),
            ),
            "detach": st.column_config.CheckboxColumn(t("chain.detach")),
        },
    )  # fmt: skip


def build_frame(links: list[dict[str, Any]], taps: list[Any]) -> pd.DataFrame:
    """A row a link, numbered from 1; what a column cannot hold is left empty."""
    rows = [
        {"tap": tap, **{name: _fit(name, link.get(name)) for name in COLUMNS}}
        for link, tap in zip(links, taps, strict=False)
    ]
    return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1), columns=["tap", *COLUMNS])


def _fit(name: str, value: Any) -> Any:
    if name in _NUMBERS:
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if name == "detach":
        return value is True
    return None if value is None else str(value)


def apply_edits(draft: dict[str, Any], edits: dict[int, dict[str, Any]], taps: list[Any]) -> dict[str, Any]:
    """The draft after edits of rows, numbered from 0. A tap that is given fixes all of them as shown."""
    links = [dict(link) if isinstance(link, dict) else {} for link in get_value(draft, ("chain", "links"), [])]
    taps, tapped = list(taps), False
    for index, changes in edits.items():
        for column, value in changes.items():
            if column == "tap":
                taps[index], tapped = (None if value is None else int(value)), True
            elif column == "tie":
                links[index][column] = int(value) if value and value.isdecimal() else value or None
            elif value is not None:
                links[index][column] = int(value) if column == "kernel" else value
    changed = set_value(draft, ("chain", "links"), links)
    if tapped:
        changed = set_value(changed, ("chain", "taps"), None if None in taps else taps)
    return changed


def _write(key: str, taps: list[Any]) -> None:
    edits = {int(index): changes for index, changes in st.session_state[key]["edited_rows"].items()}
    st.session_state[_VERSION] += 1
    set_draft(apply_edits(dict(get_draft() or {}), edits, taps))
