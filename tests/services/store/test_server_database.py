"""The whole way of a run with its store on a database server: queue, worker process, events, lost connections."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import text

from chain_core.config import resolve_config
from chain_core.errors import RunError
from chain_core.services.store.store import Store
from chain_core.services.workers.supervisor import Supervisor
from tests.services.postgres import make_database
from tests.services.waiting import wait_for


@pytest.fixture
def url(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new database, which CHAIN_STORE names."""
    url = make_database(postgres_server, f"test_{uuid4().hex}")
    monkeypatch.setenv("CHAIN_STORE", url)
    return url


def test_a_worker_process_finds_the_servers_store(url: str) -> None:
    store = Store()
    assert store.url == url
    supervisor = Supervisor(store)
    supervisor.start()
    try:
        run_id = supervisor.submit(resolve_config({"name": "one", "data": {"train": "x"}, "train": {"epochs": 2}}))
        run = wait_for(lambda: (run := store.get_run(run_id)).state == "finished" and run)
        assert run.has_report
        assert run.worker["pid"] != run.owner["pid"]
        steps = [event["step"] for event in store.read_events(run_id, kinds=("step",))]
        assert steps == list(range(1, 21))
        assert store.read_curves(run_id)["train/loss"].step == steps
    finally:
        supervisor.close()
        store.close()


def test_a_lost_connection_is_made_again(url: str) -> None:
    store, other = Store(), Store()
    run_id = store.add_run(resolve_config({"data": {"train": "x"}}))
    run = store.claim_run({})
    assert run is not None
    with other._writing() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()"))
    event = {"kind": "step", "step": 1, "loss": 1.0, "seconds": 0.1}
    assert store.append_events(run_id, [event], claim=run.claim) == 2
    store.close()
    other.close()


def test_names_that_are_too_long_for_a_column_are_cut(url: str) -> None:
    store = Store()
    run_id = store.add_run(resolve_config({"name": "n" * 120, "data": {"train": "x"}}))
    step = {"kind": "step", "step": 1, "loss": 1.0, "losses": {"h" * 300: 0.5}, "seconds": 0.1}
    assert store.append_events(run_id, [step]) == 2
    assert max(map(len, store.read_curves(run_id))) == 200
    store.close()


def test_the_driver_need_not_be_named(url: str) -> None:
    Store().set_setting("a", 1)
    for scheme in ("postgresql", "postgres"):
        assert Store(url.replace("postgresql+psycopg", scheme)).get_setting("a") == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "URL"),
        ("mysql+pymysql://me:secret@localhost/x", "pymysql is missing"),
        ("postgresql://me:secret@localhost:1/x", "connection"),
        ("sqlite:////no/such/folder/store.db", "unable to open"),
    ],
)
def test_a_url_that_cannot_be_used_is_a_sentence(url: str, said: str) -> None:
    with pytest.raises(RunError) as caught:
        Store(url)
    assert caught.value.code == "store_unusable"
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
