"""Names and numbers of a report as people read them, in one language.

`Say` gives the sentence under `report.<key>`; figures and exports get one, so that they need no browser session.
Answers read as on the Predict page: `flight`, `a, b`, `Boston (city)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chain_core.messages import render
from chain_core.reports.metrics import is_missing

Say = Callable[..., str]
NOT_A_SHARE = frozenset({"r2", "mae", "rmse", "spearman", "loss"})
MISSING = "–"


def build_say(language: str) -> Say:
    """One of messages.LANGUAGES -> key, fields -> sentence."""

    def say(key: str, /, **params: object) -> str:
        if key.startswith("metric."):
            return name_metric(key.removeprefix("metric."), language)
        return render(f"report.{key}", language, **params)

    return say


def name_metric(name: str, language: str) -> str:
    """A metric's name as a heading."""
    text = render(f"metrics.{name}", language)
    return text[:1].upper() + text[1:]


def format_metric(name: str, value: float | None) -> str:
    """A share as 0.972, any other figure with three significant digits."""
    if is_missing(value) or value is None:
        return MISSING
    return format_number(value) if name in NOT_A_SHARE else f"{value:.3f}"


def format_number(value: float) -> str:
    """Three or four significant digits, never eight: 0.734, 12.3, 1,234."""
    if value != 0 and not 1e-3 <= abs(value) < 1e9:
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def format_cell(kind: str, cell: Any, tokens: list[str] | None = None) -> str:
    """A gold or predicted cell: `a, b`; of answers `a / b`; of tags `words (type)` where the words are known."""
    if is_missing(cell):
        return MISSING
    if kind == "regression":
        return format_number(float(cell))
    if kind == "multilabel":
        return ", ".join(sorted(cell)) or "∅"
    if kind == "tagging":
        return _format_tags(cell, tokens)
    if kind == "span":
        return " / ".join([cell] if isinstance(cell, str) else cell) or "∅"
    return str(cell)


def _format_tags(tags: list[str], tokens: list[str] | None) -> str:
    from chain_core.reports.spans import build_spans, join_words

    if not tokens:
        return " ".join(tags)
    spans = [span for span in build_spans(tags[: len(tokens)]) if span.label]
    return ", ".join(f"{join_words(tokens[s.start : s.end])} ({s.label})" for s in spans) or MISSING
