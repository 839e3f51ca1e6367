"""A worker of another host is judged by its beats and by no clock that anybody sets."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest

from chain_core.config import resolve_config
from chain_core.errors import RunError
from chain_core.services.store.records import Run
from chain_core.services.store.store import Store
from chain_core.services.workers.caretaker import Caretaker
from chain_core.services.workers.heartbeats import Heartbeats
from chain_core.storage.owners import get_identity

FOREIGN = {"host": "elsewhere", "boot": "b", "pid": 1, "ticks": 5}


@pytest.fixture
def run(store: Store) -> Run:
    store.add_run(resolve_config({"data": {"train": "x"}}))
    run = store.claim_run(FOREIGN)
    assert run is not None
    return run


def test_another_hosts_worker_lives_while_it_beats(store: Store, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 0.0)  # a clock that jumps
    now = [1000.0]
    beats = Heartbeats(patience=60, clock=lambda: now[0])
    assert run.claim
    assert store.take_run(run.id, run.claim, FOREIGN)
    for _ in range(5):
        assert beats.is_alive(store.get_run(run.id))
        now[0] += 59
        assert beats.is_alive(store.get_run(run.id))
        assert store.beat(run.id, run.claim)
        now[0] += 59
    assert beats.is_alive(store.get_run(run.id))
    now[0] += 61
    assert not beats.is_alive(store.get_run(run.id))
    assert Heartbeats(patience=60).is_alive(store.get_run(run.id)), "who has just begun to look must wait"


def test_a_new_claim_gets_a_new_chance(store: Store, run: Run) -> None:
    now = [0.0]
    beats = Heartbeats(patience=60, clock=lambda: now[0])
    assert beats.is_alive(run)
    now[0] = 100.0
    assert not beats.is_alive(run)
    store.requeue_run(run.id, run.claim)
    again = store.claim_run(FOREIGN)
    assert again is not None
    assert beats.is_alive(again)


def test_of_this_host_the_kernel_says_it(store: Store, run: Run) -> None:
    assert run.claim
    code = "import json; from chain_core.storage.owners import get_identity; print(json.dumps(get_identity()))"
    dead = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert store.adopt_run(run.id, run.claim, FOREIGN, get_identity())
    assert Heartbeats().is_alive(store.get_run(run.id)), "its server is about to start a worker"
    assert store.take_run(run.id, run.claim, json.loads(dead))
    assert not Heartbeats().is_alive(store.get_run(run.id))


@pytest.mark.parametrize("call", ["list_runs", "bury_worker"])
def test_a_store_that_was_away_makes_no_worker_look_dead(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """It cannot be read, or only not be written, and then takes its time to answer."""
    now = [1000.0]
    caretaker = Caretaker(store, {}, lambda: None)
    caretaker._beats = Heartbeats(patience=60, clock=lambda: now[0])

    def look(seconds: int) -> None:
        for _ in range(seconds):
            now[0] += 1
            with suppress(RunError):
                caretaker.look()

    def refuse(*_: Any) -> None:
        raise RunError("store_unusable", reason="connection refused")

    look(50)
    with monkeypatch.context() as patch:
        patch.setattr(store, call, refuse)
        look(15)
    look(50)
    assert store.get_run(run.id).state == "running"
    now[0] += 100
    look(50)
    assert store.get_run(run.id).state == "running"
    look(20)
    assert store.get_run(run.id).state == "queued", "all the while the store was there, and no beat in it"
