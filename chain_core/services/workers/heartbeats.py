"""Whether the worker of a busy run still lives, wherever it is."""

from __future__ import annotations

import time
from collections.abc import Callable

from chain_core.services.store.records import Run
from chain_core.storage.owners import is_alive, is_foreign

PATIENCE_SECONDS = 60.0
"""For so long may another host's worker be silent: a suspended machine, a network that comes back."""


class Heartbeats:
    """Remembers when it saw each run's beat change, by this process's own clock that nobody sets."""

    def __init__(self, patience: float = PATIENCE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience, self._clock = patience, clock
        self._seen: dict[str, tuple[str | None, int, float]] = {}
        """Run -> its claim, its beat, when that beat was first seen."""

    def is_alive(self, run: Run) -> bool:
        """Whether a process works for the run: of this host the kernel says so, of another one its beat.

        The process is the worker, or the server as long as no worker has taken the run up.
        """
        identity = run.worker or run.owner
        if not identity:
            return False
        if not is_foreign(identity):
            self._seen.pop(run.id, None)
            return is_alive(identity)
        claim, beat, since = self._seen.get(run.id, (None, -1, 0.0))
        now = self._clock()
        if (claim, beat) != (run.claim, run.beat):
            self._seen[run.id] = (run.claim, run.beat, now)
            return True
        return now - since < self._patience
