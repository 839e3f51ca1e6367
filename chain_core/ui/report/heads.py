"""The figures of a report: each head's main one on top, then a tab a head with everything at every depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from chain_core.reports import figures, frames
from chain_core.reports.frames import Confusion
from chain_core.reports.metrics import compute_joint
from chain_core.reports.page import format_residual, say_row
from chain_core.reports.wording import format_cell, format_metric, format_number
from chain_core.ui.language import t
from chain_core.ui.report.choice import Source, get_say, load_file
from chain_core.ui.shell import escape_markdown

CARD = 175
"""Pixels: two stand abreast on a telephone."""
PLOT = {"displayModeBar": False}
ABREAST_LIMIT = 20
"""Classes of a confusion matrix that has half of the page's width: more would leave no room for the counts."""
FEW = 8
"""Classes whose mistakes the confusion matrix alone shows at a glance."""
ABREAST = 2
"""Depths that stand side by side before the next line begins."""


@dataclass(frozen=True)
class DepthFrames:
    """What one head's tab shows for one depth; None where its kind has no such thing."""

    report: pd.DataFrame
    tokens: pd.DataFrame | None
    confusion: Confusion | None
    mistakes: pd.DataFrame | None
    labels: pd.DataFrame | None
    residuals: pd.DataFrame | None
    answers: pd.DataFrame | None


def show_overview(source: Source) -> None:
    """A card a head with its main metric at its deepest depth, and how far the chain has carried it."""
    predictions = source.predictions
    st.caption(t("report.rows", rows=predictions.rows))
    with st.container(horizontal=True):
        for head in predictions.heads:
            _show_card(source, head)
        joint = _load_joint(source.path, source.stamp)
        if joint is not None and len(predictions.heads) > 1:
            st.metric(
                t("report.joint"),
                format_metric("exact_match", joint),
                border=True,
                width=CARD,
                height="stretch",
                help=t("report.joint_help"),
            )


@st.fragment
def show_heads(source: Source) -> None:
    """A tab a head; only the open one is computed."""
    heads = list(source.predictions.heads)
    names = [f"{escape_markdown(head)} · {t('report.kind.' + source.predictions.heads[head].kind)}" for head in heads]
    tabs = st.tabs(names, on_change="rerun", key=f"{source.key}_heads")
    for head, tab in zip(heads, tabs, strict=True):
        if tab.open:
            with tab:
                _show_head(source, head)


def _show_card(source: Source, head: str) -> None:
    frame = load_depth_frame(source.path, source.stamp, head)
    names = [name for name in frame.columns if name != "depth"]
    if not names:
        st.metric(
            escape_markdown(head),
            format_metric("", None),
            border=True,
            width=CARD,
            height="stretch",
            help=t("report.no_gold"),
        )
        return
    first, last = frame.iloc[0], frame.iloc[-1]
    main = names[0]
    change = last[main] - first[main] if len(frame) > 1 else None
    st.metric(
        f"{escape_markdown(head)} · {get_say()('metric.' + main)}",
        format_metric(main, last[main]),
        delta=None if change is None else f"{change:+.3f}",
        delta_description=None if change is None else t("report.versus", depth=int(first["depth"])),
        border=True,
        width=CARD,
        height="stretch",
    )


def _show_head(source: Source, head: str) -> None:
    info = source.predictions.heads[head]
    depths = load_depth_frame(source.path, source.stamp, head)
    if len(depths.columns) == 1:
        st.info(t("report.no_gold"))
        return
    say = get_say()
    st.markdown(f"##### {t('report.by_depth')}")
    _show_depths(depths)
    if len(depths) > 2:
        st.plotly_chart(figures.build_depth_figure(depths, say), key=f"{source.key}_{head}_line", config=PLOT)
    classes = load_classes(source.path, source.stamp, head)
    if len(classes):
        st.markdown(f"##### {t('report.per_class')}")
        if len(classes) > frames.LIMIT:
            st.caption(t("report.per_class_more", shown=frames.LIMIT, total=len(classes)))
        st.plotly_chart(figures.build_class_figure(classes, say), key=f"{source.key}_{head}_bars", config=PLOT)
    shown = _choose_depths(source, head, info.depths)
    for start in range(0, len(shown), ABREAST):
        chunk = shown[start : start + ABREAST]
        for depth, column in zip(chunk, st.columns(min(ABREAST, len(shown))), strict=False):
            with column:
                _show_depth(source, head, depth)


def _choose_depths(source: Source, head: str, depths: Sequence[int]) -> list[int]:
    """The depths to see in full: the first and the last until the person picks others."""
    if len(depths) <= ABREAST:
        return list(depths)
    picked = st.pills(
        t("report.in_full"),
        depths,
        selection_mode="multi",
        default=[depths[0], depths[-1]],
        format_func={depth: t("report.depth", depth=depth) for depth in depths}.__getitem__,
        key=f"{source.key}_{head}_in_full",
    )
    return sorted(picked or depths[-1:])


def _show_depths(depths: pd.DataFrame) -> None:
    """A row a depth; figures as text, because each has digits of its own."""
    say = get_say()
    shown = pd.DataFrame({t("report.depth_axis"): [str(int(depth)) for depth in depths["depth"]]})
    for name in depths.columns[1:]:
        shown[say(f"metric.{name}")] = [format_metric(name, value) for value in depths[name]]
    st.dataframe(shown, hide_index=True)


