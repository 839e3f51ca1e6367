"""A run of the store that is paused, killed and taken up again: the store tells what an untouched run tells."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from chain_core.config import resolve_config
from chain_core.errors import RunError
from chain_core.paths import PROJECT
from chain_core.services.runs.checkpoint_names import find_step
from chain_core.services.runs.execute import execute_run
from chain_core.services.runs.predictor import load_predictor
from chain_core.services.store.store import Store
from chain_core.services.workers.jobs import Jobs, perform_run
from tests.services.resuming import assert_same_run, drop_times, read_log
from tests.services.runs.test_resume import build_mapping
from tests.services.workers.test_recorder import Line
from tests.tiny import build_commands, write_rows

TOLD = ("stage", "step", "epoch", "note", "done")


@pytest.fixture
def folder(tmp_path):
    write_rows(tmp_path / "train.jsonl", build_commands(60))
    return tmp_path


@pytest.fixture
def store(home):
    store = Store()
    yield store
    store.close()


def add(store, folder, backbone, **train):
    config = resolve_config(build_mapping(backbone, train=train))
    execute_run(config, folder / "untouched", folder=folder, emit=lambda event: None)
    return store.add_run(config, folder=folder)


def assert_untouched(store, run_id, folder):
    """The store has every event of the run's file once, and what an untouched run tells."""
    run = store.get_run(run_id)
    stored = store.read_events(run_id)
    assert [event.pop("seq") for event in stored] == list(range(1, len(stored) + 1))
    assert stored == read_log(run.path)
    kept = [[event for event in log if event["kind"] in TOLD] for log in (stored, read_log(folder / "untouched"))]
    assert drop_times(kept[0]) == drop_times(kept[1])
    assert_same_run(folder / "untouched", run.path)
    for series, curve in store.read_curves(run_id).items():
        assert len(set(curve.step)) == len(curve.step), f"{series} has points twice"


def test_pauses(store, folder, backbone):
    run_id = add(store, folder, backbone, batch_size=8)
    for pause in (1, 4, 7):
        run = store.claim_run({})

        def execute(*args, emit, pause=pause, **options):
            def tell(event):
                emit(event)
                if event["kind"] == "step" and event["step"] == pause:
                    store.request_pause(run_id)
                    time.sleep(0.25)  # the control is asked for five times a second

            return execute_run(*args, emit=tell, **options)

        assert perform_run(store, run_id, execute, run.claim) == "paused"
        assert store.get_run(run_id).state == "paused"
        store.request_resume(run_id)
    run = store.claim_run({})
    assert perform_run(store, run_id, execute_run, run.claim) == "finished"
    assert_untouched(store, run_id, folder)


def test_a_run_whose_end_the_store_has_not_heard_of_does_not_train_again(store, folder, backbone):
    run_id = add(store, folder, backbone)
    run, line = store.claim_run({}), Line(store)

    def execute(*args, **options):
        execute_run(*args, **options)
        line.cut = True

    with pytest.raises(RunError):
        perform_run(line, run_id, execute, run.claim, is_vain=lambda: True)
    assert store.requeue_run(run_id, run.claim) == "queued"
    events = []

    def listen(*args, emit, **options):
        return execute_run(*args, emit=lambda event: events.append(event) or emit(event), **options)

    assert perform_run(store, run_id, listen, store.claim_run({}).claim) == "finished"
    assert not [event for event in events if event["kind"] in ("step", "epoch")]
    assert_untouched(store, run_id, folder)
    assert find_step(run.path) is None, "nobody goes on with it"


def test_predictions_are_those_of_the_latest_attempt(store, folder, backbone, monkeypatch):
    monkeypatch.delenv("CHAIN_PREDICTOR")
    run_id, jobs = add(store, folder, backbone), Jobs(store)
    rows = [{"tokens": row["tokens"]} for row in build_commands(6)]
    run, steps = store.claim_run({}), []

    def execute(*args, emit, read_control, **options):
        def tell(event):
            emit(event)
            steps.extend([event] if event["kind"] == "step" else [])

        return execute_run(*args, emit=tell, read_control=lambda: "stop" if steps else read_control(), **options)

    assert perform_run(store, run_id, execute, run.claim) == "stopped"
    early = jobs.answer({"do": "predict", "run": run_id, "rows": rows})
    store.request_retry(run_id)
    assert perform_run(store, run_id, execute_run, store.claim_run({}).claim) == "finished"
    late = jobs.answer({"do": "predict", "run": run_id, "rows": rows})
    assert late == {"rows": list(load_predictor(run.path).predict(rows))}
    assert late != early


WORKER = """
import sys
from chain_core.services.runs.execute import execute_run
from chain_core.services.workers.jobs import perform_run
from chain_core.services.store.store import Store
perform_run(Store(sys.argv[1]), sys.argv[2], execute_run, sys.argv[3])
"""


def test_kills(store, folder, backbone):
    """A worker that dies by SIGKILL, its last events perhaps in the file and not in the store."""
    run_id = add(store, folder, backbone, epochs=8, batch_size=4, checkpoint_steps=3)
    for number in range(2):
        run = store.claim_run({})
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, store.url, run_id, run.claim], cwd=PROJECT, env=os.environ
        )
        log, end = run.path / "events.jsonl", time.monotonic() + 60
        seen = _count(log)
        while time.monotonic() < end and worker.poll() is None and _count(log) < seen + 8:
            time.sleep(0.005)
        worker.kill()
        worker.wait()
        assert store.requeue_run(run_id, run.claim) == "queued", number
    run = store.claim_run({})
    assert perform_run(store, run_id, execute_run, run.claim) == "finished"
    assert_untouched(store, run_id, folder)


def _count(log):
    return log.read_text().count('"kind": "step"') if log.exists() else 0
