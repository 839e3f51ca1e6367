"""The worker process by itself: its protocol and its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Thread, Timer

import pytest

from chain_core.config import resolve_config
from chain_core.paths import PROJECT
from chain_core.services.store.store import Store
from chain_core.services.workers.runners import InlineRunner, ProcessRunner, build_runner, read_tail
from tests.services.waiting import wait_for


def start(store: Store, role: str = "trainer") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "chain_core.services.workers.worker", "--store", store.url, "--role", role]
    return subprocess.Popen(
        command, cwd=PROJECT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def add_claimed(store: Store, name: str, epochs: int = 1) -> dict:
    """The command that has a new run executed."""
    store.add_run(resolve_config({"name": name, "data": {"train": "x"}, "train": {"epochs": epochs}}))
    run = store.claim_run({})
    assert run is not None
    return {"do": "run", "run": run.id, "claim": run.claim}


def test_stdout_holds_answers_only(store: Store) -> None:
    worker = start(store)
    command = add_claimed(store, "one")
    out, err = worker.communicate(json.dumps({**command, "request": 1}) + "\n", timeout=60)
    # The end of stdin ends the process, perhaps before the run: whatever came is JSON.
    assert all(isinstance(json.loads(line), dict) for line in out.splitlines())
    assert "printed by C" not in out
    assert worker.returncode == 0
    assert "the server is gone" in err


def test_prints_do_not_break_the_protocol(store: Store, trainer: ProcessRunner) -> None:
    command = add_claimed(store, "one")
    assert trainer.ask(command)["state"] == "finished"
    log = trainer._log.read_text()
    assert "a library prints" in log
    assert "printed by C" in log


def begin(store: Store, name: str, epochs: int) -> tuple[subprocess.Popen[str], str]:
    """A worker in the middle of a run."""
    worker = start(store)
    assert worker.stdin is not None
    assert worker.stdout is not None
    assert json.loads(worker.stdout.readline())["ready"]
    command = add_claimed(store, name, epochs)
    worker.stdin.write(json.dumps({**command, "request": 1}) + "\n")
    worker.stdin.flush()
    wait_for(lambda: store.get_run(command["run"]).progress.get("epoch"))
    return worker, command["run"]


def test_a_worker_whose_server_is_gone_finishes_its_run_and_ends(store: Store) -> None:
    worker, run_id = begin(store, "slow", epochs=3)
    worker.stdin.close()
    worker.stdout.close()
    assert worker.wait(60) == 0
    assert store.get_run(run_id).state == "finished"
    assert [event["step"] for event in store.read_events(run_id, kinds=("step",))] == list(range(1, 31))


def test_a_worker_whose_server_is_gone_still_does_what_it_is_asked(store: Store) -> None:
    worker, run_id = begin(store, "slow", epochs=10_000)
    worker.stdin.close()
    store.request_stop(run_id)
    assert worker.wait(60) == 0
    assert store.get_run(run_id).state == "stopped"


def test_an_idle_worker_ends_with_its_server(store: Store) -> None:
    worker = start(store)
    assert worker.stdin is not None
    assert worker.stdout is not None
    assert json.loads(worker.stdout.readline())["ready"]
    worker.stdin.close()
    assert worker.wait(60) == 0


@pytest.mark.parametrize("how", ["word", "signal"])
def test_a_worker_that_is_to_leave_puts_its_run_back(store: Store, how: str) -> None:
    worker, run_id = begin(store, "slow", epochs=10_000)
    if how == "word":
        worker.stdin.write(json.dumps({"do": "leave"}) + "\n")
        worker.stdin.close()
    else:
        worker.terminate()
    assert worker.wait(60) == 0
    run = store.get_run(run_id)
    assert (run.state, run.worker, run.error, run.deaths) == ("queued", None, None, ())


def test_a_worker_that_dies_and_still_swallows_commands_is_replaced(
    store: Store, trainer: ProcessRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trainer.start()
    dying = trainer._process
    assert dying is not None
    dying.kill()
    wait_for(lambda: not trainer._answers.empty() and trainer._answers.queue[-1] is None)
    # As the kernel has it for a moment: its answers have ended, but not its inbox, and nobody can wait for it yet.
    monkeypatch.setattr(dying, "poll", lambda: dying.returncode)
    with (tmp_path / "swallowed").open("w") as inbox:
        dying.stdin, stdin = inbox, dying.stdin
        answer = trainer.ask(add_claimed(store, "one"), timeout=60)
    assert answer["state"] == "finished"
    assert trainer.pid not in (None, dying.pid)
    stdin.close()


def test_trainer_is_nicer_than_predictor(store: Store, trainer: ProcessRunner) -> None:
    command = add_claimed(store, "one")
    trainer.ask(command)
    predictor = ProcessRunner(store.url, "predictor")
    try:
        predictor.ask({"do": "predict", "run": command["run"], "rows": [{"text": "a"}]})
        assert trainer.pid is not None
        assert predictor.pid is not None
        mine = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, trainer.pid) == min(19, mine + 10)
        assert os.getpriority(os.PRIO_PROCESS, predictor.pid) == mine
        for pid, nice in ((trainer.pid, 10), (predictor.pid, 0)):
            group = Path(f"/proc/{pid}/autogroup")
            assert not group.exists() or group.read_text().split()[1:] == ["nice", str(nice)]
    finally:
        predictor.close()


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="sessions are not weighed here")
def test_a_worker_in_a_session_of_others_leaves_them_their_weight(store: Store) -> None:
    def read() -> list[str]:
        return Path("/proc/self/autogroup").read_text().split()

    before, worker = read(), start(store)
    assert worker.stdout is not None
    assert json.loads(worker.stdout.readline())["ready"]
    assert read() == before
    worker.communicate()


def test_chinese_goes_through_the_pipe(store: Store) -> None:
    runner = ProcessRunner(store.url, "predictor")
    command = add_claimed(store, "one")
    try:
        answer = runner.ask({"do": "predict", "run": command["run"], "rows": [{"text": "打开\n客厅的灯 \u2028"}]})
        assert answer["rows"][0]["text"] == "打开\n客厅的灯 \u2028"
    finally:
        runner.close()


def test_inline_runner_does_the_same(store: Store, monkeypatch) -> None:
    monkeypatch.setenv("CHAIN_WORKER", "inline")
    runner = build_runner(store, "trainer")
    assert isinstance(runner, InlineRunner)
    command = add_claimed(store, "one")
    assert runner.ask(command) == {"state": "finished"}
    assert store.get_run(command["run"]).state == "finished"


def test_a_late_worker_leaves_a_run_that_it_has_lost_alone(store: Store, monkeypatch) -> None:
    monkeypatch.setenv("CHAIN_WORKER", "inline")
    command = add_claimed(store, "one")
    assert store.requeue_run(command["run"], command["claim"]) == "queued"
    assert build_runner(store, "trainer").ask(command) == {"state": "lost"}
    run = store.get_run(command["run"])
    assert (run.state, run.worker) == ("queued", None)
    assert store.read_events(run.id) == []


def test_a_worker_that_loses_its_run_in_the_middle_writes_no_more(store: Store) -> None:
    trainer, events = ProcessRunner(store.url, "trainer"), []
    command = add_claimed(store, "slow", epochs=10_000)
    answer = Thread(target=lambda: events.append(trainer.ask(command)))
    answer.start()
    try:
        wait_for(lambda: store.get_run(command["run"]).progress.get("epoch"))
        store.requeue_run(command["run"], command["claim"])
        told = len(store.read_events(command["run"]))
        answer.join(30)
        assert events == [{"state": "lost", "request": 1}]
        assert len(store.read_events(command["run"])) == told
        assert store.get_run(command["run"]).state == "queued"
    finally:
        trainer.close()


@pytest.mark.parametrize(("control", "state"), [("pause", "paused"), ("cancel", "cancelled"), ("stop", "stopped")])
def test_a_worker_does_what_it_is_asked(store: Store, trainer: ProcessRunner, control: str, state: str) -> None:
    command = add_claimed(store, "slow", epochs=10_000)
    Timer(0.5, lambda: getattr(store, f"request_{control}")(command["run"])).start()
    assert trainer.ask(command)["state"] == state
    assert store.get_run(command["run"]).state == state


def test_a_second_attempt_tells_its_story_from_the_start(store: Store, trainer: ProcessRunner) -> None:
    command = add_claimed(store, "one")
    store.append_events(command["run"], [{"kind": "step", "step": n, "loss": 1.0} for n in range(500)])
    store.requeue_run(command["run"], command["claim"])
    again = store.claim_run({})
    assert again is not None
    assert trainer.ask({**command, "claim": again.claim})["state"] == "finished"
    steps = [event["step"] for event in store.read_events(again.id, kinds=("step",))]
    assert steps == list(range(1, 11))
    assert store.read_curves(again.id)["train/loss"].step == steps


@pytest.mark.parametrize(("threads", "kept"), [(0, 40), (3, 40), (80, 82)])
def test_the_end_of_a_log_holds_all_of_a_fault(tmp_path: Path, threads: int, kept: int) -> None:
    lines = [f"line {number}" for number in range(100)]
    if threads:
        lines += ["Fatal Python error: Segmentation fault", *["Thread"] * threads, "Extension modules"]
    log = tmp_path / "trainer.log"
    log.write_text("\n".join(["Fatal Python error: an earlier worker's", *lines]))
    assert read_tail(log, start=10).splitlines() == lines[-kept:]
    assert read_tail(tmp_path / "none.log") == ""
