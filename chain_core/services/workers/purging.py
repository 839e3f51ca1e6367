"""Deleted runs and sweeps stay hidden for a while, so that they can be brought back; this removes them for good."""

from __future__ import annotations

import math
import time

from chain_core.services.store.records import Group, Run
from chain_core.services.store.store import Store
from chain_core.storage.owners import is_alive

KEPT_SECONDS = 600.0
"""How long what was deleted can be brought back."""
_MOST = 1000


class Purger:
    """Watches what is hidden by this process's own clock, which nobody sets. What a server hid that has ended before
    this one began goes at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[tuple[str, float | None], float] = {}
        """Run or group, and when it was hidden by the clock of the server that did -> when it was first found so."""
        self._begun = False

    def look(self) -> None:
        """Sweep by the clock."""
        self.sweep(time.monotonic())

    def sweep(self, now: float) -> list[str]:
        """Remove what was found hidden long enough before `now`, on the clock of `monotonic`, and what somebody left
        half removed; the ids."""
        runs, groups = self._store.list_hidden_runs(_MOST), self._store.list_groups(_MOST, deleted=True)
        seen: dict[tuple[str, float | None], float] = {}
        entries: list[Run | Group] = [*runs, *groups]
        for entry in entries:
            first = now if self._begun or is_alive(entry.hider) else -math.inf
            seen[entry.id, entry.deleted] = self._seen.get((entry.id, entry.deleted), first)
        self._seen, self._begun = seen, True
        due = {name for (name, deleted), first in seen.items() if deleted == 0 or now - first >= KEPT_SECONDS}
        removed = self._store.purge_groups(group.id for group in groups if group.id in due)
        return removed + self._store.purge_runs(run.id for run in runs if run.id in due)
