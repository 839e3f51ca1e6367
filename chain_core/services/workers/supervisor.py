"""Runs in the background: one thread and one warm worker a device, a thread that looks after what others left, and a
second process that predicts.

What they need to know stands in the store, so that a second server, a second tab or a restart sees the same queue.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chain_core.config import Config
from chain_core.errors import ChainError, RunError
from chain_core.services.store.deaths import name_status
from chain_core.services.store.store import Store
from chain_core.services.sweeps.steps import advance_sweeps
from chain_core.services.workers.caretaker import Caretaker
from chain_core.services.workers.devices import find_devices, list_wishes
from chain_core.services.workers.purging import Purger
from chain_core.services.workers.repeating import Repeating
from chain_core.services.workers.runners import Runner, WorkerDiedError, build_runner
from chain_core.services.workers.station import Station

LOOK_SECONDS, PURGE_SECONDS = 1.0, 15.0
"""From one look to the next: at runs that others left and at sweeps, at runs that were deleted."""
LEAVE_SECONDS = 10.0
"""How long a server that ends waits for its workers to put their runs down; after that they do so alone."""
PREDICT_SECONDS = 120.0
"""The first question starts a process and loads a model: allow for it."""
Build = Callable[[Store, str, str | None], Runner]


class Supervisor:
    """`start()` once; the other methods from any thread."""

    def __init__(self, store: Store, build: Build = build_runner, devices: Sequence[str] | None = None) -> None:
        """`devices`: those that get a worker; by default those that this machine has."""
        self._store, self._build, self._devices = store, build, devices
        self._predictor = build(store, "predictor", None)
        self._predicting = threading.Lock()
        self._stations: dict[str, Station] = {}
        self._caretaker = Caretaker(store, self._stations, self.wake)
        self._repeated = (
            Repeating("caretaker", LOOK_SECONDS, self._caretaker.look),
            Repeating("sweeper", LOOK_SECONDS, lambda: advance_sweeps(store)),
            Repeating("purger", PURGE_SECONDS, Purger(store).look, at_once=True),
        )
        self._begun = self._closed = False

    def start(self) -> None:
        """Begin to work, and to warm the workers; look after what dead servers left behind."""
        if self._begun or os.environ.get("CHAIN_WORKER") == "off":
            return
        self._begun = True
        devices = tuple(self._devices or find_devices())
        alone = self._store.url.startswith("sqlite")
        for device in devices:
            runner = self._build(self._store, "trainer", device)
            self._stations[device] = Station(self._store, device, list_wishes(device, devices, alone=alone), runner)
        with contextlib.suppress(ChainError):  # a store that is away: the thread looks again
            self._caretaker.look()
        for station in self._stations.values():
            station.start()
        for repeated in self._repeated:
            repeated.start()
        atexit.register(self.close)

    def close(self) -> None:
        """End the workers; a run in the middle goes back into the queue, with a checkpoint."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        for repeated in self._repeated:
            repeated.close()
        for station in self._stations.values():
            station.leave()
        end = time.monotonic() + LEAVE_SECONDS
        for station in self._stations.values():
            station.close(max(0.1, end - time.monotonic()))
        self._predictor.close()

    # ---- runs

    def submit(self, config: Config, folder: Path | None = None, **filing: Any) -> str:
        """Queue a run and start on it at once where nothing else runs; its id. `filing`: as `Store.add_run`."""
        run_id = self._store.add_run(config, folder, **filing)
        self.wake()
        return run_id

    def stop(self, run_id: str) -> str:
        """Ask a run to stop with the best weights so far, or take it out of the queue; its new state."""
        return self._wake_after(self._store.request_stop(run_id))

    def pause(self, run_id: str) -> str:
        """Keep a run's place on disk and free its device; its new state."""
        return self._store.request_pause(run_id)

    def resume(self, run_id: str) -> str:
        """Go on with a paused run; its new state."""
        return self._wake_after(self._store.request_resume(run_id))

    def cancel(self, run_id: str) -> str:
        """End a run without a report; its new state."""
        return self._store.request_cancel(run_id)

    def retry(self, run_id: str) -> str:
        """Queue a failed, stopped or cancelled run again, to go on from its checkpoint; its new state."""
        return self._wake_after(self._store.request_retry(run_id))

    def wake(self) -> None:
        """Look at the queue now."""
        for station in self._stations.values():
            station.wake()

    def _wake_after(self, state: str) -> str:
        self.wake()
        return state

    # ---- predictions

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
                raise RunError("predict_died", status=str(name_status(death.status))) from None
        if "error" in answer:
            error = answer["error"]
            code = "predict_crash" if error["code"] == "crash" else error["code"]
            raise RunError(code, **error["params"])
        return answer["rows"]
