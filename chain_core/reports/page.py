"""A whole report as one HTML page that opens anywhere: no network, no server, everything of the user's escaped."""

from __future__ import annotations

import html
from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from chain_core.reports.figures import (
    build_class_figure,
    build_confusion_figure,
    build_depth_figure,
    build_label_figure,
    build_scatter_figure,
)
from chain_core.reports.frames import (
    compute_answer_misses,
    compute_class_depths,
    compute_class_report,
    compute_confusion,
    compute_depth_frame,
    compute_label_counts,
    compute_residuals,
)
from chain_core.reports.metrics import compute_joint
from chain_core.reports.predictions import Predictions
from chain_core.reports.spans import STYLE as SPAN_STYLE
from chain_core.reports.spans import choose_tag_colours, render_spans
from chain_core.reports.wording import MISSING, Say, format_cell, format_metric, format_number

MAX_EXAMPLES = 1000
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""What the page may load: nothing from elsewhere, even where a script asked for it."""
STYLE = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,"PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif;margin:2rem auto;
 max-width:1200px;padding:0 1rem;color:#1f2933;background:#fff}
h1,h2,h3{line-height:1.25;overflow-wrap:anywhere}h2{margin-top:2.5rem;border-bottom:1px solid #d5dbe1}
.side{display:flex;flex-wrap:wrap;gap:1.5rem}.side>div{flex:1 1 420px;min-width:0}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.9em;margin:.5rem 0}
th,td{padding:.25rem .6rem;border-bottom:1px solid #e3e8ed;text-align:left;vertical-align:top}
th{white-space:nowrap}td{overflow-wrap:anywhere;min-width:7rem}td.n,th.n{text-align:right;white-space:nowrap}
td.n{min-width:0}td.tags{min-width:20rem}
tr.sum td{color:#52606d;font-style:italic}td.wrong{background:#fbe3e1}td.text{min-width:16rem;max-width:32rem}
.note{color:#52606d}
"""


def render_page(predictions: Predictions, examples: pd.DataFrame, say: Say, *, language: str = "en") -> str:
    """The figures of all rows of a split, then `examples` (of `compute_examples`), MAX_EXAMPLES at most."""
    title = f"{say('title')} · {predictions.run} · {say_split(predictions.split, say)}"
    parts = [
        f"<!doctype html><html lang='{language}'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{html.escape(title)}</title><style>{STYLE}{SPAN_STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head><body><h1>{html.escape(title)}</h1>"
        f"<p class='note'>{html.escape(say('rows', rows=predictions.rows))}</p>",
        _render_overview(predictions, say),
    ]
    parts += [_render_head(predictions, head, say) for head in predictions.heads]
    parts += [_render_examples(predictions, examples, say), "</body></html>"]
    return "\n".join(parts)


def say_split(split: str, say: Say) -> str:
    """A split's name; one of another name as it is."""
    known = say(f"split.{split}")
    return split if known == f"report.split.{split}" else known


def say_row(part: str, label: str, say: Say) -> str:
    """The first cell of a classification report's row."""
    return label if part == "class" else say(f"average.{part}")


def _render_overview(predictions: Predictions, say: Say) -> str:
    parts = [f"<h2>{html.escape(say('overview'))}</h2><div class='side'>"]
    for head in predictions.heads:
        frame = compute_depth_frame(predictions, head)
        names = [str(name) for name in frame.columns if name != "depth"]
        header = [say("depth_axis"), *(say(f"metric.{name}") for name in names)]
        rows = [[str(int(row["depth"])), *(format_metric(n, row[n]) for n in names)] for _, row in frame.iterrows()]
        parts.append(f"<div><h3>{html.escape(head)}</h3>{_render_table(header, rows)}</div>")
    joint = compute_joint(predictions).get("exact_match")
    if joint is not None and len(predictions.heads) > 1:
        parts.append(f"<div><h3>{html.escape(say('joint'))}</h3><p>{format_metric('exact_match', joint)}</p></div>")
    return "".join(parts) + "</div>"


def _render_head(predictions: Predictions, head: str, say: Say) -> str:
    info = predictions.heads[head]
    parts = [f"<h2>{html.escape(head)}</h2>"]
    if len(info.depths) > 2:
        parts.append(_render_figure(build_depth_figure(compute_depth_frame(predictions, head), say)))
    classes = compute_class_depths(predictions, head)
    if len(classes):
        parts.append(f"<h3>{html.escape(say('per_class'))}</h3>")
        parts.append(_render_figure(build_class_figure(classes, say)))
    parts.append("<div class='side'>")
    parts += [_render_depth(predictions, head, depth, say) for depth in info.depths]
    return "".join(parts) + "</div>"


