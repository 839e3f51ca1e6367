"""Runs in every state, put into a store without any worker."""

from __future__ import annotations

import json

from chain_core.config import resolve_config
from chain_core.services.store.store import Store
from chain_core.services.workers.jobs import perform_run
from tests.services.fakes import execute_run

HEADS = {
    "intent": {"kind": "classification", "column": "intent"},
    "slots": {"kind": "tagging", "column": "slots", "depths": [1, 3]},
}
RICH_NAME = "*star* <b>bold</b> :red[x] $a$"


def add_run(store: Store, name: str, epochs: int = 3, **keys: object) -> str:
    """A queued run of two heads on tokens."""
    mapping = {
        "name": name, "data": {"train": "train.csv"}, "input": {"tokens": "words"}, "heads": HEADS,
        "train": {"epochs": epochs}, **keys,
    }  # fmt: skip
    return store.add_run(resolve_config(mapping))


def add_done(store: Store, name: str, **keys: object) -> str:
    """A run that the fake executor has ended: finished, or failed where its name says so."""
    run_id = add_run(store, name, **keys)
    while run := store.claim_run({}):
        perform_run(store, run.id, execute_run, run.claim)
    return run_id


def add_running(store: Store, name: str) -> str:
    """A run in the middle of its training."""
    run_id = add_run(store, name, epochs=10)
    store.claim_run({})
    losses = {"intent@3": 0.5, "slots@1": 0.4, "slots@3": 0.3}
    step = {"kind": "step", "seconds": 4.0, "step": 12, "epoch": 1.2, "loss": 1.2, "losses": losses}
    store.append_events(run_id, [{"kind": "phase", "phase": "training", "seconds": 1.0}, step])
    return run_id


def add_every_state(store: Store) -> dict[str, str]:
    """State -> a run's id; the newest is the running one."""
    runs = {"finished": add_done(store, RICH_NAME), "failed": add_done(store, "crash")}
    (store.get_run(runs["finished"]).path / "model").mkdir()
    assert json.loads((store.get_run(runs["finished"]).path / "report.json").read_text())
    runs["running"] = add_running(store, "busy")
    runs["queued"] = add_run(store, "later")
    return runs
