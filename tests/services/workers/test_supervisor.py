"""The queue with real worker processes, whose executor is a fake."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from chain_core.errors import RunError
from chain_core.messages import load_catalogue
from chain_core.services.store.store import Run, Store
from chain_core.services.workers.supervisor import Supervisor
from tests.services.waiting import find_workers, wait_for

Submit = Callable[..., str]
Wait = Callable[..., Run]


def test_runs_are_taken_one_after_the_other(store: Store, submit: Submit, wait_until: Wait) -> None:
    first, second = submit("slow-first", epochs=1), submit("second")
    wait_until(first, "running")
    assert store.get_run(second).state == "queued"
    done = wait_until(second, "finished")
    before = store.get_run(first)
    assert before.state == "finished"
    assert before.finished is not None
    assert done.started is not None
    assert before.finished <= done.started
    assert done.has_report
    assert done.progress["summary"]["heads"] == {
        "intent": ["accuracy", 0.9712], "slots": ["entity_f1", 0.9301],
    }  # fmt: skip
    events = store.read_events(second)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    steps = [event["step"] for event in events if event["kind"] == "step"]
    assert steps == list(range(1, 21)), "no step is lost or doubled"
    assert store.read_curves(second)["train/slots@3/loss"].step == steps


def test_stop_keeps_what_there_is(store: Store, supervisor: Supervisor, submit: Submit, wait_until: Wait) -> None:
    run_id = submit("slow", epochs=10_000)
    wait_for(lambda: "epoch" in store.get_run(run_id).progress)
    assert supervisor.stop(run_id) == "stopping"
    run = wait_until(run_id, "stopped")
    assert run.has_report
    assert run.error is None


def test_a_queued_run_is_cancelled_and_never_starts(
    store: Store, supervisor: Supervisor, submit: Submit, wait_until: Wait
) -> None:
    first, second = submit("slow", epochs=10_000), submit("second")
    wait_until(first, "running")
    assert supervisor.stop(second) == "stopped"
    supervisor.stop(first)
    wait_until(first, "stopped")
    third = submit("third")
    wait_until(third, "finished")
    assert store.read_events(second) == []


def test_an_idle_worker_that_died_is_replaced(store: Store, submit: Submit, wait_until: Wait) -> None:
    wait_until(submit("first"), "finished")
    (worker,) = find_workers()
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: worker not in find_workers())
    wait_until(submit("second"), "finished")


@pytest.mark.parametrize(
    ("name", "code"),
    [("data", "fraction"), ("crash", "crash"), ("memory", "memory_full"), ("full", "disk_full")],
)
def test_errors_become_sentences(submit: Submit, wait_until: Wait, name: str, code: str) -> None:
    run = wait_until(submit(name), "failed")
    assert run.error is not None
    assert run.error["code"] == code
    assert ("Traceback" in run.error.get("traceback", "")) == (name != "data")
    for language in ("en", "zh"):
        assert f"errors.{code}" in load_catalogue(language)


def test_two_servers_share_one_queue(store: Store, submit: Submit, wait_until: Wait) -> None:
    other = Supervisor(Store(store.url))
    other.start()
    try:
        runs = [submit(f"run-{number}", epochs=1) for number in range(6)]
        for run_id in runs:
            wait_until(run_id, "finished")
            steps = [event["step"] for event in store.read_events(run_id, kinds=("step",))]
            assert steps == list(range(1, 11)), "every run is executed once"
    finally:
        other.close()


def test_prediction_while_a_run_trains(submit: Submit, wait_until: Wait, supervisor: Supervisor) -> None:
    done = submit("first")
    wait_until(done, "finished")
    training = submit("slow", epochs=10_000)
    wait_until(training, "running")
    (row,) = supervisor.predict(done, [{"text": "to Paris"}])
    assert row["heads"]["slots"]["3"]["tags"] == ["O", "B-city"]


@pytest.mark.parametrize(("text", "code"), [("kill", "predict_died"), ("bad", "fraction"), ("crash", "predict_crash")])
def test_prediction_errors_are_clear_and_the_next_answer_comes(
    submit: Submit, wait_until: Wait, supervisor: Supervisor, text: str, code: str
) -> None:
    run_id = submit("first")
    wait_until(run_id, "finished")
    with pytest.raises(RunError) as caught:
        supervisor.predict(run_id, [{"text": text}])
    assert caught.value.code == code
    assert supervisor.predict(run_id, [{"text": "fine"}])[0]["text"] == "fine"


def test_a_prediction_that_takes_too_long_is_given_up(submit: Submit, wait_until: Wait, supervisor: Supervisor) -> None:
    run_id = submit("first")
    wait_until(run_id, "finished")
    supervisor.predict(run_id, [{"text": "warm"}])
    with pytest.raises(RunError) as caught:
        supervisor.predict(run_id, [{"text": "slow"}], timeout=0.3)
    assert caught.value.code == "predict_timeout"
    assert supervisor.predict(run_id, [{"text": "fine"}])[0]["text"] == "fine"
