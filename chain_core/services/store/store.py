"""The store: data sets, runs, their events and curves, settings. What screens read and workers write.

Several processes use one store at once: each method is one short transaction. Files (rows, weights,
predictions) lie beside it, under `chain_core.paths`.
"""

from __future__ import annotations

from chain_core.services.store.data_entries import DataEntries, Settings
from chain_core.services.store.groups import Groups
from chain_core.services.store.hiding import Hiding
from chain_core.services.store.records import Run
from chain_core.services.store.run_entries import RunEntries
from chain_core.services.store.run_events import RunEvents
from chain_core.services.store.run_queue import RunQueue

__all__ = ["Run", "Store"]


class Store(RunEntries, RunQueue, RunEvents, Groups, Hiding, DataEntries, Settings):
    """One database. `url` is any SQLAlchemy URL; the default is what CHAIN_STORE names, or `store.db` in the
    workspace."""
