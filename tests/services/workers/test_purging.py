"""Deleted runs can be brought back for a while, and then they are gone with their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from chain_core.errors import RunError
from chain_core.services.store.store import Store
from chain_core.services.workers.purging import KEPT_SECONDS, Purger
from chain_core.services.workers.repeating import Repeating
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


def test_what_an_earlier_server_hid_goes_at_the_start(store: Store) -> None:
    _run_id, folder = delete(store, "fast")
    kept = add_run(store, "kept")
    purging = Repeating("purging", 60, Purger(store).look, at_once=True)
    purging.start()
    wait_for(lambda: not folder.exists())
    wait_for(lambda: not store.list_runs(deleted=True))
    purging.close()
    assert [run.id for run in store.list_runs()] == [kept]
