"""Deleted runs and sweeps can be brought back for a while, and then they are gone with their files."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chain_core.config import resolve_config
from chain_core.errors import RunError
from chain_core.services.store.store import Store
from chain_core.services.workers.purging import KEPT_SECONDS, Purger
from chain_core.services.workers.repeating import Repeating
from chain_core.storage.owners import _read_start, get_identity
from tests.services.seed import add_done, add_run
from tests.services.waiting import wait_for


def delete(store: Store, name: str) -> tuple[str, Path]:
    run_id = add_done(store, name)
    store.delete_run(run_id)
    return run_id, store.get_run(run_id).path


def test_a_run_is_kept_for_ten_minutes_of_uptime(store: Store) -> None:
    purger = Purger(store)
    run_id, folder = delete(store, "fast")
    assert purger.sweep(1000.0) == []
    assert purger.sweep(1000.0 + KEPT_SECONDS - 1) == []
    assert folder.is_dir()
    assert purger.sweep(1000.0 + KEPT_SECONDS) == [run_id]
    assert not folder.exists()
    with pytest.raises(RunError):
        store.get_run(run_id)


def test_a_run_that_was_brought_back_begins_anew(store: Store) -> None:
    purger = Purger(store)
    run_id, _folder = delete(store, "fast")
    purger.sweep(0.0)
    assert store.restore_run(run_id)
    purger.sweep(KEPT_SECONDS / 2)
    store.delete_run(run_id)
    assert purger.sweep(KEPT_SECONDS) == []
    assert purger.sweep(2 * KEPT_SECONDS) == [run_id]


@pytest.fixture
def other_server() -> Iterator[dict[str, Any]]:
    """The identity of another process that lives."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield {**get_identity(), "pid": process.pid, "ticks": _read_start(process.pid)}
        process.kill()


def delete_by(store: Store, monkeypatch: pytest.MonkeyPatch, identity: dict[str, Any], name: str) -> Path:
    with monkeypatch.context() as patch:
        patch.setattr("chain_core.services.store.hiding.get_identity", lambda: identity)
        return delete(store, name)[1]


def test_what_an_ended_server_hid_goes_at_the_start_and_nothing_of_a_living_one(
    store: Store, monkeypatch: pytest.MonkeyPatch, other_server: dict[str, Any]
) -> None:
    ended = {**get_identity(), "ticks": 1}
    gone = delete_by(store, monkeypatch, ended, "gone")
    theirs = delete_by(store, monkeypatch, other_server, "theirs")
    kept = add_run(store, "kept")
    purging = Repeating("purging", 60, Purger(store).look, at_once=True)
    purging.start()
    wait_for(lambda: not gone.exists())
    wait_for(lambda: len(store.list_runs(deleted=True)) == 1)
    purging.close()
    assert theirs.is_dir()
    (hidden,) = store.list_hidden_runs()
    assert store.restore_run(hidden.id), "the server that hid it can take that back"
    assert {run.id for run in store.list_runs()} == {kept, hidden.id}


def test_what_a_server_hid_that_ended_later_is_kept_as_long_as_anything(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    purger = Purger(store)
    purger.sweep(0.0)
    folder = delete_by(store, monkeypatch, {**get_identity(), "ticks": 1}, "fast")
    assert purger.sweep(1.0) == []
    assert folder.is_dir()
    assert len(purger.sweep(1.0 + KEPT_SECONDS)) == 1


def test_a_sweep_goes_with_its_runs(store: Store) -> None:
    purger = Purger(store)
    group_id = store.add_group("depths", "grid", {})
    run_id = store.add_run(resolve_config({"data": {"train": "x"}}), group_id=group_id)
    store.delete_group(group_id)
    assert purger.sweep(0.0) == []
    assert store.get_run(run_id).group_id == group_id
    assert purger.sweep(KEPT_SECONDS) == [group_id]
    assert (store.list_runs(deleted=True), store.list_groups(deleted=True)) == ([], [])
