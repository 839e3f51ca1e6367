"""Which report is looked at: a run (`?run=ID`) and one of its splits, read once per file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from chain_core.reports.examples import compute_examples
from chain_core.reports.page import say_split
from chain_core.reports.predictions import Predictions, load_predictions
from chain_core.reports.wording import Say, build_say
from chain_core.services.store.records import Run
from chain_core.ui.backend import get_store
from chain_core.ui.draft import get_draft
from chain_core.ui.language import get_language, t
from chain_core.ui.runs.list import LISTED, choose_run
from chain_core.ui.runs.text import format_time
from chain_core.ui.shell import go_to, guard, show_empty

SPLITS = ("test", "validation")
"""In the order in which they are offered; any other follows."""


@dataclass(frozen=True)
class Source:
    """One split's file of a run; `stamp` (its time of change) and `path` key what is computed from it."""

    run: Run
    split: str
    path: str
    stamp: int

    @property
    def predictions(self) -> Predictions:
        return load_file(self.path, self.stamp)

    @property
    def examples(self) -> pd.DataFrame:
        return load_examples(self.path, self.stamp)

    @property
    def key(self) -> str:
        """For widgets that belong to this file."""
        return f"report_{self.run.id}_{self.split}"


def get_say() -> Say:
    """The report's sentences in this session's language, also for work outside of the session."""
    return build_say(get_language())


def list_reports() -> list[Run]:
    """Runs with saved predictions, the newest first."""
    runs = get_store().list_runs(LISTED, ("finished", "stopped"))
    return [run for run in runs if find_splits(run)]


def find_splits(run: Run) -> dict[str, Path]:
    """Split -> file of a run's predictions, the split that counts most first."""
    found = {path.stem: path for path in sorted((run.path / "predictions").glob("*.parquet"))}
    order = [split for split in SPLITS if split in found]
    return {split: found[split] for split in [*order, *(split for split in found if split not in order)]}


def choose_source() -> Source:
    """The run and split that the person looks at; where no run has a report, what to do instead."""
    runs = guard(list_reports)
    if not runs:
        show_empty("report", "chain") if get_draft() else show_empty("report.start", "home")
    chosen = choose_run(runs, missing="run_no_report")
    left, middle, right = st.columns([5, 3, 4], vertical_alignment="bottom")
    with left:
        _pick_run(runs, chosen)
    with middle:
        split, path = _pick_split(chosen)
    with right, st.container(horizontal=True, horizontal_alignment="right"):
        if st.button(t("report.to_run"), icon=":material/monitoring:", key="report_to_run"):
            go_to("runs", run=chosen.id)
        if st.button(t("report.to_predict"), icon=":material/chat:", key="report_to_predict"):
            go_to("predict", run=chosen.id)
    source = Source(chosen, split, str(path), path.stat().st_mtime_ns)
    guard(lambda: source.predictions)
    return source


def _pick_run(runs: Sequence[Run], chosen: Run) -> None:
    named = {run.id: f"{run.name} · {format_time(run.created)}" for run in runs}
    ids = list(named)
    # The key holds the chosen run, so that the address, not an older choice, decides what is shown.
    picked = st.selectbox(
        t("report.choose_run"),
        ids,
        index=ids.index(chosen.id),
        format_func=named.__getitem__,
        key=f"report_run_{chosen.id}",
    )
    if picked and picked != chosen.id:
        st.query_params["run"] = picked
        st.rerun()


def _pick_split(run: Run) -> tuple[str, Path]:
    splits = find_splits(run)
    say = get_say()
    picked = st.segmented_control(
        t("report.choose_split"),
        list(splits),
        default=next(iter(splits)),
        required=True,
        format_func={split: say_split(split, say) for split in splits}.__getitem__,
        key=f"report_split_{run.id}",
    )
    split = picked or next(iter(splits))
    return split, splits[split]


# Shared by all sessions and never changed, so nothing is copied: a test split may hold 100,000 rows.
@st.cache_resource(show_spinner=False, max_entries=8)
def load_file(path: str, stamp: int) -> Predictions:
    """One split's predictions. Raises RunError."""
    return load_predictions(Path(path))


@st.cache_resource(show_spinner=False, max_entries=8)
def load_examples(path: str, stamp: int) -> pd.DataFrame:
    """`compute_examples` of a file."""
    return compute_examples(load_file(path, stamp))
