"""What the store makes of workers that died."""

from __future__ import annotations

import pytest

from chain_core.config import resolve_config
from chain_core.services.store.deaths import describe_death
from chain_core.services.store.store import Run, Store

KILLED = describe_death(-9)


def claim(store: Store) -> Run:
    run = store.claim_run({"pid": 1})
    assert run is not None
    return run


@pytest.fixture
def run(store: Store) -> Run:
    store.add_run(resolve_config({"data": {"train": "x"}}))
    return claim(store)


def test_a_run_that_waits_for_its_next_attempt_says_why(store: Store, run: Run) -> None:
    assert store.bury_worker(run.id, run.claim, KILLED, 12) == "queued"
    waiting = store.get_run(run.id)
    params = {"status": "SIGKILL", "step": 12, "attempt": 2}
    assert waiting.error == {"code": "worker_killed", "params": params, "traceback": ""}
    assert waiting.deaths == ({"code": "worker_killed", "params": params, "step": 12},)
    assert claim(store).error is None


@pytest.mark.parametrize(("control", "state"), [("pause", "paused"), ("cancel", "cancelled"), ("stop", "queued")])
def test_what_was_asked_of_the_worker_is_done_without_it(store: Store, run: Run, control: str, state: str) -> None:
    getattr(store, f"request_{control}")(run.id)
    assert store.bury_worker(run.id, run.claim, KILLED, 12) == state


def test_three_deaths_at_one_step_are_enough(store: Store, run: Run) -> None:
    for step, state in ((None, "queued"), (None, "queued"), (4, "queued"), (4, "queued"), (4, "failed")):
        assert store.bury_worker(run.id, run.claim, KILLED, step) == state
        if state == "queued":
            run = claim(store)
    error = store.get_run(run.id).error
    assert error is not None
    assert (error["code"], error["params"]) == ("workers_died", {"times": 3, "step": 4, "status": "SIGKILL"})
    assert store.request_retry(run.id) == "queued"
    assert store.get_run(run.id).deaths == ()


def test_a_run_is_not_to_blame_where_its_server_died_too(store: Store, run: Run) -> None:
    for _ in range(5):
        assert store.bury_worker(run.id, run.claim, {"code": "server_gone", "params": {}}, None) == "queued"
        run = claim(store)


def test_of_two_servers_one_counts_a_death(store: Store, run: Run) -> None:
    assert store.bury_worker(run.id, run.claim, KILLED, None) == "queued"
    assert store.bury_worker(run.id, run.claim, KILLED, None) is None
    assert len(store.get_run(run.id).deaths) == 1


def test_a_cancelled_run_whose_worker_dies_is_cancelled_even_the_third_time(store: Store, run: Run) -> None:
    for _ in range(2):
        store.bury_worker(run.id, run.claim, KILLED, None)
        run = claim(store)
    store.request_cancel(run.id)
    assert store.bury_worker(run.id, run.claim, KILLED, None) == "cancelled"
