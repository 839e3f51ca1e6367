"""One background thread that takes runs from the queue and hands them to a warm worker, one after the other.

The thread computes nothing itself. What it needs to know stands in the store, so that a second server, a
second tab or a restart sees the same queue.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chain_core.config import Config
from chain_core.errors import ChainError, RunError
from chain_core.services.records import BUSY, Run
from chain_core.services.runners import Runner, WorkerDiedError, build_runner
from chain_core.services.store import Store
from chain_core.storage.owners import get_identity, is_alive

POLL_SECONDS = 1.0
"""How often the queue is looked at for runs that another process put there."""
RETRY_SECONDS = 2.0
REWARM_SECONDS = 15.0
"""How often an idle worker that died is started again: one that cannot start must not keep the machine
busy."""
PREDICT_SECONDS = 120.0
"""The first question starts a process and loads a model: allow for it."""


class Supervisor:
    """`start()` once; then `submit`, `stop` and `predict` from any thread."""

    def __init__(self, store: Store, build: Callable[[Store, str], Runner] = build_runner) -> None:
        self._store = store
        self._trainer = build(store, "trainer")
        self._predictor = build(store, "predictor")
        self._predicting = threading.Lock()
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to work, and to warm the worker; end runs that a dead server left behind."""
        if self._thread is not None or os.environ.get("CHAIN_WORKER") == "off":
            return
        self._end_orphans()
        self._thread = threading.Thread(target=self._work, name="supervisor", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def close(self) -> None:
        """End the workers; a run in the middle is marked as failed, the queue stays."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._wake.set()
        self._trainer.close()
        self._predictor.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(10)

    def submit(self, config: Config, folder: Path | None = None) -> str:
        """Queue a run and start on it at once where nothing else runs; its id."""
        run_id = self._store.add_run(config, folder)
        self._wake.set()
        return run_id

    def stop(self, run_id: str) -> str:
        """Ask a run to stop with the best weights so far, or take it out of the queue; its new state."""
        return self._store.request_stop(run_id)

    def warm(self) -> None:
        """Start the process that predicts, without waiting for it: somebody is about to ask."""
        if os.environ.get("CHAIN_WORKER") != "off":
            self._predictor.start()

    def predict(
        self, run_id: str, rows: list[dict[str, Any]], timeout: float = PREDICT_SECONDS
    ) -> list[dict[str, Any]]:
        """Every head's answer for each row, from a second process that training does not hold up.

        Raises RunError where the run cannot predict, the process dies, or `timeout` seconds pass.
        """
        command = {"do": "predict", "run": run_id, "rows": rows}
        with self._predicting:
            try:
                answer = self._predictor.ask(command, timeout)
            except TimeoutError:
                self._predictor.kill()
                raise RunError("predict_timeout", seconds=round(timeout)) from None
            except WorkerDiedError as death:
                raise RunError("predict_died", status=str(_name_status(death.status))) from None
        if "error" in answer:
            error = answer["error"]
            code = "predict_crash" if error["code"] == "crash" else error["code"]
            raise RunError(code, **error["params"])
        return answer["rows"]

    def _work(self) -> None:
        warmed = float("-inf")
        while not self._closed.is_set():
            try:
                if time.monotonic() - warmed > REWARM_SECONDS:
                    warmed = time.monotonic()
                    self._trainer.start()
                run = self._store.claim_run(get_identity(), "cpu")
            except (ChainError, OSError):
                self._closed.wait(RETRY_SECONDS)
                continue
            if run is not None:
                self._execute(run)
                continue
            self._wake.wait(POLL_SECONDS)
            self._wake.clear()

    def _execute(self, run: Run) -> None:
        error: Mapping[str, Any] | None = None
        try:
            error = self._trainer.ask({"do": "run", "run": run.id, "claim": run.claim}).get("error")
        except WorkerDiedError as death:
            error = _describe_death(death)
            if self._closed.is_set():
                error = {"code": "server_gone", "params": {}}
        except Exception as caught:
            # The queue must go on whatever happens to one run.
            error = {"code": "crash", "params": {"reason": f"{type(caught).__name__}: {caught}"}}
        if error is not None:
            self._fail(run, error)

    def _fail(self, run: Run, error: Mapping[str, Any]) -> None:
        """Mark a run as failed, and try again for a while where the store does not take it (a full disk)."""
        for _ in range(30):
            try:
                self._store.finish_run(run.id, "failed", error, run.claim)
                return
            except ChainError as refusal:
                if refusal.code in ("run_lost", "run_unknown"):
                    return
                if self._closed.wait(RETRY_SECONDS):
                    return

    def _end_orphans(self) -> None:
        for run in self._store.list_runs(1000, BUSY):
            if not is_alive(run.owner):
                with contextlib.suppress(RunError):  # another server was quicker
                    self._store.finish_run(run.id, "failed", {"code": "server_gone", "params": {}}, run.claim)


def _describe_death(death: WorkerDiedError) -> dict[str, Any]:
    code = "worker_killed" if death.status == -signal.SIGKILL else "worker_died"
    return {"code": code, "params": {"status": _name_status(death.status)}, "traceback": death.log_tail}


def _name_status(status: int | None) -> str:
    if status is None:
        return "?"
    try:
        return signal.Signals(-status).name if status < 0 else str(status)
    except ValueError:
        return str(status)
