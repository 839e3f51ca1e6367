"""Deleted runs stay hidden for a while, so that they can be brought back; this removes them for good."""

from __future__ import annotations

import time

from chain_core.services.store.store import Store

KEPT_SECONDS = 600.0
"""How long a deleted run can be brought back."""
_MOST = 1000


class Purger:
    """Watches what is hidden by this process's own clock, which nobody sets. What was hidden before it began goes at
    once: the server that hid it has ended."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[str, float] = {}
        """Run -> when it was first found hidden."""
        self._kept = 0.0

    def look(self) -> None:
        """Sweep by the clock: the first time that succeeds all that is hidden, from then on what has been so for long
        enough."""
        self.sweep(time.monotonic(), self._kept)
        self._kept = KEPT_SECONDS

    def sweep(self, now: float, kept: float = KEPT_SECONDS) -> list[str]:
        """Remove the runs that were found hidden `kept` seconds before `now`, on the clock of `monotonic`; which."""
        hidden = [run.id for run in self._store.list_runs(_MOST, deleted=True)]
        self._seen = {run_id: self._seen.get(run_id, now) for run_id in hidden}
        return self._store.purge_deleted(run_id for run_id, seen in self._seen.items() if now - seen >= kept)
