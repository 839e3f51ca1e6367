"""A disk that fills up in the middle of a run, with a real disk of some megabytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain_core.config import resolve_config
from chain_core.services.runs.execute import execute_run
from chain_core.services.store.records import Run
from chain_core.services.store.store import Store
from chain_core.services.workers import recorder
from chain_core.services.workers.jobs import perform_run
from tests.faults.compare import find_problems
from tests.faults.material import build_config, prepare_material
from tests.services.filling import fill, open_small_disk
from tests.services.waiting import wait_for

FILL_AT = 13
"""The step at which nothing is left."""


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A workspace on a disk of its own."""
    monkeypatch.setenv("CHAIN_HOME", str(tmp_path / "disk"))
    yield from open_small_disk(tmp_path / "disk", 40)


def claim(store: Store) -> Run:
    run = store.claim_run({"pid": 1})
    assert run is not None
    return run


def test_a_run_says_so_and_goes_on_once_there_is_room(tmp_path: Path, disk: Path, monkeypatch) -> None:
    monkeypatch.setattr(recorder, "LONGEST_PAUSE", 0.3)
    material = prepare_material(tmp_path / "material")
    config = resolve_config(build_config("frozen", material).model_dump(mode="json"))
    execute_run(config, tmp_path / "untouched", folder=material, emit=lambda event: None)
    store = Store()
    run_id = store.add_run(config, material)
    ballast = disk / "ballast"

    def execute(*positional, emit, **named):
        def tell(event: dict) -> None:
            emit(event)
            if event.get("kind") == "step" and event["step"] >= FILL_AT:
                fill(ballast)

        return execute_run(*positional, emit=tell, **named)

    work = threading.Thread(target=perform_run, args=(store, run_id, execute, claim(store).claim))
    work.start()
    wait_for(ballast.exists)
    work.join(3)  # ended, or it waits for room to say that it has
    ballast.unlink()
    work.join(30)
    run = store.get_run(run_id)
    assert run.error is not None
    assert (run.state, run.error["code"]) == ("failed", "disk_full")
    store.request_retry(run_id)
    assert perform_run(store, run_id, execute_run, claim(store).claim) == "finished"
    (resumed,) = store.read_events(run_id, kinds=("resumed",))
    assert resumed["step"] >= FILL_AT - 4, "it goes on from its checkpoint"
    assert find_problems(store, run_id, run.path, tmp_path / "untouched") == []
    store.close()
