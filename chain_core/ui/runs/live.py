"""What changes while a run goes on: progress, curves, validation figures. Polls only until the run has ended."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from chain_core.errors import ChainError
from chain_core.services.store.curves import compute_time_left
from chain_core.services.store.records import BUSY, Run
from chain_core.ui.backend import get_store
from chain_core.ui.language import t
from chain_core.ui.runs.curves import (
    LATEST_EPOCHS,
    build_loss_chart,
    build_loss_frame,
    build_validation_frame,
    find_heads,
)
from chain_core.ui.runs.log import show_log
from chain_core.ui.runs.text import explain_note, format_duration, format_figure, name_metric
from chain_core.ui.runs.watch import show_compared
from chain_core.ui.shell import escape_markdown

EVERY_SECONDS = 1.0
VIEWS = ("heads", "curves", "log")
VIEW = "runs_view"
MOST_COLUMNS = 3


def show_live(run: Run, compared: Sequence[Run] = ()) -> None:
    """Progress, and what there is to watch, drawn again each second while one of the runs is active."""
    show_view = st.segmented_control(
        t("runs.view"), VIEWS, key=VIEW, default=VIEWS[0], required=True, persist_state="session",
        format_func=lambda view: t(f"runs.view_{view}"), label_visibility="collapsed",
    )  # fmt: skip
    every = EVERY_SECONDS if any(one.active for one in (run, *compared)) else None
    st.fragment(_show, run_every=every)(run.id, run.state, [one.id for one in compared], show_view or VIEWS[0])


def _show(run_id: str, shown_state: str, compared: Sequence[str], view: str) -> None:
    try:
        run = get_store().get_run(run_id)
        others = [get_store().get_run(other) for other in compared]
    except ChainError:
        st.rerun()  # deleted in another tab: the page chooses another one
    if run.state != shown_state:
        st.rerun()  # buttons and links change too
    show_progress(run)
    if view == "curves":
        show_compared([run, *others])
    elif view == "log":
        show_log(run)
    else:
        show_curves(run)
        show_notes(run)


def show_progress(run: Run) -> None:
    """The phase, how far it is, the time left; nothing once the run has ended."""
    if run.state == "queued":
        st.caption(t("runs.waiting"))
    if run.state not in BUSY:
        return
    progress = run.progress
    phase = progress.get("phase")
    if not phase:
        st.progress(0.0, text=t("runs.starting"))
        return
    done, total = progress.get("done") or 0, progress.get("total") or 0
    parts = [t(f"phases.{phase}")]
    if phase == "training" and progress.get("epochs"):
        epoch = min(int(progress.get("epoch") or 0) + 1, progress["epochs"])
        parts.append(t("runs.epoch_of", epoch=epoch, epochs=progress["epochs"]))
    if phase == "training" and progress.get("stage"):
        parts.append(t("runs.in_stage", name=escape_markdown(str(progress["stage"]))))
    left = compute_time_left(progress)
    if left is not None:
        parts.append(t("runs.time_left", time=format_duration(left)))
    if phase == "training" and progress.get("rows_per_second"):
        parts.append(t("runs.rows_per_second", rows=round(progress["rows_per_second"])))
    share = min(1.0, done / total) if total else 0.0
    st.progress(share, text=" · ".join(parts))


def show_curves(run: Run) -> None:
    """For each head its losses and validation figures: side by side, or in tabs where there are many."""
    losses = [name for name in get_store().list_series(run.id) if name.endswith("/loss")]
    curves = get_store().read_curves(run.id, series=losses)
    heads = find_heads(curves)
    if not heads:
        return
    epochs = get_store().read_events(run.id, kinds=("epoch",), last=LATEST_EPOCHS)
    stages = get_store().read_events(run.id, kinds=("stage",))
    names = [escape_markdown(head) for head in heads]
    many = len(heads) > MOST_COLUMNS
    places: Sequence[DeltaGenerator] = st.tabs(names) if many else st.columns(len(heads))
    for place, head, name in zip(places, heads, names, strict=True):
        with place:
            if not many:
                st.markdown(f"**{name}**")
            splits = {"train": t("runs.train"), "validation": t("runs.validation")}
            _show_losses(build_loss_frame(curves, head, splits, stages))
            _show_figures(build_validation_frame(epochs, head, _name_column, stages))


def _show_losses(frame: pd.DataFrame) -> None:
    titles = {name: t(f"runs.{name}") for name in ("epoch", "loss", "depth", "split")}
    chart = build_loss_chart(t("runs.train"), t("runs.validation"), titles)
    st.vega_lite_chart(frame, chart, height=300)


def _show_figures(frame: pd.DataFrame) -> None:
    if frame.empty:
        st.caption(t("runs.no_epoch_yet"))
        return
    figures = frame.rename(columns={"epoch": t("runs.epoch"), "stage": t("runs.stage")})
    for column in figures.columns[2 if "stage" in frame else 1 :]:
        figures[column] = figures[column].map(format_figure)
    st.dataframe(figures, hide_index=True, height=min(38 + 35 * len(figures), 215))


def _name_column(metric: str, depth: int) -> str:
    return t("runs.metric_at", metric=name_metric(metric), depth=depth)


def show_notes(run: Run) -> None:
    """What the run has to say about its data and settings."""
    notes = get_store().read_events(run.id, kinds=("note",))
    if notes:
        st.info("  \n".join(escape_markdown(explain_note(note)) for note in notes), icon=":material/info:")
