"""Workers that run the fakes of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from chain_core.config import resolve_config
from chain_core.services.store.store import Run, Store
from chain_core.services.workers.runners import ProcessRunner
from chain_core.services.workers.supervisor import Supervisor
from tests.services.postgres import explain_absence, make_database, run_server
from tests.services.waiting import wait_for


@pytest.fixture(autouse=True)
def _fake_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAIN_EXECUTOR", "tests.services.fakes:execute_run")
    monkeypatch.setenv("CHAIN_PREDICTOR", "tests.services.fakes:load_predictor")


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server of our own."""
    if reason := explain_absence():
        pytest.skip(reason)
    yield from run_server()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, home: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        home.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{home / 'store.db'}"
    return make_database(request.getfixturevalue("postgres_server"), f"test_{uuid4().hex}")


@pytest.fixture
def supervisor(store: Store) -> Iterator[Supervisor]:
    supervisor = Supervisor(store)
    supervisor.start()
    yield supervisor
    supervisor.close()


@pytest.fixture
def trainer(store: Store) -> Iterator[ProcessRunner]:
    runner = ProcessRunner(store.url, "trainer")
    yield runner
    runner.close()


@pytest.fixture
def submit(supervisor: Supervisor) -> Callable[..., str]:
    def submit_run(name: str, epochs: int = 2) -> str:
        mapping = {"name": name, "data": {"train": "train.csv"}, "train": {"epochs": epochs}}
        return supervisor.submit(resolve_config(mapping))

    return submit_run


@pytest.fixture
def wait_until(store: Store) -> Callable[..., Run]:
    def wait(run_id: str, *states: str) -> Run:
        return wait_for(lambda: (run := store.get_run(run_id)).state in states and run)

    return wait
