"""Pieces of HTML: tables, figures, figures in words."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from tests.benchmarks.results import Spread

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
STYLE = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1320px;padding:0 1.25rem;
 color:#1f2933;background:#fff}
h1,h2,h3{line-height:1.25}h2{margin-top:3rem;border-bottom:2px solid #d5dbe1}h3{margin-top:2rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.9em;margin:.75rem 0}
th,td{padding:.3rem .6rem;border-bottom:1px solid #e3e8ed;text-align:left;vertical-align:top}
th{border-bottom:2px solid #c6ced6;vertical-align:bottom}td.n,th.n{text-align:right}td.n{white-space:nowrap}
small{color:#617180}.better{color:#1e7a4a;font-weight:600}.worse{color:#b3362b;font-weight:600}.note{color:#52606d;max-width:60rem}
li.better,li.worse{font-weight:400}td:first-child{min-width:11rem}
tr.axis td{background:#f3f6f8;font-weight:600}b.top{color:#0b4f7d}
"""


def format_spread(spread: Spread | None, form: str, best: float | None = None) -> str:
    if spread is None:
        return "–"
    middle = form.format(spread.median)
    if best is not None and spread.median >= best:
        middle = f"<b class=top>{middle}</b>"
    if len(spread.values) < 2 or form.format(spread.low) == form.format(spread.high):
        return middle
    return f"{middle}<br><small>[{form.format(spread.low)} – {form.format(spread.high)}]</small>"


def mark(text: str, good: bool) -> str:
    return f"<span class='{'better' if good else 'worse'}'>{text}</span>"


def render_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Cells are HTML; the first `left` columns are words, the others numbers. A row of one cell is a heading."""
    head = "".join(f"<th{'' if i < left else ' class=n'}>{html.escape(name)}</th>" for i, name in enumerate(header))
    body = []
    for row in rows:
        cells = "".join(f"<td{'' if i < left else ' class=n'}>{cell}</td>" for i, cell in enumerate(row))
        body.append(f"<tr{' class=axis' if not any(row[1:]) else ''}>{cells}</tr>")
    return f"<div class='scroll'><table><tr>{head}</tr>{''.join(body)}</table></div>"


def render_figure(figure: Any) -> str:
    return figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False, "responsive": True})
