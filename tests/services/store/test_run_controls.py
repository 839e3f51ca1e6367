"""Stop, pause, resume, cancel, retry: what they make of a run in any state, and in any order."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain_core.config import resolve_config
from chain_core.errors import RunError
from chain_core.services.store.records import ACTIVE, BUSY, ENDED, STATES, Run
from chain_core.services.store.run_states import AFTER_CONTROL, CONTROLS, apply_control
from chain_core.services.store.store import Store

CONFIG = resolve_config({"data": {"train": "train.csv"}})
SERVER = {"host": "here", "boot": "b", "pid": 1, "ticks": 5}


def claim(store: Store) -> Run:
    run = store.claim_run(SERVER)
    assert run is not None
    return run


def bring(store: Store, state: str) -> Run:
    """A run that is in this state, after a worker had it unless it is queued."""
    store.add_run(CONFIG)
    if state == "queued":
        return store.list_queue()[0]
    run = claim(store)
    if state in ("stopping", "pausing"):
        getattr(store, "request_stop" if state == "stopping" else "request_pause")(run.id)
    elif state == "paused":
        store.request_pause(run.id)
        store.finish_run(run.id, "paused", claim=run.claim)
    elif state in ENDED:
        store.finish_run(run.id, state, {"code": "crash", "params": {}}, run.claim)
    return store.get_run(run.id)


@pytest.mark.parametrize(("state", "control"), product(STATES, CONTROLS))
def test_every_control_in_every_state(store: Store, state: str, control: str) -> None:
    run = bring(store, state)
    assert run.state == state
    expected = apply_control(state, control, run.control, run.attempt > 0)
    assert getattr(store, f"request_{control}")(run.id) == expected[0]
    after = store.get_run(run.id)
    assert (after.state, after.control) == expected
    if (state, control) not in AFTER_CONTROL:
        assert after == run, "nothing else changes either"
    if after.state == "queued":
        assert (after.claim, after.finished, after.error) == (None, None, None)
        assert claim(store).state == ("stopping" if after.control == "stop" else "running")


def test_the_table_speaks_of_known_states() -> None:
    for (state, control), (after, asked) in AFTER_CONTROL.items():
        assert {state, after} <= set(STATES)
        assert control in CONTROLS
        assert asked in ("", "stop", "pause", "cancel")


def test_what_never_began_ends_at_once(store: Store) -> None:
    first, second, third = (store.add_run(CONFIG) for _ in range(3))
    assert store.request_stop(first) == "stopped"
    assert store.request_pause(second) == "paused"
    assert store.request_stop(second) == "stopped"
    assert store.request_cancel(third) == "cancelled"
    assert store.claim_run(SERVER) is None
    assert all(run.finished is not None for run in store.list_runs())


def test_a_worker_hears_what_is_asked(store: Store) -> None:
    run = bring(store, "running")
    assert store.read_control(run.id, run.claim) == ""
    assert store.request_pause(run.id) == "pausing"
    assert Store(store.url).read_control(run.id, run.claim) == "pause"
    assert store.request_resume(run.id) == "running"
    assert store.read_control(run.id, run.claim) == ""
    assert store.request_stop(run.id) == "stopping"
    assert store.read_control(run.id, run.claim) == "stop"
    assert store.request_pause(run.id) == "stopping", "a stop is not taken back by a late pause"
    assert store.request_cancel(run.id) == "stopping"
    assert store.read_control(run.id, run.claim) == "cancel"
    assert store.read_control("nothing") == "cancel"


@pytest.mark.parametrize(
    ("controls", "said", "state"),
    [
        (("pause",), "paused", "paused"),
        (("pause", "resume"), "paused", "queued"),
        (("pause", "cancel"), "paused", "cancelled"),
        (("pause", "stop"), "paused", "queued"),
        (("pause",), "finished", "finished"),
        (("stop",), "stopped", "stopped"),
        (("cancel",), "failed", "cancelled"),
        (("stop", "cancel"), "cancelled", "cancelled"),
        ((), "paused", "queued"),
    ],
)
def test_the_last_word_counts(store: Store, controls: tuple[str, ...], said: str, state: str) -> None:
    run = bring(store, "running")
    for control in controls:
        getattr(store, f"request_{control}")(run.id)
    assert store.finish_run(run.id, said, {"code": "crash", "params": {}}, run.claim)
    after = store.get_run(run.id)
    assert after.state == state
    assert (after.error is None) == (state != "failed")
    if controls == ("pause", "stop"):
        assert claim(store).state == "stopping", "a worker writes the report that was asked for"


@pytest.mark.parametrize(
    ("control", "state"), [("", "queued"), ("stop", "queued"), ("pause", "paused"), ("cancel", "cancelled")]
)
def test_a_worker_that_went_away_leaves_what_was_asked(store: Store, control: str, state: str) -> None:
    run = bring(store, "running")
    if control:
        getattr(store, f"request_{control}")(run.id)
    assert store.requeue_run(run.id, run.claim) == state
    assert store.get_run(run.id).control == ("stop" if control == "stop" else "")


def test_resumed_runs_go_first_and_retried_ones_last(store: Store) -> None:
    paused, failed = bring(store, "paused"), bring(store, "failed")
    waiting = [store.add_run(CONFIG) for _ in range(2)]
    assert store.request_retry(failed.id) == "queued"
    assert store.request_resume(paused.id) == "queued"
    assert [run.id for run in store.list_queue()] == [paused.id, *waiting, failed.id]
    again = store.get_run(failed.id)
    assert (again.error, again.finished, again.attempt) == (None, None, 1)
    assert claim(store).attempt == 2


def test_unknown_runs_are_said(store: Store) -> None:
    for control in CONTROLS:
        with pytest.raises(RunError) as caught:
            getattr(store, f"request_{control}")("nothing")
        assert caught.value.code == "run_unknown"


ACTIONS = st.sampled_from(
    [*CONTROLS, "claim", "take", "requeue", "beat", "delete", "restore", "up", "first",
     *(f"say {state}" for state in ("finished", "stopped", "paused", "cancelled", "failed"))]
)  # fmt: skip


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(ACTIONS, st.integers(0, 1)), max_size=30))
def test_no_sequence_leads_nowhere(actions: list[tuple[str, int]]) -> None:
    """Two runs, and anything that users, servers and workers, late ones too, may do to them."""
    store = Store("sqlite://")
    ids = [store.add_run(CONFIG) for _ in range(2)]
    claims: dict[str, str | None] = dict.fromkeys(ids)
    for action, number in actions:
        run_id = ids[number]
        _act(store, action, run_id, claims)
        for run in map(store.get_run, ids):
            assert run.state in STATES
            assert (run.finished is not None) == (run.state in ENDED)
            assert (run.claim is not None and run.owner is not None) or run.state in ("queued", "paused", *ENDED)
            assert run.control in {"stopping": ("stop", "cancel"), "pausing": ("pause",), "queued": ("", "stop")}.get(
                run.state, ("",)
            )
            assert not (run.state in BUSY and run.deleted)
        assert len({run.position for run in store.list_queue()}) == len(store.list_queue())
    for run_id in ids:  # whatever happened, it can be brought to an end
        store.restore_run(run_id)
        store.request_cancel(run_id)
        store.requeue_run(run_id, store.get_run(run_id).claim)
        assert store.get_run(run_id).state not in (*ACTIVE, "paused")
    store.close()


def _act(store: Store, action: str, run_id: str, claims: dict[str, str | None]) -> None:
    token = claims[run_id] or "none yet"
    if action in CONTROLS:
        getattr(store, f"request_{action}")(run_id)
    elif action == "claim":
        if run := store.claim_run(SERVER):
            assert run.state in ("running", "stopping")
            claims[run.id] = run.claim
    elif action == "take":
        store.take_run(run_id, token, SERVER)
    elif action == "requeue":
        store.requeue_run(run_id, token)
    elif action == "beat":
        store.beat(run_id, token)
    elif action == "restore":
        store.restore_run(run_id)
    elif action in ("up", "first"):
        store.move_run(run_id, action)
    else:
        _write(store, action, run_id, token)


def _write(store: Store, action: str, run_id: str, token: str) -> None:
    try:
        if action == "delete":
            store.delete_run(run_id)
        else:
            store.finish_run(run_id, action.removeprefix("say "), claim=token)
    except RunError as error:
        if error.code not in ("run_busy", "run_lost"):
            raise
