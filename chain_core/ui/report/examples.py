"""Predictions side by side: filters, one page of rows coloured where wrong, tags in the text, downloads."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pandas as pd
import streamlit as st

from chain_core.reports.examples import (
    ORDERS,
    SHOWS,
    filter_examples,
    list_labels,
    sort_examples,
)
from chain_core.reports.export import export_csv, export_parquet
from chain_core.reports.page import render_page
from chain_core.reports.spans import STYLE
from chain_core.ui.language import get_language, t
from chain_core.ui.report.choice import Source, get_say, load_examples, load_file
from chain_core.ui.report.table import BLOCK_STYLE, build_table, name_columns, render_tags, style_table

PAGE_ROWS = 50
LABELS = 2000
"""Labels that the filter offers at most; more would weigh on the browser, and the search finds the rest."""


@dataclass(frozen=True)
class Filters:
    """What the person asked to see. `label` is (head, label)."""

    heads: tuple[str, ...]
    show: str
    label: tuple[str, str] | None
    text: str
    order: str


@st.fragment
def show_examples(source: Source) -> None:
    """The whole lower half of the page; a filter does not draw the figures again."""
    st.subheader(t("report.examples"), anchor=False)
    filters = _ask_filters(source)
    predictions = source.predictions
    chosen = filter_examples(
        source.examples,
        predictions,
        heads=filters.heads,
        show=filters.show,
        label=filters.label,
        text=filters.text,
    )
    chosen = sort_examples(chosen, predictions, filters.order, filters.heads)
    if chosen.empty:
        _show_nothing(source, filters)
        return
    page = _turn_page(source, chosen, filters)
    _show_table(source, page, filters)
    _show_tags(source, page, filters)
    _show_downloads(source, chosen)


def _ask_filters(source: Source) -> Filters:
    predictions, key = source.predictions, source.key
    heads = tuple(predictions.heads)
    show = st.segmented_control(
        t("report.show"),
        SHOWS,
        default="all",
        required=True,
        format_func={name: t(f"report.show.{name}") for name in SHOWS}.__getitem__,
        key=f"{key}_show",
    )
    columns = st.columns(4 if len(heads) > 1 else 3)
    text = columns[0].text_input(t("report.search"), key=f"{key}_text", icon=":material/search:")
    label = columns[1].selectbox(
        t("report.filter_label"),
        _load_labels(source.path, source.stamp),
        index=None,
        placeholder=t("report.any_label"),
        format_func=" = ".join,
        key=f"{key}_label",
    )
    order = columns[2].selectbox(
        t("report.order"),
        ORDERS,
        format_func={name: t(f"report.order.{name}") for name in ORDERS}.__getitem__,
        key=f"{key}_order",
    )
    if len(heads) > 1:
        picked = columns[3].multiselect(
            t("report.looked_at"), heads, placeholder=t("report.all_heads"), key=f"{key}_looked_at"
        )
        heads = tuple(head for head in heads if head in picked) or heads
    return Filters(heads, show or "all", label, text.strip(), order)


def _show_nothing(source: Source, filters: Filters) -> None:
    several = any(len(source.predictions.heads[head].depths) > 1 for head in filters.heads)
    if filters.show == "disagree" and not several:
        st.info(t("report.no_disagree"))
    else:
        st.info(t("report.no_rows"))
    st.button(t("report.clear"), on_click=_clear, args=(source.key,), key=f"{source.key}_clear")


def _clear(key: str) -> None:
    st.session_state[f"{key}_show"] = "all"
    st.session_state[f"{key}_text"] = ""
    st.session_state[f"{key}_label"] = None


def _turn_page(source: Source, chosen: pd.DataFrame, filters: Filters) -> pd.DataFrame:
    """The rows of one page; other filters begin at the first page again."""
    pages = math.ceil(len(chosen) / PAGE_ROWS)
    number = 1
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    rows = source.predictions.rows
    some = len(chosen) < rows
    count = t("report.rows_of", shown=len(chosen), rows=rows) if some else t("report.rows", rows=rows)
    left.caption(f"{count} · {t('report.examples_hint')}")
    if pages > 1:
        stamp = hashlib.sha256(repr(filters).encode()).hexdigest()[:12]
        number = right.number_input(
            t("report.page", pages=pages), min_value=1, max_value=pages, step=1, key=f"{source.key}_page_{stamp}"
        )
    return chosen.iloc[(number - 1) * PAGE_ROWS : number * PAGE_ROWS]


def _show_table(source: Source, page: pd.DataFrame, filters: Filters) -> None:
    predictions = source.predictions
    table = build_table(page, predictions, filters.heads)
    names = name_columns(table, predictions, get_say())
    config = {
        name: st.column_config.Column(label, width="medium" if name in ("text", "pair") else None)
        for name, label in names.items()
    }
    config["row"] = st.column_config.NumberColumn(names["row"], width="small", format="%d")
    st.dataframe(
        style_table(table, page),
        hide_index=True,
        column_config=config,
        height=min(38 + 35 * len(table), 560),
        key=f"{source.key}_table",
    )


def _show_tags(source: Source, page: pd.DataFrame, filters: Filters) -> None:
    heads = [head for head in filters.heads if source.predictions.heads[head].kind == "tagging"]
    for head in heads:
        with st.expander(t("report.spans") if len(heads) == 1 else f"{t('report.spans')}: {head}", expanded=True):
            st.caption(t("report.spans_hint"))
            with st.container(height=min(480, 40 + 110 * len(page)), border=False):
                st.html(f"<style>{STYLE}{BLOCK_STYLE}</style>")
                st.html(render_tags(page, source.predictions, head, get_say()))


def _show_downloads(source: Source, chosen: pd.DataFrame) -> None:
    st.markdown(f"##### {t('report.downloads')}")
    st.caption(t("report.downloads_hint", rows=len(chosen)))
    predictions = source.predictions
    # Made when clicked, away from this session: everything they need is given to them here.
    page = partial(render_page, predictions, chosen, get_say(), language=get_language())
    files: dict[str, tuple[str, Callable[[], str | bytes]]] = {
        "csv": ("text/csv", partial(export_csv, predictions, chosen)),
        "parquet": ("application/vnd.apache.parquet", partial(export_parquet, predictions, chosen)),
        "html": ("text/html", page),
    }
    with st.container(horizontal=True):
        for kind, (mime, make) in files.items():
            st.download_button(
                t(f"report.download_{kind}"),
                data=make,
                file_name=f"{_slug(source.run.name)}-{source.split}.{kind}",
                mime=mime,
                icon=":material/download:",
                on_click="ignore",
                key=f"{source.key}_{kind}",
            )


def _slug(name: str) -> str:
    """A run's name as a file's name on any system."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[:60] or "report"


@st.cache_resource(show_spinner=False, max_entries=8)
def _load_labels(path: str, stamp: int) -> list[tuple[str, str]]:
    predictions = load_file(path, stamp)
    examples = load_examples(path, stamp)
    pairs = [(head, label) for head in predictions.heads for label in list_labels(examples, predictions, head)]
    return pairs[:LABELS]
