"""A sweep in the store: its group, and the trials that its runs are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chain_core.errors import RunError
from chain_core.services.store.groups import build_trial_id
from chain_core.services.store.records import ACTIVE, BUSY, Group, Run
from chain_core.services.store.run_entries import clean_name
from chain_core.services.store.store import Store
from chain_core.services.sweeps.sweep import MOST_RUNS, Sweep, Trial, name_trial

_ENDED = {"finished": "finished", "failed": "failed", "cancelled": "failed"}


@dataclass(frozen=True)
class SweepState:
    """All that the store knows of one sweep at one moment."""

    group: Group
    sweep: Sweep
    total: int
    """Runs that it comes to, those that cannot be trained included."""
    trials: tuple[Trial, ...]
    """Those that were queued, in order."""
    runs: Mapping[int, Run]
    """Number of a trial -> its run; none where it could not be trained, or the run was deleted for good."""
    problems: Mapping[int, dict[str, Any]]
    """Number of a trial that could not be trained -> {"code", "params"}."""

    @property
    def active(self) -> bool:
        """Whether something may still change by itself."""
        return self.group.state in MOVING or self.has_run(*ACTIVE)

    def has_run(self, *states: str) -> bool:
        """Whether one of its runs is in one of these states; what was deleted waits for nothing."""
        return any(run.state in states and run.deleted is None for run in self.runs.values())


MOVING = ("running", "pausing", "resuming", "stopping", "cancelling")
"""States of a group in which there is something to do for it."""


MOST_NAME = 80
"""Characters, so that those of the runs have room for their settings."""


def find_group(store: Store, group_id: str) -> Group:
    """Raises RunError where there is no such sweep, or it is deleted."""
    group = store.get_group(group_id)
    if group.deleted is not None:
        raise RunError("group_deleted", group=group.name)
    return group


def read_sweep(store: Store, group_id: str) -> SweepState:
    """Raises RunError where there is no such sweep, or it is deleted."""
    group = find_group(store, group_id)
    runs = list_sweep_runs(store, group_id)
    return build_state(group, runs, store.read_scores(group_id))


def rename_sweep(store: Store, group_id: str, name: str) -> str:
    """The name as it is kept: cleaned and cut. Runs that are named after the sweep follow it. Raises RunError where
    nothing is left of the name, or there is no such sweep."""
    cleaned = clean_name(name)[:MOST_NAME].strip()
    if not cleaned:
        raise RunError("group_nameless")
    state = read_sweep(store, group_id)
    names = {}
    for number, run in state.runs.items():
        old, new = (clean_name(name_trial(word, state.trials[number].params)) for word in (state.sweep.name, cleaned))
        names[run.id] = (old, new)
    store.rename_group(group_id, cleaned, names)
    return cleaned


def list_sweep_runs(store: Store, group_id: str) -> list[Run]:
    """All of its runs, hidden ones too."""
    most = 2 * MOST_RUNS
    return store.list_runs(most, group_id=group_id) + store.list_runs(most, group_id=group_id, deleted=True)


def build_state(group: Group, runs: Sequence[Run], scores: Mapping[str, Sequence[tuple[int, float]]]) -> SweepState:
    """Pure."""
    sweep = Sweep.from_json(group.spec["sweep"])
    known = {run.id: run for run in runs}
    made = group.spec["trials"][: group.spec["made"]]
    by_number, trials = {}, []
    for number, entry in enumerate(made):
        run = known.get(build_trial_id(group.id, number))
        told = tuple(scores.get(run.id, ())) if run else ()
        if run is not None:
            by_number[number] = run
        trials.append(_build_trial(number, entry, run, told))
    total = len(group.spec["trials"]) if sweep.kind == "grid" else max(sweep.count, len(made))
    problems = {number: entry["problem"] for number, entry in enumerate(made) if "problem" in entry}
    return SweepState(group, sweep, total, tuple(trials), by_number, problems)


def _build_trial(
    number: int, entry: Mapping[str, Any], run: Run | None, scores: tuple[tuple[int, float], ...]
) -> Trial:
    score = run.progress.get("score") if run is not None else None
    return Trial(number, entry["params"], _name_state(entry, run, score), score, scores)


def _name_state(entry: Mapping[str, Any], run: Run | None, score: float | None) -> str:
    if run is None:
        return "failed"
    if run.state in BUSY:
        return "running"
    if run.state == "stopped":
        return "pruned" if entry.get("pruned") else "failed" if score is None else "finished"
    return _ENDED.get(run.state, "waiting")
