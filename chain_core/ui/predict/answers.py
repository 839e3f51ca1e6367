"""Answers: one row a text, one column a head and depth; and the first rows in detail."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from chain_core.reports.spans import STYLE, build_spans, choose_colours, join_words, render_spans
from chain_core.ui.language import t
from chain_core.ui.shell import escape_markdown

DETAILED = 10
ABREAST = 3
_BAR = (
    '<div style="display:flex;gap:.6rem;align-items:center;margin:.15rem 0;font-size:.9rem">'
    '<div style="flex:0 0 45%;overflow-wrap:anywhere">{label}</div>'
    '<div style="flex:1;background:rgba(128,128,128,.18);border-radius:.25rem">'
    '<div style="width:{percent:.1f}%;min-width:2px;height:.8rem;background:#4a90c2;border-radius:.25rem"></div></div>'
    '<div style="flex:0 0 3.2rem;text-align:right;font-variant-numeric:tabular-nums">{percent:.1f}%</div></div>'
)
Answer = Mapping[str, Any]


def show_answers(answers: Sequence[Answer]) -> None:
    """The table of all answers."""
    st.dataframe(build_answer_frame(answers, t("predict.text"), t("predict.pair")), hide_index=True)


def build_answer_frame(answers: Sequence[Answer], text: str, pair: str) -> pd.DataFrame:
    """A row a text; a column a head, `head@depth` where it sits at several. Cells: answer · confidence."""
    rows = []
    for answer in answers:
        row = {text: get_text(answer)}
        if "pair" in answer:
            row[pair] = answer["pair"]
        for head, depth, result in iterate(answer):
            several = len(answer["heads"][head]) > 1
            row[f"{head}@{depth}" if several else head] = format_result(result, answer.get("tokens"))
        rows.append(row)
    return pd.DataFrame(rows)


def iterate(answer: Answer) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Each head at each of its depths, ascending."""
    for head, depths in answer["heads"].items():
        for depth in sorted(depths, key=int):
            yield head, depth, depths[depth]


def format_result(result: Mapping[str, Any], tokens: Sequence[str] | None) -> str:
    """One answer in a cell: `flight · 91%`, `Paris (city) · 80%`, `3.142`."""
    if "score" in result:
        return f"{result['score']:.4g}"
    if "tags" in result:
        said = ", ".join(f"{words} ({kind})" for words, kind in find_entities(tokens or (), result["tags"]))
    elif "labels" in result:
        said = ", ".join(result["labels"])
    elif "answer" in result:
        said = result["answer"] or "∅"
    else:
        said = str(result["label"])
    return f"{said or '–'} · {result['confidence']:.0%}"


def find_entities(tokens: Sequence[str], tags: Sequence[str]) -> list[tuple[str, str]]:
    """(words, type) of each stretch of words that has a type."""
    return [(join_words(tokens[span.start : span.end]), span.label) for span in build_spans(tags) if span.label]


def show_details(answers: Sequence[Answer]) -> None:
    """The first rows one by one: every probability as a bar, tags in the text."""
    st.markdown(f"#### {t('predict.details')}")
    st.html(f"<style>{STYLE}</style>")
    colours = choose_colours(find_types(answers))
    for number, answer in enumerate(answers[:DETAILED]):
        text = get_text(answer)
        title = text if len(text) <= 90 else text[:89] + "…"
        with st.expander(escape_markdown(title) or "–", expanded=number == 0):
            if "pair" in answer:
                st.markdown(escape_markdown(answer["pair"]))
            for head, depths in answer["heads"].items():
                st.markdown(f"**{escape_markdown(head)}**")
                _show_depths(depths, answer.get("tokens"), colours)


def _show_depths(
    depths: Mapping[str, Mapping[str, Any]], tokens: Sequence[str] | None, colours: Mapping[str, str]
) -> None:
    """Bars side by side, tagged texts one below the other."""
    ordered = sorted(depths, key=int)
    wide = "tags" in depths[ordered[0]]
    abreast = 1 if wide else min(len(ordered), ABREAST)
    for start in range(0, len(ordered), abreast):
        for place, depth in zip(st.columns(abreast), ordered[start : start + abreast], strict=False):
            with place:
                st.caption(t("predict.depth", depth=int(depth)))
                st.html(render_result(depths[depth], tokens, colours))


def get_text(answer: Answer) -> str:
    """The row's text; tokens with spaces only where their language has them."""
    return join_words(answer["tokens"]) if answer.get("tokens") else answer["text"]


def find_types(answers: Sequence[Answer]) -> list[str]:
    """All types of tagged words, so that each keeps its colour from row to row."""
    results = (result for answer in answers for _, _, result in iterate(answer) if "tags" in result)
    return sorted({span.label for result in results for span in build_spans(result["tags"]) if span.label})


def render_result(result: Mapping[str, Any], tokens: Sequence[str] | None, colours: Mapping[str, str]) -> str:
    """HTML of one answer; everything that came from outside is escaped."""
    if "tags" in result:
        return render_spans(tokens or (), result["tags"], colours)
    if "score" in result:
        return f"<div>{result['score']:.4g}</div>"
    if "answer" in result:
        said = result["answer"] or t("report.no_answer")
    else:
        said = result.get("label", ", ".join(result.get("labels", ())))
    chances = result.get("probabilities") or {said: result["confidence"]}
    return "".join(
        _BAR.format(label=html.escape(str(label)), percent=100 * max(0.0, min(1.0, chance)))
        for label, chance in chances.items()
    )
