"""One device's background thread: it takes runs from the queue and hands them to a warm worker, one after the other.

The thread computes nothing itself. What it needs to know stands in the store, so that a second server, a
second tab or a restart sees the same queue.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chain_core.errors import ChainError
from chain_core.services.runs.checkpoint_names import find_step
from chain_core.services.store.deaths import describe_death
from chain_core.services.store.records import BUSY, Run
from chain_core.services.store.store import Store
from chain_core.services.workers.recorder import LOST
from chain_core.services.workers.runners import Runner, WorkerDiedError
from chain_core.storage.owners import get_identity

POLL_SECONDS = 0.5
"""How often the queue is looked at for runs that another process put there."""
RETRY_SECONDS = 2.0
REWARM_SECONDS = 15.0
"""How often an idle worker that died is started again: one that cannot start must not keep the machine
busy."""
log = logging.getLogger(__name__)


class Station:
    """`start()` once; `wake()` when the queue has changed."""

    def __init__(self, store: Store, device: str, wishes: Sequence[str], runner: Runner) -> None:
        self._store, self._wishes, self._runner = store, tuple(wishes), runner
        self.device = device
        self._identity = get_identity()
        self._claiming = threading.Lock()
        self._holding: str | None = None
        """The claim of the run that the worker has or is about to get."""
        self._wake, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"station {device}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def leave(self) -> None:
        """Have the run put down, for good: it stays in the queue."""
        self._closed.set()
        self._wake.set()
        self._runner.leave()

    def close(self, patience: float) -> None:
        """After `leave`: wait for at most so long."""
        self._runner.close(patience)
        if self._thread.is_alive():
            self._thread.join(patience)

    def holds(self, run_id: str, claim: str | None) -> bool:
        """Whether this thread looks after a run, or it is not as it seemed any more."""
        with self._claiming:
            run = self._store.get_run(run_id)
            return run.claim != claim or run.state not in BUSY or self._holding == claim

    def _work(self) -> None:
        warmed = float("-inf")
        while not self._closed.is_set():
            try:
                run = None
                if not self._is_occupied():
                    if time.monotonic() - warmed > REWARM_SECONDS:
                        warmed = time.monotonic()
                        self._runner.start()
                    run = self._claim()
            except (ChainError, OSError) as error:
                log.warning("the queue cannot be read: %s", error)
                self._closed.wait(RETRY_SECONDS)
                continue
            if run is None:
                self._wake.wait(POLL_SECONDS)
                self._wake.clear()
                continue
            try:
                self._execute(run)
            finally:
                self._holding = None

    def _is_occupied(self) -> bool:
        """Whether an adopted run still goes on here."""
        busy = self._store.list_runs(1000, BUSY)
        return any(run.owner == self._identity and run.device == self.device for run in busy)

    def _claim(self) -> Run | None:
        with self._claiming:
            run = self._store.claim_run(self._identity, self.device, self._wishes)
            self._holding = run.claim if run is not None else None
        return run

    def _execute(self, run: Run) -> None:
        error: Mapping[str, Any] | None = None
        try:
            error = self._runner.ask({"do": "run", "run": run.id, "claim": run.claim}).get("error")
        except WorkerDiedError as death:
            if self._closed.is_set() and not death.status:
                self._settle(lambda: self._store.requeue_run(run.id, run.claim))
                return
            said = describe_death(death.status, death.log_tail)
            self._settle(lambda: self._store.bury_worker(run.id, run.claim, said, find_step(run.path)))
        except Exception as caught:
            # The queue must go on whatever happens to one run.
            error = {"code": "crash", "params": {"reason": f"{type(caught).__name__}: {caught}"}}
        if error is not None:
            self._settle(lambda: self._store.finish_run(run.id, "failed", error, run.claim))

    def _settle(self, call: Callable[[], Any]) -> None:
        """Tell the store what became of a run, however long it is away: it holds the run's place meanwhile."""
        while True:
            try:
                call()
                return
            except ChainError as refusal:
                if refusal.code in LOST or self._closed.wait(RETRY_SECONDS):
                    return
