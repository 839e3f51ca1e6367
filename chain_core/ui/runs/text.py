"""A run in words: its state, times and figures."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from chain_core.errors import explain
from chain_core.messages import load_catalogue, render
from chain_core.services.store.records import Run
from chain_core.ui.language import get_language, t

Colour = Literal["blue", "green", "gray", "red", "orange"]
_BADGES: dict[str, tuple[Colour, str, str]] = {
    "queued": ("gray", ":material/hourglass_empty:", "◌"),
    "running": ("blue", ":material/play_arrow:", "▶"),
    "stopping": ("orange", ":material/stop:", "◼"),
    "pausing": ("orange", ":material/pause:", "‖"),
    "paused": ("gray", ":material/pause:", "‖"),
    "finished": ("green", ":material/check:", "✓"),
    "stopped": ("gray", ":material/stop:", "■"),
    "cancelling": ("orange", ":material/close:", "×"),
    "cancelled": ("gray", ":material/close:", "×"),
    "failed": ("red", ":material/error:", "✖"),
}


def get_shown_state(run: Run) -> str:
    """The run's state; of one that stops without a report, `cancelling`."""
    return "cancelling" if (run.state, run.control) == ("stopping", "cancel") else run.state


def show_badge(run: Run) -> None:
    """The run's state, coloured."""
    state = get_shown_state(run)
    colour, icon, _ = _BADGES[state]
    st.badge(t(f"runs.state_{state}"), icon=icon, color=colour)


def format_state(run: Run) -> str:
    """The run's state with a sign, for a table's cell."""
    state = get_shown_state(run)
    return f"{_BADGES[state][2]} {t(f'runs.state_{state}')}"


def format_duration(seconds: float) -> str:
    """`<1 s`, `8 s`, `1 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 1:
        return t("runs.under_a_second")
    if whole < 60:
        return t("runs.seconds", seconds=whole)
    if whole < 3600:
        return t("runs.minutes", minutes=whole // 60, seconds=whole % 60)
    return t("runs.hours", hours=whole // 3600, minutes=whole % 3600 // 60)


def compute_duration(run: Run) -> float | None:
    """Seconds of work so far, without pauses, by the worker's own clock; None where it has not begun."""
    if run.started is None:
        return None
    return run.progress.get("seconds") or 0.0


def format_time(seconds: float) -> str:
    """Seconds since 1970 as date and minute, where the reader is."""
    try:
        zone = ZoneInfo(st.context.timezone or "")
    except (ZoneInfoNotFoundError, ValueError):
        return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
    return datetime.fromtimestamp(seconds, UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M")


def format_score(run: Run) -> str:
    """Each head's main figure, or the best validation score while there is no report; "" before that."""
    heads = run.progress.get("summary", {}).get("heads", {})
    if heads:
        return " · ".join(f"{head} {format_figure(value)}" for head, (_, value) in heads.items())
    score = run.progress.get("score")
    return "" if score is None else f"{t('runs.validation')} {format_figure(score)}"


def format_figure(value: Any) -> str:
    """Three digits after the point; a dash for what could not be computed."""
    return "–" if value is None else f"{value:.3f}"


def name_metric(metric: str) -> str:
    """A metric's name in this session's language."""
    key = f"metrics.{metric}"
    return t(key) if key in load_catalogue(get_language()) else metric.replace("_", " ")


def explain_error(error: dict[str, Any]) -> str:
    """The sentence of what a run keeps of its error; not escaped."""
    return explain(error["code"], error.get("params", {}), get_language())


def explain_note(note: dict[str, Any]) -> str:
    """The sentence of a warning value; not escaped."""
    return render(f"notes.{note['code']}", get_language(), **note.get("params", {}))
