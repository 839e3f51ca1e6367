"""Workers that are killed anywhere between two statements: every run ends once, with each of its events once."""

from __future__ import annotations

import json
import subprocess
import sys

from chain_core.config import resolve_config
from chain_core.paths import PROJECT
from chain_core.services.store.store import Store

RUNS, EVENTS = 25, 6

DRIVE = """
import os, random, signal, sys, time
from chain_core.services.workers.heartbeats import Heartbeats
from chain_core.services.store.records import BUSY
from chain_core.services.store.store import Store
from chain_core.storage.owners import get_identity
from tests.services.dying import die_before

url, events, random = sys.argv[1], int(sys.argv[2]), random.Random(0)

def work(left):
    '''Runs, one after the other; dead before a statement that chance has chosen.'''
    store, mine = Store(url), get_identity()
    die_before(store._engine, left)
    while run := store.claim_run(mine):
        assert store.take_run(run.id, run.claim, mine)
        following = store.truncate_events(run.id, run.claim, 0)
        for number in range(1, events + 1):
            told = {"kind": "step", "step": number, "loss": 0.5, "attempt": run.attempt}
            following = store.append_events(run.id, [told], following, run.claim)
            assert store.beat(run.id, run.claim)
        assert store.finish_run(run.id, "finished", claim=run.claim)
    os._exit(0)

kills, workers = 0, set()
end = time.monotonic() + 100
while time.monotonic() < end:
    while len(workers) < 3:
        fate = random.randint(1, 150)
        workers.add(os.fork() or work(fate))
    ended, status = os.waitpid(-1, 0)
    workers.remove(ended)
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL), status
    kills += status != 0
    store = Store(url)
    for run in store.list_runs(1000, BUSY):
        if not Heartbeats().is_alive(run):
            assert store.requeue_run(run.id, run.claim) in ("queued", None)  # None: it had just ended
    left = [run for run in store.list_runs(1000) if run.state != "finished"]
    store.close()
    if not left:
        break
for worker in workers:
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
print(kills)
"""


def test_every_run_ends_once_whoever_dies(database: str) -> None:
    store = Store(database)
    runs = [store.add_run(resolve_config({"name": str(number), "data": {"train": "x"}})) for number in range(RUNS)]
    store.close()
    command = [sys.executable, "-c", DRIVE, database, str(EVENTS)]
    driven = subprocess.run(command, cwd=PROJECT, text=True, stdout=subprocess.PIPE, timeout=150, check=True)
    assert json.loads(driven.stdout) >= 8, "too few were killed to show anything"
    store = Store(database)
    attempts = 0
    for run_id in runs:
        run, told = store.get_run(run_id), store.read_events(run_id)
        assert run.state == "finished"
        assert [event["seq"] for event in told] == [event["step"] for event in told] == list(range(1, EVENTS + 1))
        assert {event["attempt"] for event in told} == {run.attempt}, "no earlier attempt has left anything"
        assert store.read_curves(run_id)["train/loss"].step == list(range(1, EVENTS + 1))
        attempts += run.attempt
    assert attempts > RUNS
    store.close()
