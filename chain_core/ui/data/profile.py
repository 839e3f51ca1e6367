"""What the table holds, in numbers and pictures, and its first rows."""

from __future__ import annotations

import html
from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from chain_core.data.labels import read_gold
from chain_core.data.profile import Counter, Profile, compute_profile
from chain_core.data.store import DataSet, read_table
from chain_core.data.task import Column
from chain_core.errors import ChainError
from chain_core.modeling.backbones.catalogue import load_token_counter, read_facts
from chain_core.ui.data.tasks import Choice
from chain_core.ui.draft import get_draft
from chain_core.ui.language import t
from chain_core.ui.shell import escape_markdown

DEFAULT_BACKBONE = "minilm-l6"
PREVIEW_ROWS = 50
MOST_BARS = 20
_COLOUR = "#4c8fbf"
_PLOT = {"displayModeBar": False}


def show_profile(data_set: DataSet, choice: Choice) -> None:
    """Counts, labels, lengths."""
    st.subheader(t("data.profile_title"), anchor=False)
    backbone = ((get_draft() or {}).get("backbone") or {}).get("name") or DEFAULT_BACKBONE
    with st.spinner(t("data.counting")):
        profile = _compute(data_set.id, choice.columns, backbone, choice, data_set)
    _show_counts(profile)
    longest = _find_longest(backbone) if profile.unit == "tokens" else None
    labels, lengths = st.columns(2)
    with labels:
        _show_labels(profile)
    with lengths:
        _show_lengths(profile, longest)


def show_preview(data_set: DataSet) -> None:
    """Some rows as they are, cells as text."""
    st.subheader(t("data.preview_title"), anchor=False)
    first = 1
    if data_set.rows > PREVIEW_ROWS:
        first = st.number_input(
            t("data.preview_from"), 1, data_set.rows, 1, PREVIEW_ROWS, key=f"data_preview_{data_set.id}", width=200
        )
    table = read_table(data_set).slice(int(first) - 1, PREVIEW_ROWS)
    frame = pd.DataFrame(
        {name: [_format_cell(cell) for cell in table[name].to_pylist()] for name in table.column_names}
    )
    frame.index = pd.RangeIndex(int(first), int(first) + len(frame))
    st.dataframe(frame)


