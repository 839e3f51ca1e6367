"""One page of examples as the screen shows it: cells in words, wrong ones coloured, tags in the text."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from chain_core.reports.page import format_residual
from chain_core.reports.predictions import Predictions
from chain_core.reports.spans import choose_tag_colours, render_spans
from chain_core.reports.wording import MISSING, Say, format_cell

WRONG = "background-color: rgba(214, 69, 65, 0.28)"
FAINT = "color: #8a8f98"
BLOCK_STYLE = """
.report-row{display:flex;gap:.8rem;padding:.35rem 0;border-bottom:1px solid rgba(128,128,128,.25)}
.report-row>div{flex:1;min-width:0}
.report-number{flex:0 0 2.4rem;text-align:right;opacity:.65;font-size:.85em;padding-top:.35em}
.report-line{display:flex;gap:.8rem}.report-line>b{flex:0 0 5.5rem;font-weight:400;opacity:.65;font-size:.85em;
 padding-top:.35em;overflow-wrap:anywhere}.report-line>div{flex:1;min-width:0}
@media(max-width:640px){.report-line{flex-direction:column;gap:0}.report-line>b{flex:none}
 .report-number{flex-basis:1.6rem}}
"""


def build_table(page: pd.DataFrame, predictions: Predictions, heads: Sequence[str]) -> pd.DataFrame:
    """Rows of `compute_examples` in words, under the same names: `row`, texts, `gold:h`, `pred:h@d`.

    A predicted cell holds its confidence as a percentage, a number its distance from gold.
    """
    table = pd.DataFrame({name: page[name] for name in ("row", "text", "pair") if name in page})
    tokens = page["tokens"].tolist() if "tokens" in page else [None] * len(page)
    for head in heads:
        info = predictions.heads[head]
        names = [f"gold:{head}", *(f"pred:{head}@{depth}" for depth in info.depths)]
        for name in names:
            cells = [format_cell(info.kind, cell, words) for cell, words in zip(page[name], tokens, strict=True)]
            if name.startswith("pred:"):
                key = name.removeprefix("pred:")
                cells = [cell + end for cell, end in zip(cells, _list_ends(page, key, info.kind), strict=True)]
            table[name] = pd.Series(cells, index=page.index, dtype=object)
    return table


def style_table(table: pd.DataFrame, page: pd.DataFrame) -> Styler:
    """The table with wrong cells on red and missing gold faint."""
    styles = pd.DataFrame("", index=table.index, columns=table.columns)
    for name in table.columns:
        if name.startswith("pred:"):
            styles.loc[page[f"wrong:{name.removeprefix('pred:')}"], name] = WRONG
        elif name.startswith("gold:"):
            styles.loc[table[name] == MISSING, name] = FAINT
    return table.style.apply(lambda _: styles, axis=None)


def name_columns(table: pd.DataFrame, predictions: Predictions, say: Say) -> dict[str, str]:
    """Column -> heading: `intent · gold`, then `intent`, or `intent @3` where the head sits at several depths."""
    names = {name: say(name) for name in ("row", "text", "pair") if name in table}
    for name in table.columns:
        what, _, key = str(name).partition(":")
        if what == "gold":
            names[name] = f"{key} · {say('gold')}"
        elif what == "pred":
            head, _, depth = key.partition("@")
            several = len(predictions.heads[head].depths) > 1
            names[name] = f"{head} @{depth}" if several else f"{head} · {say('predicted')}"
    return names


def render_tags(page: pd.DataFrame, predictions: Predictions, head: str, say: Say) -> str:
    """HTML: for each row its gold and each depth's tags as coloured spans in the words."""
    info = predictions.heads[head]
    colours = choose_tag_colours(info.label_space)
    blocks = []
    for example in page.to_dict("records"):
        tokens: list[str] = example.get("tokens") or str(example["text"]).split()
        gold: Any = example[f"gold:{head}"]
        lines = [] if gold is None else [(say("gold"), render_spans(tokens, gold, colours))]
        for depth in info.depths:
            name = say("predicted") if len(info.depths) == 1 else say("depth", depth=depth)
            lines.append((name, render_spans(tokens, example[f"pred:{head}@{depth}"], colours, gold)))
        rendered = "".join(f'<div class="report-line"><b>{html.escape(name)}</b>{spans}</div>' for name, spans in lines)
        number = f'<span class="report-number">{int(example["row"])}</span>'
        blocks.append(f'<div class="report-row">{number}<div>{rendered}</div></div>')
    return "".join(blocks)


def _list_ends(page: pd.DataFrame, key: str, kind: str) -> list[str]:
    if kind == "regression":
        residuals = page[f"residual:{key}"]
        return ["" if residual != residual else f" ({format_residual(residual)})" for residual in residuals]
    return ["" if share != share else f" · {share:.0%}" for share in page[f"conf:{key}"]]
