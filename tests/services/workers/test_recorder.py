"""What a run tells while the store is away, slow, or loses its answers."""

from __future__ import annotations

import json
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from chain_core.config import resolve_config
from chain_core.errors import ResourceError, RunError
from chain_core.services.store.store import Run, Store
from chain_core.services.workers import recorder
from chain_core.services.workers.jobs import perform_run
from chain_core.training.control import heed
from tests.services.waiting import wait_for

CALLS = ("take_run", "append_events", "truncate_events", "read_control", "beat", "finish_run", "get_run")


class Line:
    """A store at the end of a line that can be cut."""

    def __init__(self, store: Store, chance: float = 0.0) -> None:
        self._store, self._random, self.chance = store, random.Random(0), chance
        self.error: Exception = RunError("store_unusable", reason="connection refused")
        self.cut = False
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in CALLS:
            return method

        def call(*positional: Any, **named: Any) -> Any:
            before, after = (self._random.random() < self.chance for _ in range(2))
            if self.cut or before:
                self.refused += 1
                raise self.error
            answer = method(*positional, **named)
            if after:  # it was done, but nobody heard so
                self.refused += 1
                raise self.error
            return answer

        return call


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("EVERY_SECONDS", 0.01), ("FIRST_PAUSE", 0.01), ("LONGEST_PAUSE", 0.05)):
        monkeypatch.setattr(recorder, name, seconds)


@pytest.fixture
def run(store: Store) -> Run:
    store.add_run(resolve_config({"data": {"train": "x"}}))
    run = store.claim_run({"pid": 1})
    assert run is not None
    return run


def tell_steps(count: int, pause: float = 0.0, at: dict[int, Any] | None = None):
    """An executor that tells so many steps; `at`: number of a step -> what is called before it."""

    def execute(config, out: Path, *, emit, read_control, resume=False, **_):
        for number in range(1, count + 1):
            if at and number in at:
                at[number]()
            heed(read_control())
            emit({"kind": "step", "step": number, "loss": 1.0})
            time.sleep(pause)
        emit({"kind": "done", "reason": "finished", "report": {}})

    return execute


def read_steps(store: Store, run: Run) -> list[int]:
    events = store.read_events(run.id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    return [event["step"] for event in events if event["kind"] == "step"]


@pytest.mark.parametrize(
    "error", [RunError("store_unusable", reason="gone"), ResourceError("disk_full", folder="/")], ids=str
)
def test_training_goes_on_while_the_store_is_away(store: Store, run: Run, error: Exception) -> None:
    line = Line(store)
    line.error = error
    trained = threading.Event()
    at = {20: lambda: setattr(line, "cut", True), 200: trained.set}
    work = threading.Thread(target=perform_run, args=(line, run.id, tell_steps(200, 0.002, at), run.claim))
    work.start()
    assert trained.wait(20), "it does not wait for the store"
    wait_for(lambda: line.refused > 3)
    assert len(read_steps(store, run)) < 200
    assert work.is_alive(), "what it has told is not given up"
    line.cut = False
    work.join(20)
    assert read_steps(store, run) == list(range(1, 201))
    assert store.get_run(run.id).state == "finished"
    assert store.read_curves(run.id)["train/loss"].step == list(range(1, 201))


def test_answers_that_get_lost_double_nothing(store: Store, run: Run) -> None:
    line = Line(store, chance=0.3)
    assert perform_run(line, run.id, tell_steps(300, 0.002), run.claim) in ("finished", "lost")
    assert line.refused > 10
    assert read_steps(store, run) == list(range(1, 301))
    assert store.get_run(run.id).state == "finished"


def test_what_is_asked_is_heard_once_the_store_is_back(store: Store, run: Run) -> None:
    line = Line(store)
    line.cut = True
    outcome = []
    at = {1: lambda: None}
    work = threading.Thread(
        target=lambda: outcome.append(perform_run(line, run.id, tell_steps(100_000, 0.002, at), run.claim))
    )
    work.start()
    store.request_pause(run.id)
    line.cut = False
    work.join(20)
    assert outcome == ["paused"]


def test_events_that_the_checkpoint_does_not_know_are_told_once(store: Store, run: Run) -> None:
    """A run that goes back on its way, twice at once, as one does whose checkpoint does not fit."""

    def execute(config, out, *, emit, **_):
        lines = [json.dumps({"kind": "step", "step": number}) + "\n" for number in range(1, 11)]
        (out / "events.jsonl").write_text("".join(lines))
        for number in range(1, 16):
            emit({"kind": "step", "step": number})
        emit({"kind": "resumed", "events": 10, "step": 10})
        emit({"kind": "resumed", "events": 0, "step": 0})
        emit({"kind": "resumed", "events": 10, "step": 10})
        for number in range(11, 31):
            emit({"kind": "step", "step": number})

    assert perform_run(store, run.id, execute, run.claim) == "finished"
    assert read_steps(store, run) == list(range(1, 31))


def test_a_worker_that_nobody_waits_for_gives_up_a_store_that_stays_away(store: Store, run: Run) -> None:
    line = Line(store)
    at = {5: lambda: setattr(line, "cut", True)}
    with pytest.raises(RunError) as caught:
        perform_run(line, run.id, tell_steps(10, 0, at), run.claim, is_vain=lambda: True)
    assert caught.value.code == "store_unusable"


def test_a_worker_that_is_to_leave_pauses_unless_something_else_was_asked(store: Store, run: Run) -> None:
    line = recorder.Recorder(store, run, is_leaving=lambda: True)
    assert line.read_control() == "pause"
    store.request_stop(run.id)
    wait_for(lambda: line.read_control() == "stop")
    line.close()


def test_what_it_tells_first_is_seen_at_once(store: Store, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "EVERY_SECONDS", 60.0)
    line = recorder.Recorder(store, run)
    started = time.monotonic()
    line.emit({"kind": "step", "step": 1, "loss": 1.0})
    wait_for(lambda: store.read_events(run.id))
    assert time.monotonic() - started < 5
    line.close()
