"""Looks after runs whose server or worker is gone: adopts those that still train, puts the others back into the queue.

Of this host the kernel says who lives; of another one, whether the run's beat counts up. Whatever is done compares the
run's claim first, so that of several servers one does it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from chain_core.errors import ChainError
from chain_core.paths import get_folder
from chain_core.services.runs.checkpoint_names import find_step
from chain_core.services.store.deaths import describe_death
from chain_core.services.store.records import BUSY, Run
from chain_core.services.store.store import Store
from chain_core.services.workers.heartbeats import Heartbeats
from chain_core.services.workers.runners import name_log, read_tail
from chain_core.services.workers.station import Station
from chain_core.storage.owners import get_identity, is_alive, is_foreign, is_of_this_boot

log = logging.getLogger(__name__)


class Caretaker:
    """`look()` now and then."""

    def __init__(self, store: Store, stations: dict[str, Station], wake: Callable[[], None]) -> None:
        """`wake`: called when a run has come back into the queue."""
        self._store, self._stations, self._wake = store, stations, wake
        self._identity, self._beats = get_identity(), Heartbeats()

    def look(self) -> None:
        """Decide on every busy run that no thread of this server holds. Raises ChainError where the store is away."""
        runs = self._store.list_runs(1000, BUSY)
        with self._beats.looking():
            for run in runs:
                if not self._is_held(run):
                    self._decide(run)

    def _is_held(self, run: Run) -> bool:
        if run.owner != self._identity:
            return False
        station = self._stations.get(run.device or "")
        return station is not None and station.holds(run.id, run.claim)

    def _decide(self, run: Run) -> None:
        owner = run.owner or {}
        mine = run.owner == self._identity
        if owner and is_foreign(owner):
            if not self._beats.is_alive(run):
                self._bury(run, {"code": "host_silent", "params": {"host": owner["host"]}})
        elif run.worker is None:
            if mine or not is_alive(owner):  # nobody is about to take it up
                self._put_back(run)
        elif is_alive(run.worker):
            if not is_alive(owner) and run.claim:
                log.info("adopting run %s from a server that is gone", run.id)
                self._store.adopt_run(run.id, run.claim, run.owner, self._identity)
        elif mine:
            tail = read_tail(get_folder("logs") / name_log("trainer", run.device))
            self._bury(run, describe_death(None, tail))
        elif not is_alive(owner):
            restarted = not is_of_this_boot(run.worker)
            self._bury(run, {"code": "machine_restarted" if restarted else "server_gone", "params": {}})

    def _bury(self, run: Run, error: dict[str, Any]) -> None:
        log.warning("run %s goes back into the queue: %s", run.id, error["code"])
        if self._store.bury_worker(run.id, run.claim, error, find_step(run.path)):
            self._wake()

    def _put_back(self, run: Run) -> None:
        try:
            if self._store.requeue_run(run.id, run.claim):
                self._wake()
        except ChainError as error:
            if error.code != "run_unknown":
                raise
