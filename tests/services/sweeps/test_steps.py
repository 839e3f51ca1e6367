"""Sweeps in the store: queued a few at a time, pruned, paused, stopped, and never lost or doubled."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from chain_core.config import resolve_config
from chain_core.errors import RunError
from chain_core.paths import PROJECT
from chain_core.services.store.store import Run, Store
from chain_core.services.sweeps.axes import list_combinations, parse_axis
from chain_core.services.sweeps.steps import (
    AHEAD,
    advance_sweep,
    advance_sweeps,
    control_sweep,
    extend_sweep,
    start_sweep,
)
from chain_core.services.sweeps.sweep import Sweep
from chain_core.services.sweeps.trials import MOST_NAME, read_sweep, rename_sweep
from chain_core.services.workers.jobs import perform_run
from chain_core.services.workers.supervisor import Supervisor
from tests.services.fakes import execute_run
from tests.services.waiting import wait_for

BASE = {"name": "b", "data": {"train": "rows.csv"}, "input": {"text": "t"}, "train": {"epochs": 2}}


def start(store: Store, *axes: str, kind: str = "grid", **keys: Any) -> str:
    base = {**BASE, **keys.pop("base", {})}
    sweep = Sweep("sweep", kind, base, ".", tuple(map(parse_axis, axes)), **keys)
    return start_sweep(store, sweep, list_combinations(sweep.axes) if kind == "grid" else None)


def work(store: Store, execute: Callable[..., Any] = execute_run) -> Run | None:
    """One run of the queue, as a worker does it."""
    run = store.claim_run({})
    if run:
        perform_run(store, run.id, execute, run.claim)
    return run


def exhaust(store: Store, execute: Callable[..., Any] = execute_run) -> None:
    advance_sweeps(store)
    while work(store, execute):
        advance_sweeps(store)


def list_depths(store: Store, group_id: str) -> list[int]:
    return [run.load_config().chain.depth for _, run in sorted(read_sweep(store, group_id).runs.items())]


def test_a_grid_is_queued_a_few_at_a_time_and_ends(store: Store) -> None:
    group_id = start(store, "chain.depth=0..6")
    assert store.list_queue() == [], "nothing is queued by saying so"
    advance_sweeps(store)
    assert len(store.list_queue()) == AHEAD["grid"]
    exhaust(store)
    state = read_sweep(store, group_id)
    assert list_depths(store, group_id) == list(range(7))
    assert (state.group.state, state.total, state.active) == ("finished", 7, False)
    assert {trial.state for trial in state.trials} == {"finished"}
    assert all(trial.score == trial.scores[-1][1] and len(trial.scores) == 2 for trial in state.trials)
    assert [run.name for run in state.runs.values()] == [f"sweep · depth {depth}" for depth in range(7)]
    advance_sweep(store, group_id)
    assert len(store.list_runs()) == 7


def test_a_new_name_is_that_of_its_runs_too(store: Store) -> None:
    group_id = start(store, "chain.depth=0..5")
    advance_sweeps(store)
    mine = read_sweep(store, group_id).runs[0].id
    store.rename_run(mine, "my own")
    assert rename_sweep(store, group_id, "  how\ndeep ") == "how deep"
    exhaust(store)
    state = read_sweep(store, group_id)
    assert (state.group.name, state.sweep.name) == ("how deep", "how deep")
    assert [run.name for run in state.runs.values()] == [
        "my own",
        *(f"how deep · depth {depth}" for depth in range(1, 6)),
    ]
    assert len(rename_sweep(store, group_id, "x" * 200)) == MOST_NAME
    with pytest.raises(RunError, match="name"):
        rename_sweep(store, group_id, " \n ")


def test_a_deleted_sweep_rests_until_it_is_brought_back(store: Store) -> None:
    group_id = start(store, "chain.depth=0..6")
    advance_sweeps(store)
    store.delete_group(group_id)
    exhaust(store)
    for ask in (read_sweep, advance_sweep, lambda *about: control_sweep(*about, "pause")):
        with pytest.raises(RunError) as caught:
            ask(store, group_id)
        assert (caught.value.code, caught.value.params) == ("group_deleted", {"group": "sweep"})
    store.restore_group(group_id)
    exhaust(store)
    assert list_depths(store, group_id) == list(range(7))


def test_a_run_that_somebody_waits_for_goes_first(store: Store) -> None:
    start(store, "chain.depth=0..6")
    advance_sweeps(store)
    later = store.add_run(resolve_config(BASE))
    assert store.list_queue()[0].id == later


def test_a_search_makes_as_many_trials_as_it_should_and_learns(store: Store) -> None:
    group_id = start(store, "train.learning_rate=1e-4..1e-1:log", kind="search", count=6, pruner="none")
    exhaust(store)
    state = read_sweep(store, group_id)
    assert (len(state.trials), len(state.runs), state.group.state) == (6, 6, "finished")
    rates = [run.load_config().train.learning_rate for run in state.runs.values()]
    assert sorted(rates) == sorted(trial.params["train.learning_rate"] for trial in state.trials)
    assert len(set(rates)) == 6
    extend_sweep(store, group_id, 2)
    exhaust(store)
    assert len(read_sweep(store, group_id).runs) == 8


def test_a_search_that_has_tried_everything_ends(store: Store) -> None:
    group_id = start(store, "chain.depth=0,1,2", kind="search", count=50)
    exhaust(store)
    state = read_sweep(store, group_id)
    assert (state.group.state, state.total) == ("finished", 3)
    assert sorted(list_depths(store, group_id)) == [0, 1, 2]


def test_a_setting_that_cannot_be_trained_is_remembered_and_the_search_goes_on(store: Store) -> None:
    base = {"heads": {"a": {"kind": "tagging", "column": "x", "crf": True}}, "input": {"tokens": "t"}}
    group_id = start(store, "heads.a.label_smoothing=0,0.1", "train.seed=0,1", kind="search", count=4, base=base)
    exhaust(store)
    state = read_sweep(store, group_id)
    assert sorted(state.problems) == sorted(set(range(4)) - set(state.runs))
    assert len(state.runs) == 2
    assert [trial.state for trial in state.trials].count("failed") == 2
    assert state.group.state == "finished"


def test_a_bad_run_is_pruned_its_report_stays_and_it_is_marked(store: Store) -> None:
    group_id = start(store, "train.seed=0..99", kind="search", count=7, base={"train": {"epochs": 6}})

    def execute(config, out, *, emit, read_control, **options):
        """The fake, but the sixth run scores badly and the sweep is looked at after each epoch."""
        bad = out.name.endswith("-005")

        def tell(event):
            if event["kind"] == "epoch":
                event = {**event, "score": event["score"] - 5 * bad}
            emit(event)
            if event["kind"] == "epoch":
                advance_sweeps(store)

        def control():
            run = store.get_run(out.name)
            return store.read_control(run.id, run.claim)

        return execute_run(config, out, emit=tell, read_control=control, **options)

    exhaust(store, execute)
    state = read_sweep(store, group_id)
    assert [trial.state for trial in state.trials] == ["finished"] * 5 + ["pruned", "finished"]
    pruned = state.runs[5]
    assert (pruned.state, pruned.has_report) == ("stopped", True)
    assert len(state.trials[5].scores) < 6


def test_whoever_died_between_the_mark_and_the_stop_is_made_good(store: Store) -> None:
    group_id = start(store, "train.seed=0..9", kind="search")
    advance_sweeps(store)
    run = store.claim_run({})
    assert run is not None
    store.mark_trial(group_id, 0, pruned=True)
    advance_sweeps(store)
    assert store.get_run(run.id).state == "stopping"


@pytest.mark.parametrize(("control", "state", "of_runs"), [
    ("pause", "paused", "paused"), ("stop", "stopped", "stopped"), ("cancel", "cancelled", "cancelled"),
])  # fmt: skip
def test_controls_reach_every_run_and_it_can_go_on(store: Store, control: str, state: str, of_runs: str) -> None:
    group_id = start(store, "chain.depth=0..6")
    advance_sweeps(store)
    work(store)
    running = store.claim_run({})
    assert running is not None
    assert store.take_run(running.id, running.claim or "", {"me": 1})
    assert control_sweep(store, group_id, control)
    assert not control_sweep(store, group_id, control), "it was asked before"
    asked = read_sweep(store, group_id)
    assert asked.group.state == {"pause": "pausing", "stop": "stopping", "cancel": "cancelling"}[control]
    assert asked.runs[1].control == control
    assert {asked.runs[number].state for number in (2, 3)} == {of_runs}
    store.finish_run(running.id, of_runs, claim=running.claim)
    advance_sweeps(store)
    assert read_sweep(store, group_id).group.state == state
    assert store.list_queue() == []
    advance_sweeps(store)
    assert len(read_sweep(store, group_id).runs) == 4, "nothing more is queued"

    assert control_sweep(store, group_id, "resume")
    exhaust(store)
    after = read_sweep(store, group_id)
    assert (len(after.runs), after.group.state) == (7, "finished")
    ended = {run.state for number, run in after.runs.items() if number in (1, 2, 3)}
    assert ended == ({"finished"} if control == "pause" else {of_runs})


def test_deleted_runs_neither_come_back_nor_hold_anything_up(store: Store) -> None:
    group_id = start(store, "chain.depth=0..5")
    advance_sweeps(store)
    first, second = (run.id for run in store.list_queue()[:2])
    for run_id in (first, second):
        store.delete_run(run_id)
    store.purge_runs([first])
    exhaust(store)
    state = read_sweep(store, group_id)
    assert state.group.state == "finished"
    assert sorted(state.runs) == [1, 2, 3, 4, 5]
    assert state.runs[1].state == "queued"
    assert len(store.list_runs()) == 4


def test_a_stop_waits_for_no_begun_run_that_was_deleted(store: Store) -> None:
    group_id = start(store, "chain.depth=0,1")
    advance_sweeps(store)
    run = store.claim_run({})
    assert run is not None
    store.request_pause(run.id)
    store.finish_run(run.id, "paused", claim=run.claim)
    store.delete_run(run.id)
    assert control_sweep(store, group_id, "stop")
    state = read_sweep(store, group_id)
    assert (state.group.state, state.active) == ("stopped", False)
    assert store.restore_run(run.id)
    back = store.get_run(run.id)
    assert (back.state, back.control) == ("queued", "stop"), "it reports on what it has, and trains no more"


def test_a_server_carries_a_sweep_through(store: Store, supervisor: Supervisor) -> None:
    group_id = start(store, "chain.depth=0..5", "train.seed=0,1")
    wait_for(lambda: store.get_group(group_id).state == "finished")
    assert [run.state for run in read_sweep(store, group_id).runs.values()] == ["finished"] * 12


DRIVE = """
import os, random, signal, sys, time
from chain_core.services.workers.jobs import perform_run
from chain_core.services.store.records import BUSY
from chain_core.services.store.store import Store
from chain_core.services.sweeps.steps import advance_sweeps
from tests.services.dying import die_before
import chain_core.services.sweeps.study, optuna

