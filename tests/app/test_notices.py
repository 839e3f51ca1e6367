"""A word on whichever page is open when a run ends."""

from __future__ import annotations

import pytest

from chain_core.messages import LANGUAGES, render
from chain_core.services.store.store import Store
from tests.app.harness import open_page, run
from tests.services.seed import add_done, add_run


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