def _show_depth(source: Source, head: str, depth: int) -> None:
    kind = source.predictions.heads[head].kind
    parts = load_depth(source.path, source.stamp, head, depth)
    key = f"{source.key}_{head}_{depth}"
    say = get_say()
    st.markdown(f"#### {t('report.depth_backbone') if depth == 0 else t('report.depth', depth=depth)}")
    if parts.residuals is not None:
        _show_residuals(parts.residuals, key)
        return
    if parts.answers is not None:
        _show_answers(parts.answers, key)
        return
    st.markdown(f"**{t('report.entities' if kind == 'tagging' else 'report.class_report')}**")
    if len(parts.report):
        _show_report(parts.report, f"{key}_report")
    else:
        st.caption(t("report.no_entities"))
    if parts.tokens is not None:
        st.markdown(f"**{t('report.tokens')}**")
        _show_report(parts.tokens, f"{key}_tokens")
    if parts.labels is not None:
        st.markdown(f"**{t('report.label_counts')}**")
        st.plotly_chart(figures.build_label_figure(parts.labels, say), key=f"{key}_labels", config=PLOT)
    if parts.confusion is not None:
        _show_confusion(parts.confusion, kind, key)
    if parts.mistakes is not None and parts.confusion is not None and parts.confusion.total > FEW:
        st.markdown(f"**{t('report.mistakes')}**")
        if len(parts.mistakes):
            names = {name: say(name) for name in parts.mistakes.columns}
            st.dataframe(parts.mistakes.rename(columns=names), hide_index=True, key=f"{key}_mistakes")
        else:
            st.caption(t("report.no_mistakes"))


def _show_report(report: pd.DataFrame, key: str) -> None:
    say = get_say()
    shown = pd.DataFrame(
        {
            say("label"): [say_row(row.part, row.label, say) for row in report.itertuples()],
            **{say(name): [format_metric(name, value) for value in report[name]] for name in ("precision", "recall")},
            say("f1"): [format_metric("f1", value) for value in report["f1"]],
            say("support"): report["support"].astype(int).to_numpy(),
        }
    )
    st.dataframe(shown, hide_index=True, height=min(38 + 35 * len(shown), 390), key=key)


def _show_confusion(confusion: Confusion, kind: str, key: str) -> None:
    st.markdown(f"**{t('report.confusion_tags' if kind == 'tagging' else 'report.confusion')}**")
    if confusion.total > len(confusion.labels):
        st.caption(t("report.confusion_some", shown=len(confusion.labels), total=confusion.total))
    dark = st.context.theme.type == "dark"
    st.plotly_chart(
        figures.build_confusion_figure(confusion, get_say(), dark=dark), key=f"{key}_confusion", config=PLOT
    )


def _show_residuals(residuals: pd.DataFrame, key: str) -> None:
    st.markdown(f"**{t('report.scatter')}**")
    if len(residuals) > figures.MAX_POINTS:
        st.caption(t("report.scatter_some", shown=figures.MAX_POINTS, rows=len(residuals)))
    st.plotly_chart(figures.build_scatter_figure(residuals, get_say()), key=f"{key}_scatter", config=PLOT)
    worst = residuals.loc[residuals["residual"].abs().sort_values(ascending=False).index].head(10)
    st.markdown(f"**{t('report.furthest')}**")
    say = get_say()
    shown = pd.DataFrame({say("text"): worst["text"]})
    for name, write in (("gold", format_number), ("predicted", format_number), ("residual", format_residual)):
        shown[say(name)] = [write(value) for value in worst[name]]
    st.dataframe(shown, hide_index=True, key=f"{key}_furthest")


def _show_answers(misses: pd.DataFrame, key: str) -> None:
    st.markdown(f"**{t('report.worst_answers')}**")
    st.caption(t("report.answers_hint"))
    if misses.empty:
        st.caption(t("report.no_mistakes"))
        return
    say = get_say()
    shown = pd.DataFrame({say("text"): misses["text"]})
    for name in ("gold", "predicted"):
        shown[say(name)] = [format_cell("span", cell) for cell in misses[name]]
    shown[say("metric.token_f1")] = [format_metric("token_f1", value) for value in misses["token_f1"]]
    st.dataframe(shown, hide_index=True, key=f"{key}_answers")


@st.cache_resource(show_spinner=False, max_entries=64)
def load_depth_frame(path: str, stamp: int, head: str) -> pd.DataFrame:
    """`compute_depth_frame` of a file."""
    return frames.compute_depth_frame(load_file(path, stamp), head)


@st.cache_resource(show_spinner=False, max_entries=64)
def load_classes(path: str, stamp: int, head: str) -> pd.DataFrame:
    """`compute_class_depths` of a file."""
    return frames.compute_class_depths(load_file(path, stamp), head)


@st.cache_resource(show_spinner=False, max_entries=128)
def load_depth(path: str, stamp: int, head: str, depth: int) -> DepthFrames:
    """Everything that a head's tab shows for one depth."""
    predictions = load_file(path, stamp)
    kind = predictions.heads[head].kind
    one = kind in ("classification", "relation", "tagging")
    alone = len(predictions.heads[head].depths) == 1
    return DepthFrames(
        report=frames.compute_class_report(predictions, head, depth),
        tokens=frames.compute_class_report(predictions, head, depth, tokens=True) if kind == "tagging" else None,
        confusion=frames.compute_confusion(predictions, head, depth, frames.LIMIT if alone else ABREAST_LIMIT),
        mistakes=frames.compute_mistakes(predictions, head, depth) if one else None,
        labels=frames.compute_label_counts(predictions, head, depth) if kind == "multilabel" else None,
        residuals=frames.compute_residuals(predictions, head, depth) if kind == "regression" else None,
        answers=frames.compute_answer_misses(predictions, head, depth) if kind == "span" else None,
    )


@st.cache_resource(show_spinner=False, max_entries=16)
def _load_joint(path: str, stamp: int) -> float | None:
    return compute_joint(load_file(path, stamp)).get("exact_match")