url, total, random = sys.argv[1], int(sys.argv[2]), random.Random(0)

def execute(config, out, *, emit, **_):
    for epoch in (1, 2):
        score = config.chain.depth / 10 + epoch / 100
        emit({"kind": "epoch", "epoch": epoch, "step": epoch, "score": score, "best": True, "validation": {}})

def work(left):
    '''A server: sweeps go on and runs are done; dead before a statement that chance has chosen.'''
    store = Store(url)
    die_before(store._engine, left)
    while any(group.state == "running" for group in store.list_groups()):
        advance_sweeps(store)
        run = store.claim_run({"pid": os.getpid()})
        if run:
            perform_run(store, run.id, execute, run.claim)
    os._exit(0)

kills, workers = 0, {}
end = time.monotonic() + 150
store = Store(url)
while time.monotonic() < end and any(group.state == "running" for group in store.list_groups()):
    while len(workers) < 3:
        fate = random.randint(1, 120)
        pid = os.fork() or work(fate)
        workers[pid] = fate
    ended, status = os.waitpid(-1, 0)
    del workers[ended]
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL), status
    kills += status != 0
    for run in store.list_runs(1000, BUSY):
        if (run.owner or {}).get("pid") == ended:
            store.requeue_run(run.id, run.claim)
for worker in workers:
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
print(kills)
"""


@pytest.mark.parametrize("kind", ["grid", "search"])
def test_servers_that_are_killed_at_any_statement_lose_and_double_nothing(database: str, kind: str) -> None:
    store = Store(database)
    group_id = start(store, "chain.depth=0..5", "train.seed=0..3", kind=kind, count=24)
    store.close()
    command = [sys.executable, "-c", DRIVE, database, "24"]
    driven = subprocess.run(command, cwd=PROJECT, text=True, stdout=subprocess.PIPE, timeout=200, check=True)
    assert int(driven.stdout) >= 8, "too few were killed to show anything"
    store = Store(database)
    state = read_sweep(store, group_id)
    assert state.group.state == "finished"
    settings = [(run.load_config().chain.depth, run.load_config().train.seed) for run in store.list_runs(100)]
    assert sorted(settings) == [(depth, seed) for depth in range(6) for seed in range(4)]
    assert {trial.state for trial in state.trials} <= {"finished", "pruned"}
    for trial in state.trials:
        config = state.runs[trial.number].load_config()
        assert (config.chain.depth, config.train.seed) == tuple(trial.params.values())
    store.close()
