"""Whether the worker of a busy run still lives, wherever it is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chain_core.services.store.records import Run
from chain_core.storage.owners import is_alive, is_foreign

PATIENCE_SECONDS = 60.0
"""For so long may another host's worker be silent: a suspended machine, a network that comes back."""
GAP_SECONDS = 10.0
"""From one look at the store to the next. If it takes longer, the store was away, for other hosts perhaps as well."""


class Heartbeats:
    """Remembers when it saw each run's beat change, by this process's own clock that nobody sets."""

    def __init__(self, patience: float = PATIENCE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience, self._clock = patience, clock
        self._seen: dict[str, tuple[str | None, int, float]] = {}
        """Run -> its claim, its beat, when that beat was first seen."""
        self._looked = -math.inf
        """When the last look ended; never where that did not get through."""

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Around what is done about all runs, once they have been read. While the store was away no beat could be told
        or heard: after that every worker has all of its time again."""
        if self._clock() - self._looked > GAP_SECONDS:
            self._seen.clear()
        self._looked = -math.inf
        yield
        self._looked = self._clock()

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
