"""A worker of another host is judged by its beats and by no clock that anybody sets."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from chain_core.config import resolve_config
from chain_core.services.store.records import Run
from chain_core.services.store.store import Store
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
