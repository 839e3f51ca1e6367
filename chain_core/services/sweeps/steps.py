"""How a sweep goes on: its next runs are queued, bad ones ended, what was asked of it carried out.

    running -> finished        pause: pausing -> paused        go on: resuming -> running
                               stop: stopping -> stopped       cancel: cancelling -> cancelled

`advance_sweeps` may be called by any number of servers, at any time, and be killed at any statement: each step
compares before it sets, and what was begun stands in the store for whoever comes next.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from chain_core.errors import ChainError, RunError
from chain_core.services.store.records import ACTIVE, Run
from chain_core.services.store.store import Store
from chain_core.services.sweeps.study import find_losers, suggest
from chain_core.services.sweeps.sweep import Sweep, build_config
from chain_core.services.sweeps.trials import MOVING, SweepState, find_group, list_sweep_runs, read_sweep

AHEAD = {"grid": 4, "search": 1}
"""Runs that wait in the queue. A search's are few: each is chosen by what is known when it is queued."""
CONTROLS = {
    "pause": (("running", "resuming"), "pausing"),
    "resume": (("paused", "pausing", "stopped", "cancelled"), "resuming"),
    "stop": (("running", "resuming", "pausing", "paused"), "stopping"),
    "cancel": (("running", "resuming", "pausing", "paused", "stopping"), "cancelling"),
}
"""What is asked -> the states in which that means something, and the one that follows."""
_FINGERPRINTS: dict[str, int] = {}
"""Sweep -> what its runs had told when the pruner last looked."""


def start_sweep(store: Store, sweep: Sweep, combinations: list[dict[str, Any]] | None = None) -> str:
    """The new sweep's id. `combinations`: the settings of a grid, in order."""
    trials = [{"params": params} for params in combinations or ()]
    return store.add_group(sweep.name, sweep.kind, {"sweep": sweep.to_json(), "trials": trials, "made": 0})


def control_sweep(store: Store, group_id: str, control: str) -> bool:
    """Pause, resume, stop or cancel all of a sweep; False where that means nothing now."""
    before, state = CONTROLS[control]
    changed = store.change_group(group_id, before, state)
    advance_sweep(store, group_id)
    return changed


def extend_sweep(store: Store, group_id: str, more: int) -> None:
    """Let a search make some more trials."""
    state = read_sweep(store, group_id)
    store.set_group_count(group_id, len(state.trials) + more)
    store.change_group(group_id, ("finished", "stopped", "cancelled", "paused"), "resuming")
    advance_sweep(store, group_id)


def advance_sweeps(store: Store) -> None:
    """One look at every sweep that goes on."""
    for group in store.list_groups(100, MOVING):
        with suppress(ChainError):  # the store is away, or the sweep is: the next look may find it
            advance_sweep(store, group.id)


def advance_sweep(store: Store, group_id: str) -> None:
    """Do what is to be done for one sweep. Raises RunError where there is none, it is deleted, or the store cannot be
    used."""
    state = find_group(store, group_id).state
    if state == "resuming":
        _resume(store, group_id)
    elif state in _SETTLING:
        _settle(store, group_id, state)
    elif state == "running":
        _prune(store, group_id)
        _fill(store, group_id)
        _finish(store, group_id)


_SETTLING = {
    "pausing": ("pause", ("queued", "running"), "paused"),
    "stopping": ("stop", (*ACTIVE, "paused"), "stopped"),
    "cancelling": ("cancel", (*ACTIVE, "paused"), "cancelled"),
}
"""State of a group -> what its runs are asked, in which states, and the group's state once none is left in them."""


def _settle(store: Store, group_id: str, state: str) -> None:
    control, asked, after = _SETTLING[state]
    ask = {"pause": store.request_pause, "stop": store.request_stop, "cancel": store.request_cancel}[control]
    for run in list_sweep_runs(store, group_id):  # deleted ones too: they may be brought back
        if run.state in asked and run.control not in (control, "cancel"):
            with suppress(RunError):  # deleted meanwhile
                ask(run.id)
    waits_for = (*asked, "pausing") if control == "pause" else asked
    if not store.count_runs(waits_for, group_id=group_id):  # nobody waits for deleted ones
        store.change_group(group_id, (state,), after)


def _resume(store: Store, group_id: str) -> None:
    for run in list_sweep_runs(store, group_id):
        if run.state in ("paused", "pausing") and run.deleted is None:
            with suppress(RunError):
                store.request_resume(run.id)
    store.change_group(group_id, ("resuming",), "running")


def _prune(store: Store, group_id: str) -> None:
    """Stop the runs that the pruner has marked, also those that somebody marked and died."""
    state = read_sweep(store, group_id)
    if state.sweep.kind != "search" or state.sweep.pruner == "none":
        return
    entries = state.group.spec["trials"]
    told = hash(tuple((trial.number, trial.state, trial.scores) for trial in state.trials))
    losers = find_losers(state.sweep, state.trials) if _FINGERPRINTS.get(group_id) != told else []
    _FINGERPRINTS[group_id] = told
    for number, run in state.runs.items():
        if run.state != "running" or not (number in losers or entries[number].get("pruned")):
            continue
        if not entries[number].get("pruned"):
            store.mark_trial(group_id, number, pruned=True)
        store.request_stop(run.id)


def _fill(store: Store, group_id: str) -> None:
    """Queue runs until enough wait."""
    while True:
        state = read_sweep(store, group_id)
        waiting = sum(_waits(run) for run in state.runs.values())
        number = len(state.trials)
        if state.group.state != "running" or waiting >= AHEAD[state.sweep.kind] or number >= state.total:
            return
        params = _choose(state)
        if params is None:  # a search that has tried everything
            store.set_group_count(group_id, number)
            return
        trial: dict[str, Any] = {"params": params}
        config = None
        try:
            config = build_config(state.sweep, params)
        except ChainError as error:
            trial["problem"] = {"code": error.code, "params": {key: str(value) for key, value in error.params.items()}}
        if not store.add_trial(group_id, number, trial, config, Path(state.sweep.folder)):
            return  # another server was quicker, or the sweep was paused


def _waits(run: Run) -> bool:
    return run.state == "queued" and run.deleted is None


def _choose(state: SweepState) -> dict[str, Any] | None:
    if state.sweep.kind == "grid":
        return state.group.spec["trials"][len(state.trials)]["params"]
    return suggest(state.sweep, state.trials)


def _finish(store: Store, group_id: str) -> None:
    state = read_sweep(store, group_id)
    if len(state.trials) >= state.total and not state.has_run(*ACTIVE, "paused"):
        store.change_group(group_id, ("running",), "finished")
        _FINGERPRINTS.pop(group_id, None)