def build_label_figure(counts: Mapping[str, int]) -> go.Figure:
    """A bar a label, the most frequent on top; the user's names are never read as markup."""
    shown = list(counts.items())[:MOST_BARS][::-1]
    names = [html.escape(label if len(label) <= 28 else label[:27] + "…") for label, _ in shown]
    places = list(range(len(shown)))
    figure = go.Figure(
        go.Bar(
            x=[count for _, count in shown], y=places, orientation="h", marker_color=_COLOUR,
            customdata=[html.escape(label[:200]) for label, _ in shown],
            hovertemplate="%{customdata}: %{x:,}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_yaxes(tickvals=places, ticktext=names, automargin=True)
    return _finish(figure, height=70 + 22 * max(len(shown), 4))


def build_histogram(values: np.ndarray, title: str, limit: int | None = None, limit_text: str = "") -> go.Figure:
    """How often each range of values occurs; a line at the limit, if any value comes near it."""
    figure = go.Figure(
        go.Histogram(x=values, nbinsx=40, marker_color=_COLOUR, hovertemplate="%{x}: %{y:,}<extra></extra>")
    )
    if limit and len(values) and values.max() > 0.6 * limit:
        figure.add_vline(limit, line_dash="dot", line_color="#c95877", annotation_text=limit_text)
    figure.update_xaxes(title=title)
    return _finish(figure, height=320)


def _show_counts(profile: Profile) -> None:
    figures = [
        (t("data.profile_rows"), f"{profile.rows:,}", None),
        (t("data.profile_length"), _format_length(profile), t(f"data.profile_length_{profile.unit}")),
        (t("data.profile_missing"), f"{max(profile.missing.values(), default=0):,}", _list_missing(profile)),
        (t("data.profile_duplicates"), f"{profile.duplicates:,}", t("data.profile_duplicates_help")),
    ]
    if profile.leaks is not None:
        figures.append((t("data.profile_leaks"), f"{profile.leaks:,}", t("data.profile_leaks_help")))
    for place, (label, value, about) in zip(st.columns(len(figures)), figures, strict=True):
        place.metric(label, value, help=about)
    if profile.leaks:
        st.warning(t("data.leaks", count=profile.leaks), icon=":material/warning:")


def _show_labels(profile: Profile) -> None:
    heads = [*profile.labels, *profile.scores]
    if not heads:
        return
    st.markdown(f"**{t('data.label_counts')}**")
    head = heads[0]
    if len(heads) > 1:
        chosen = st.segmented_control(
            t("data.head"),
            heads,
            default=head,
            format_func=escape_markdown,
            key="data_label_head",
            label_visibility="collapsed",
        )
        head = chosen or head
    if head in profile.scores:
        st.plotly_chart(build_histogram(profile.scores[head], head), key="data_scores", config=_PLOT)
        return
    counts = {label: count for label, count in profile.labels[head].items() if label != "O"} or profile.labels[head]
    st.plotly_chart(build_label_figure(counts), key="data_labels", config=_PLOT)
    if len(counts) > MOST_BARS:
        st.caption(t("data.more_labels", count=len(counts) - MOST_BARS))
    if "O" in profile.labels[head] and len(profile.labels[head]) > 1:
        st.caption(t("data.without_o", count=profile.labels[head]["O"]))


def _show_lengths(profile: Profile, longest: int | None) -> None:
    if not len(profile.lengths):
        return
    st.markdown(f"**{t(f'data.lengths_{profile.unit}')}**")
    line = t("data.longest_input", limit=longest) if longest else ""
    title = t(f"data.unit_{profile.unit}")
    st.plotly_chart(build_histogram(profile.lengths, title, longest, line), key="data_lengths", config=_PLOT)
    if longest and (share := float((profile.lengths > longest).mean())):
        st.warning(t("data.too_long", percent=f"{share:.1%}", limit=longest), icon=":material/content_cut:")


@st.cache_resource(max_entries=20, show_spinner=False)
def _compute(identity: str, columns: tuple[Column, ...], backbone: str, _choice: Choice, _data_set: DataSet) -> Profile:
    table = read_table(_data_set)
    gold = {task.name: (task, read_gold(table, task)) for task in _choice.tasks}
    return compute_profile(table, columns, _load_counter(backbone), gold)


def _load_counter(backbone: str) -> Counter | None:
    """Counts as the backbone will; words where it cannot be had."""
    try:
        return load_token_counter(backbone)
    except ChainError:
        return None


def _find_longest(backbone: str) -> int | None:
    """The longest input of the draft, in tokens."""
    asked = ((get_draft() or {}).get("input") or {}).get("max_length")
    try:
        longest = read_facts(backbone).max_length
    except ChainError:
        return None
    return min(asked, longest) if isinstance(asked, int) else longest


def _format_length(profile: Profile) -> str:
    if not len(profile.lengths):
        return "–"
    return f"{np.median(profile.lengths):.0f} / {profile.lengths.max():,}"


def _list_missing(profile: Profile) -> str:
    lines = [f"{escape_markdown(name)}: {count:,}" for name, count in profile.missing.items() if count]
    return "  \n".join([t("data.profile_missing_help"), *lines])


def _format_cell(cell: object) -> str:
    if isinstance(cell, list):
        return " ".join("" if item is None else str(item) for item in cell)
    return "" if cell is None else str(cell)


def _finish(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(
        height=height, margin={"l": 8, "r": 8, "t": 24, "b": 8}, showlegend=False, bargap=0.15, dragmode=False
    )
    return figure
