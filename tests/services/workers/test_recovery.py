"""Workers and servers that die: runs go on, with real processes whose executor is a fake."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest

from chain_core.config import resolve_config
from chain_core.messages import load_catalogue, render
from chain_core.paths import PROJECT
from chain_core.services.store.store import Run, Store
from chain_core.services.workers.supervisor import Supervisor
from chain_core.storage.owners import get_identity, is_alive
from tests.services.waiting import find_workers, wait_for

Submit = Callable[..., str]
Wait = Callable[..., Run]


def read_steps(store: Store, run_id: str) -> list[int]:
    return [event["step"] for event in store.read_events(run_id, kinds=("step",))]


def add_run(store: Store, name: str, epochs: int = 2) -> str:
    return store.add_run(resolve_config({"name": name, "data": {"train": "x"}, "train": {"epochs": epochs}}))


@pytest.fixture
def server(store: Store) -> Iterator[subprocess.Popen[str]]:
    """Another server on the store, to be killed."""
    command = [sys.executable, "-m", "tests.services.server"]
    server = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    yield server
    server.kill()
    server.wait()


@pytest.mark.parametrize(
    ("how", "code", "status"),
    [("kill", "worker_killed", "SIGKILL"), ("segv", "worker_died", "SIGSEGV"), ("exit", "worker_died", "3")],
)
def test_a_run_goes_on_after_its_worker_died(
    store: Store, submit: Submit, wait_until: Wait, how: str, code: str, status: str
) -> None:
    run = wait_until(submit(f"once{how}"), "finished")
    assert read_steps(store, run.id) == list(range(1, 21))
    assert (run.attempt, run.error) == (2, None)
    notes = {event["code"]: event["params"] for event in store.read_events(run.id, kinds=("note",))}
    assert notes[code] == {"status": status, "step": 0, "attempt": 2}
    for language in ("en", "zh"):
        assert status in render(f"notes.{code}", language, **notes[code])


def test_a_run_whose_workers_die_again_and_again_fails_and_the_queue_goes_on(
    store: Store, submit: Submit, wait_until: Wait, supervisor: Supervisor
) -> None:
    first, second = submit("segv"), submit("second")
    run = wait_until(first, "failed")
    assert run.error is not None
    assert run.error["code"] == "workers_died"
    assert run.error["params"] == {"times": 3, "step": 0, "status": "SIGSEGV"}
    assert "Segmentation fault" in run.error["traceback"], "the log's end is kept"
    assert run.attempt == 3
    assert "errors.workers_died" in load_catalogue("en")
    wait_until(second, "finished")
    supervisor.retry(first)
    assert wait_until(first, "failed").attempt == 6, "a retry has as many tries"


def test_kill_from_outside_in_the_middle(store: Store, submit: Submit, supervisor: Supervisor, wait_until) -> None:
    run_id = submit("slow", epochs=10_000)
    wait_for(lambda: store.get_run(run_id).progress.get("epoch"))
    (worker,) = find_workers()
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: store.get_run(run_id).attempt == 2 and store.get_run(run_id).progress.get("epoch"))
    supervisor.cancel(run_id)
    wait_until(run_id, "cancelled")
    wait_until(submit("next"), "finished")


def test_closing_puts_the_run_back(store: Store, submit: Submit, supervisor: Supervisor) -> None:
    run_id, queued = submit("slow", epochs=10_000), submit("later")
    wait_for(lambda: store.get_run(run_id).progress.get("epoch"))
    supervisor.close()
    assert [run.id for run in store.list_queue()] == [run_id, queued]
    assert store.get_run(run_id).deaths == ()
    assert find_workers() == []


def test_a_run_that_a_dead_server_took_is_taken_again(store: Store, wait_until: Wait) -> None:
    left, other = add_run(store, "a"), add_run(store, "b")
    code = (
        "from chain_core.services.store.store import *; from chain_core.storage.owners import *; Store().claim_run(%s)"
    )
    subprocess.run([sys.executable, "-c", code % "get_identity()"], cwd=PROJECT, check=True)
    assert store.get_run(left).state == "running"
    supervisor = Supervisor(store)
    supervisor.start()
    try:
        for run_id in (left, other):
            assert wait_until(run_id, "finished").deaths == ()
            assert read_steps(store, run_id) == list(range(1, 21))
    finally:
        supervisor.close()


def test_a_worker_outlives_its_server_and_is_adopted(
    store: Store, server: subprocess.Popen[str], wait_until: Wait
) -> None:
    run_id = add_run(store, "slow", epochs=8)
    following = add_run(store, "following")
    wait_for(lambda: store.get_run(run_id).progress.get("epoch"))
    worker = store.get_run(run_id).worker
    server.kill()
    server.wait()
    supervisor = Supervisor(store)
    supervisor.start()
    try:
        assert store.get_run(run_id).owner == get_identity()
        assert find_workers() == [], "the device is not given to another worker meanwhile"
        assert store.get_run(following).state == "queued"
        run = wait_until(run_id, "finished")
        assert (run.attempt, run.worker, run.deaths) == (1, worker, ())
        assert read_steps(store, run_id) == list(range(1, 81))
        wait_until(following, "finished")
        wait_for(lambda: not is_alive(worker))
    finally:
        supervisor.close()


def test_an_adopted_worker_that_dies_is_noticed(store: Store, server: subprocess.Popen[str], wait_until: Wait) -> None:
    run_id = add_run(store, "slow", epochs=4)
    wait_for(lambda: store.get_run(run_id).worker)
    server.kill()
    server.wait()
    supervisor = Supervisor(store)
    supervisor.start()
    try:
        psutil.Process(store.get_run(run_id).worker["pid"]).kill()
        run = wait_until(run_id, "finished")
        assert [death["code"] for death in run.deaths] == ["worker_vanished"]
        assert read_steps(store, run_id) == list(range(1, 41))
    finally:
        supervisor.close()


def test_a_living_servers_run_is_left_alone(store: Store, server: subprocess.Popen[str], wait_until: Wait) -> None:
    run_id = add_run(store, "slow", epochs=5)
    owner = wait_for(lambda: store.get_run(run_id).worker and store.get_run(run_id).owner)
    supervisor = Supervisor(store)
    supervisor.start()
    try:
        run = wait_until(run_id, "finished")
        assert (run.owner, run.attempt) == (owner, 1)
    finally:
        supervisor.close()


def test_where_both_are_gone_the_run_goes_on(store: Store, server: subprocess.Popen[str], wait_until: Wait) -> None:
    run_id = add_run(store, "slow", epochs=4)
    worker = wait_for(lambda: store.get_run(run_id).worker)
    server.kill()
    server.wait()
    psutil.Process(worker["pid"]).kill()
    wait_for(lambda: not is_alive(worker))
    supervisor = Supervisor(store)
    supervisor.start()
    try:
        assert store.get_run(run_id).state in ("queued", "running")
        run = wait_until(run_id, "finished")
        assert [death["code"] for death in run.deaths] == ["server_gone"]
        assert read_steps(store, run_id) == list(range(1, 41))
    finally:
        supervisor.close()