def _render_depth(predictions: Predictions, head: str, depth: int, say: Say) -> str:
    kind = predictions.heads[head].kind
    parts = [f"<div><h3>{html.escape(say('depth', depth=depth))}</h3>"]
    if kind == "regression":
        return (
            parts[0] + _render_figure(build_scatter_figure(compute_residuals(predictions, head, depth), say)) + "</div>"
        )
    if kind == "span":
        return parts[0] + _render_misses(predictions, head, depth, say) + "</div>"
    if kind == "tagging":
        parts.append(_render_report(compute_class_report(predictions, head, depth), say, say("entities")))
        tokens = compute_class_report(predictions, head, depth, tokens=True)
        parts.append(_render_report(tokens, say, say("tokens")))
    else:
        parts.append(_render_report(compute_class_report(predictions, head, depth), say, say("class_report")))
    confusion = compute_confusion(predictions, head, depth)
    if confusion is not None:
        parts.append(f"<h4>{html.escape(say('confusion'))}</h4>")
        parts.append(_render_figure(build_confusion_figure(confusion, say)))
    if kind == "multilabel":
        parts.append(_render_figure(build_label_figure(compute_label_counts(predictions, head, depth), say)))
    return "".join(parts) + "</div>"


def _render_report(frame: pd.DataFrame, say: Say, title: str) -> str:
    header = [say(name) for name in ("label", "precision", "recall", "f1", "support")]
    rows = [
        [
            say_row(row.part, row.label, say),
            *(format_metric("f1", value) for value in (row.precision, row.recall, row.f1)),
            f"{row.support:,}",
        ]
        for row in frame.itertuples()
    ]
    sums = [row.part != "class" for row in frame.itertuples()]
    return f"<h4>{html.escape(title)}</h4>{_render_table(header, rows, sums)}"


def _render_table(header: Sequence[str], rows: Sequence[Sequence[str]], sums: Sequence[bool] = ()) -> str:
    """The first column left, the others, numbers, right."""
    head = "".join(f"<th{' class=n' if i else ''}>{html.escape(name)}</th>" for i, name in enumerate(header))
    body = []
    for i, row in enumerate(rows):
        cells = "".join(f"<td{' class=n' if j else ''}>{html.escape(cell)}</td>" for j, cell in enumerate(row))
        body.append(f"<tr{' class=sum' if sums and sums[i] else ''}>{cells}</tr>")
    return f"<div class='scroll'><table><tr>{head}</tr>{''.join(body)}</table></div>"


def _render_misses(predictions: Predictions, head: str, depth: int, say: Say) -> str:
    misses = compute_answer_misses(predictions, head, depth)
    header = [say("text"), say("gold"), say("predicted"), say("metric.token_f1")]
    rows = [
        [row.text, format_cell("span", row.gold), format_cell("span", row.predicted), f"{row.token_f1:.3f}"]
        for row in misses.itertuples()
    ]
    return f"<h4>{html.escape(say('worst_answers'))}</h4>{_render_table(header, rows)}"


def _render_figure(figure: go.Figure) -> str:
    return figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False})


def _render_examples(predictions: Predictions, examples: pd.DataFrame, say: Say) -> str:
    shown = examples.head(MAX_EXAMPLES)
    colours = {head: choose_tag_colours(info.label_space) for head, info in predictions.heads.items()}
    header = [say("row"), say("text")]
    for head, info in predictions.heads.items():
        header += [f"{head} · {say('gold')}", *(f"{head} · {say('depth', depth=d)}" for d in info.depths)]
    rows = [_render_example(predictions, example, colours) for example in shown.to_dict("records")]
    some = len(shown) < len(examples)
    note = say("rows_shown", shown=len(shown), rows=len(examples)) if some else say("rows", rows=len(examples))
    names = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    return (
        f"<h2>{html.escape(say('examples'))}</h2><p class='note'>{html.escape(note)}</p>"
        f"<div class='scroll'><table><tr>{names}</tr>{''.join(rows)}</table></div>"
    )


def _render_example(predictions: Predictions, example: dict, colours: dict[str, dict[str, str]]) -> str:
    text = str(example["text"]) + (f" ⟂ {example['pair']}" if example.get("pair") else "")
    cells = [f"<td class=n>{int(example['row'])}</td><td class=text>{html.escape(text)}</td>"]
    tokens = example.get("tokens")
    for head, info in predictions.heads.items():
        gold = example[f"gold:{head}"]

        def render(cell, gold=None, kind=info.kind, head=head):
            if kind == "tagging" and cell is not None and tokens:
                return render_spans(tokens, cell, colours[head], gold)
            return html.escape(format_cell(kind, cell))

        tags = " tags" if info.kind == "tagging" else ""
        cells.append(f"<td class='{tags}'>{render(gold)}</td>")
        for depth in info.depths:
            key = f"{head}@{depth}"
            confidence = example[f"conf:{key}"]
            sure = f" <span class=note>{confidence:.0%}</span>" if confidence == confidence else ""
            if info.kind == "regression":
                distance = format_residual(example[f"residual:{key}"])
                sure = "" if distance == MISSING else f" <span class=note>({distance})</span>"
            wrong = "wrong" if example[f"wrong:{key}"] else ""
            cells.append(f"<td class='{wrong}{tags}'>{render(example[f'pred:{key}'], gold)}{sure}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def format_residual(residual: float | None) -> str:
    """With its sign: +0.12."""
    if residual is None or residual != residual:
        return MISSING
    return ("+" if residual >= 0 else "−") + format_number(abs(residual))
