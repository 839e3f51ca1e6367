"""A word on whichever page is open when a run ends, or as long as the disk is full."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace

import pytest

from chain_core.messages import LANGUAGES, render
from chain_core.services.store.store import Store
from chain_core.storage import disk
from chain_core.ui.shell import PAGES
from tests.app.harness import open_page, run
from tests.services.filling import fill, open_small_disk
from tests.services.seed import add_done, add_run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    yield from open_small_disk(tmp_path / "disk", 8)


@pytest.fixture
def store(home) -> Store:
    return Store()


def end(store: Store, run_id: str, state: str = "finished") -> None:
    taken = store.claim_run({})
    assert taken is not None
    assert taken.id == run_id
    events = [{"kind": "done", "reason": "finished", "report": {"test": {"topic": {"accuracy": 0.875}}}}]
    store.append_events(run_id, events if state == "finished" else [], claim=taken.claim)
    error = {"code": "worker_killed", "params": {"status": "9"}} if state == "failed" else None
    store.finish_run(run_id, state, error, taken.claim)


@pytest.mark.parametrize(("name", "language"), zip(PAGES, cycle(LANGUAGES)))
def test_a_full_disk_is_told_on_every_page_until_there_is_room(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, language: str
) -> None:
    asked = []

    def measure(folder: Path) -> SimpleNamespace:
        asked.append(folder)
        return SimpleNamespace(free=free, used=0, total=1 << 40)

    free = 2_345_678
    monkeypatch.setattr(disk, "shutil", SimpleNamespace(disk_usage=measure))
    page = open_page(name, language)
    assert page.error[0].value == render("notices.disk_full", language, free="2")
    assert asked == [home], "once a run of the script"
    free = disk.LITTLE
    assert not run(page).error


def test_nothing_but_the_page_needs_a_byte_of_a_full_disk(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that has failed cannot be written down: the page that still shows it as running says why."""
    monkeypatch.setenv("CHAIN_HOME", str(small_disk))
    store = Store()
    add_run(store, "mine")
    taken = store.claim_run({})
    assert taken is not None
    fill(small_disk / "ballast")
    page = open_page("runs", run=taken.id)
    assert page.error[0].value == render("notices.disk_full", "en", free="0")
    (small_disk / "ballast").unlink()
    with (small_disk / "ballast").open("wb") as file:
        file.truncate(1)
    monkeypatch.setattr(disk, "LITTLE", 1_000_000)
    assert not run(page).error
    store.close()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["home", "cache"])
def test_the_end_of_a_run_is_told_once_on_any_page(store: Store, name: str, language: str) -> None:
    run_id = add_run(store, "*mine*")
    page = open_page(name, language)
    assert not page.toast
    end(store, run_id)
    page = run(page)
    (toast,) = page.toast
    assert render("notices.finished", language, run=r"\*mine\*") in toast.value
    assert "0.875" in toast.value.replace("\\", "")
    assert not run(page).toast, "only once"


def test_what_had_ended_before_is_not_told(store: Store) -> None:
    add_done(store, "old")
    page = open_page()
    assert not page.toast
    assert not run(page).toast


@pytest.mark.parametrize("state", ["failed", "stopped", "cancelled"])
def test_every_end_has_its_sentence(store: Store, state: str) -> None:
    run_id = add_run(store, "one")
    page = open_page("cache")
    end(store, run_id, state)
    (toast,) = run(page).toast
    assert render(f"notices.{state}", "en", run="one") in toast.value


def test_a_run_that_goes_on_after_a_pause_is_told_of_too(store: Store) -> None:
    run_id = add_run(store, "one")
    page = open_page("cache")
    store.request_pause(run_id)
    page = run(page)
    store.request_resume(run_id)
    assert not run(page).toast
    end(store, run_id)
    assert len(run(page).toast) == 1


def test_many_ends_at_once_do_not_bury_the_page(store: Store) -> None:
    runs = [add_run(store, f"run {number}") for number in range(8)]
    page = open_page("cache")
    for run_id in runs:
        store.request_cancel(run_id)
    told = [toast.value for toast in run(page).toast]
    assert len(told) == 4
    assert "5 more" in told[-1]


def test_a_run_that_was_deleted_says_nothing(store: Store) -> None:
    run_id = add_run(store, "one")
    page = open_page("cache")
    store.delete_run(run_id)
    assert not run(page).toast
