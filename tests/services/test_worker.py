"""The worker process by itself: its protocol and its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from chain_core.config import resolve_config
from chain_core.paths import PROJECT
from chain_core.services.runners import InlineRunner, ProcessRunner, build_runner
from chain_core.services.store import Store


def start(store: Store, role: str = "trainer") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "chain_core.services.worker", "--store", store.url, "--role", role]
    return subprocess.Popen(
        command, cwd=PROJECT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def add_claimed(store: Store, name: str, epochs: int = 1) -> str:
    run_id = store.add_run(resolve_config({"name": name, "data": {"train": "x"}, "train": {"epochs": epochs}}))
    store.claim_run({})
    return run_id


def test_stdout_holds_answers_only(store: Store) -> None:
    worker = start(store)
    run_id = add_claimed(store, "one")
    out, err = worker.communicate(json.dumps({"do": "run", "run": run_id, "request": 1}) + "\n", timeout=60)
    # The end of stdin ends the process, perhaps before the run: whatever came is JSON.
    assert all(isinstance(json.loads(line), dict) for line in out.splitlines())
    assert "printed by C" not in out
    assert worker.returncode == 0
    assert "the server is gone" in err


def test_prints_do_not_break_the_protocol(store: Store, trainer: ProcessRunner) -> None:
    run_id = add_claimed(store, "one")
    assert trainer.ask({"do": "run", "run": run_id})["state"] == "finished"
    log = trainer._log.read_text()
    assert "a library prints" in log
    assert "printed by C" in log


def test_worker_dies_with_its_server_in_the_middle_of_a_run(store: Store) -> None:
    worker = start(store)
    assert worker.stdin is not None
    assert worker.stdout is not None
    assert json.loads(worker.stdout.readline())["ready"]
    run_id = add_claimed(store, "slow", epochs=10_000)
    worker.stdin.write(json.dumps({"do": "run", "run": run_id, "request": 1}) + "\n")
    worker.stdin.flush()
    while not store.read_events(run_id):
        pass
    worker.stdin.close()
    assert worker.wait(60) == 0


def test_trainer_is_nicer_than_predictor(store: Store, trainer: ProcessRunner) -> None:
    run_id = add_claimed(store, "one")
    trainer.ask({"do": "run", "run": run_id})
    predictor = ProcessRunner(store.url, "predictor")
    try:
        predictor.ask({"do": "predict", "run": run_id, "rows": [{"text": "a"}]})
        assert trainer.pid is not None
        assert predictor.pid is not None
        mine = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, trainer.pid) == min(19, mine + 15)
        assert os.getpriority(os.PRIO_PROCESS, predictor.pid) == mine
    finally:
        predictor.close()


def test_chinese_goes_through_the_pipe(store: Store) -> None:
    runner = ProcessRunner(store.url, "predictor")
    run_id = add_claimed(store, "one")
    try:
        answer = runner.ask({"do": "predict", "run": run_id, "rows": [{"text": "打开\n客厅的灯 \u2028"}]})
        assert answer["rows"][0]["text"] == "打开\n客厅的灯 \u2028"
    finally:
        runner.close()


def test_inline_runner_does_the_same(store: Store, monkeypatch) -> None:
    monkeypatch.setenv("CHAIN_WORKER", "inline")
    runner = build_runner(store, "trainer")
    assert isinstance(runner, InlineRunner)
    run_id = add_claimed(store, "one")
    assert runner.ask({"do": "run", "run": run_id}) == {"state": "finished"}
    assert store.get_run(run_id).state == "finished"
