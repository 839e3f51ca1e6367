"""What a run has told, as sentences, the newest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from chain_core.messages import load_catalogue
from chain_core.services.store.records import Run
from chain_core.ui.backend import get_store
from chain_core.ui.language import get_language, t
from chain_core.ui.runs.text import explain_error, explain_note, format_duration, format_figure
from chain_core.ui.shell import escape_markdown

SHOWN = 200
KINDS = {
    "course": ("phase", "stage", "resumed", "done"),
    "epochs": ("epoch",),
    "notes": ("note",),
    "checkpoints": ("checkpoint",),
    "steps": ("step",),
}
"""What the filter calls them -> kinds of events."""
_AT_FIRST = ("course", "epochs", "notes", "checkpoints")


def show_log(run: Run) -> None:
    """The latest events of the kinds that are wanted."""
    wanted = st.pills(
        t("runs.log_kinds"), list(KINDS), selection_mode="multi", default=_AT_FIRST, key="runs_log_kinds",
        format_func=lambda kind: t(f"runs.log_{kind}"), persist_state="session", label_visibility="collapsed",
    )  # fmt: skip
    kinds = [kind for name in wanted or () for kind in KINDS[name]]
    events = get_store().read_events(run.id, kinds=kinds, last=SHOWN + 1) if kinds else []
    lines = [_format_line(event) for event in reversed(events[-SHOWN:])]
    if run.error is not None:
        lines.insert(0, f":red[{escape_markdown(explain_error(run.error))}]")
    if not lines:
        st.caption(t("runs.log_empty"))
        return
    with st.container(height=420 if len(lines) > 12 else "content", border=True, key="runs_log"):
        st.markdown("  \n".join(lines))
    if len(events) > SHOWN:
        st.caption(t("runs.log_bounded", count=SHOWN))
    traceback = (run.error or {}).get("traceback")
    if traceback:
        with st.expander(t("runs.traceback")):
            st.code(traceback, language=None, height=300)


def _format_line(event: Mapping[str, Any]) -> str:
    seconds = event.get("seconds")
    when = "–" if seconds is None else format_duration(seconds)
    return f":gray[{escape_markdown(when)}] · {escape_markdown(explain_event(event))}"


def explain_event(event: Mapping[str, Any]) -> str:
    """One event's sentence; not escaped."""
    kind = event.get("kind")
    if kind == "note":
        return explain_note(dict(event))
    if kind == "phase":
        return t(f"phases.{event.get('phase')}")
    if kind == "stage":
        return t("runs.told_stage", name=event.get("name") or event.get("stage"))
    if kind == "epoch":
        key = "runs.told_epoch_best" if event.get("best") else "runs.told_epoch"
        score = format_figure(event.get("score"))
        told = t(key, epoch=event.get("epoch"), epochs=event.get("epochs") or "?", score=score)
        return f"{told} {part}" if (part := _explain_part(event)) else told
    if kind == "step":
        rows = round(event.get("rows_per_second") or 0)
        return t("runs.told_step", step=event.get("step"), loss=format_figure(event.get("loss")), rows=rows)
    if kind == "resumed":
        return t("runs.told_resumed", step=event["step"]) if event.get("step") else t("runs.told_restarted")
    key = f"runs.told_{kind}_{event.get('reason')}" if kind == "done" else f"runs.told_{kind}"
    return t(key, **event) if key in load_catalogue(get_language()) else str(kind)


def _explain_part(event: Mapping[str, Any]) -> str:
    """How much of the rows an epoch trained on, where it left some out."""
    drawn, planned = event.get("batches"), event.get("batches_planned")
    return t("runs.told_pruned", share=f"{drawn / planned:.0%}") if drawn and planned and drawn < planned else ""
