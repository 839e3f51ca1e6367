"""The thread that lets sweeps go on. A store's sweeps may have several: of each step, one of them does it."""

from __future__ import annotations

import logging
import threading

from chain_core.services.store import Store
from chain_core.services.sweep_steps import advance_sweeps

EVERY_SECONDS = 1.0
log = logging.getLogger(__name__)


class Sweeper:
    """`start()` once; `close()` when the server ends."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._closed = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._work, name="sweeper", daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def _work(self) -> None:
        while not self._closed.wait(EVERY_SECONDS):
            try:
                advance_sweeps(self._store)
            except Exception as error:
                # Whatever it is: the next look may do better, and nobody else looks.
                log.warning("sweeps cannot go on: %s", error)
