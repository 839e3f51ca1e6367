"""Controls, and a database that goes away for a while, with a server and a real worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from chain_core.config import merge, resolve_config
from chain_core.services.runs.execute import execute_run
from chain_core.services.store.records import Run
from chain_core.services.store.store import Store
from chain_core.services.workers.supervisor import Supervisor
from tests.faults.compare import find_problems
from tests.faults.material import build_config, prepare_material
from tests.services.postgres import make_database
from tests.services.waiting import wait_for

Submit = Callable[..., str]
Wait = Callable[..., Run]


@pytest.mark.parametrize(("control", "state"), [("stop", "stopped"), ("pause", "paused"), ("cancel", "cancelled")])
def test_a_control_acts_within_a_second(
    store: Store, supervisor: Supervisor, submit: Submit, wait_until: Wait, control: str, state: str
) -> None:
    run_id = submit("slow", epochs=10_000)
    wait_for(lambda: store.get_run(run_id).progress.get("epoch"))
    started = time.monotonic()
    assert getattr(supervisor, control)(run_id) in ("stopping", "pausing"), "the button shows at once that it was heard"
    wait_until(run_id, state)
    assert time.monotonic() - started < 1.5, "one second, and what this machine is busy with besides"


def test_what_waits_is_paused_and_cancelled_at_once(
    store: Store, supervisor: Supervisor, submit: Submit, wait_until: Wait
) -> None:
    first, second, third = submit("slow", epochs=10_000), submit("second"), submit("third")
    wait_until(first, "running")
    assert supervisor.pause(second) == "paused"
    assert supervisor.cancel(third) == "cancelled"
    supervisor.cancel(first)
    wait_until(first, "cancelled")
    assert supervisor.resume(second) == "queued"
    wait_until(second, "finished")
    assert supervisor.retry(third) == "queued"
    wait_until(third, "finished")


def test_a_real_run_that_is_paused_put_down_and_taken_up_ends_as_if_nothing_had_been(
    tmp_path: Path, store: Store, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAIN_EXECUTOR", "tests.faults.deadly:execute_run")  # the real one
    material = prepare_material(tmp_path / "material")
    mapping = build_config("frozen", material).model_dump(mode="json")
    longer = {"train": {"epochs": 20, "checkpoint_steps": None}}  # so that only a pause leaves a checkpoint
    config = resolve_config(merge(mapping, longer))
    first = Supervisor(store)
    first.start()
    try:
        run_id = first.submit(config, material)
        wait_for(lambda: store.get_run(run_id).progress.get("epoch"))
        first.pause(run_id)
        paused = wait_until(run_id, "paused")
        assert list((paused.path / "checkpoints").iterdir())
        first.resume(run_id)
        wait_for(lambda: store.get_run(run_id).worker)
    finally:
        first.close()
    assert store.get_run(run_id).state in ("queued", "finished")
    second = Supervisor(store)
    second.start()
    try:
        run = wait_until(run_id, "finished", "failed")
    finally:
        second.close()
    assert run.attempt >= 2
    execute_run(config, tmp_path / "untouched", folder=material, emit=lambda event: None)
    assert find_problems(store, run_id, run.path, tmp_path / "untouched") == []


@contextmanager
def cut(server: str) -> Iterator[None]:
    """Nobody reaches the database server meanwhile, and who was connected is thrown out."""
    import psycopg

    folder = server.partition("host=")[2]
    (socket,) = (path for path in Path(folder).glob(".s.PGSQL.*") if path.suffix != ".lock")
    with psycopg.connect(host=folder, user="chain", dbname="postgres", autocommit=True) as admin:
        away = socket.rename(socket.with_name("away"))
        try:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            yield
        finally:
            away.rename(socket)


def test_a_database_that_goes_away_for_a_while_costs_nothing(
    home: Path, postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(make_database(postgres_server, f"test_{uuid4().hex}"))
    supervisor = Supervisor(store)
    supervisor.start()
    try:
        mapping = {"name": "slow", "data": {"train": "x"}, "train": {"epochs": 6}}
        run_id, following = (supervisor.submit(resolve_config(mapping)) for _ in range(2))
        wait_for(lambda: store.get_run(run_id).progress.get("epoch"))
        for seconds in (0.2, 2.0):
            with cut(postgres_server):
                time.sleep(seconds)
            time.sleep(0.5)
        for queued in (run_id, following):
            wait_for(lambda queued=queued: store.get_run(queued).state == "finished")
            run = store.get_run(queued)
            assert (run.attempt, run.deaths) == (1, ()), "nobody had to begin again"
            assert [event["step"] for event in store.read_events(queued, kinds=("step",))] == list(range(1, 61))
    finally:
        supervisor.close()
        store.close()
