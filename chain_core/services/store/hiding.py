"""Runs and groups that are deleted: hidden at first, brought back or removed for good later.

What is hidden remembers the server that hid it. A group is hidden with its runs, at the same moment, and comes back
with those.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, or_, select, update

from chain_core.errors import RunError
from chain_core.paths import get_folder
from chain_core.services.store.database import Database, lock_group, lock_run
from chain_core.services.store.records import BUSY, Run, make_run
from chain_core.services.store.tables import GROUPS, RUNS
from chain_core.storage.owners import get_identity

_SHOWN = {"deleted": None, "hider": None}


class Hiding(Database):
    """Nothing is lost by hiding it: that is what `purge_runs` and `purge_groups` do."""

    def delete_run(self, run_id: str) -> None:
        """Hide a run; a queued one is not begun meanwhile. Raises RunError while a worker is at it."""
        with self._writing() as connection:
            row = lock_run(connection, run_id)
            if row.state in BUSY:
                raise RunError("run_busy", run=row.name)
            if row.deleted is None:
                connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(_hide()))

    def restore_run(self, run_id: str) -> bool:
        """Show a hidden run again; False where it is being removed for good. Raises RunError where it has been."""
        with self._writing() as connection:
            if lock_run(connection, run_id).deleted == 0:
                return False
            connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(_SHOWN))
            return True

    def list_hidden_runs(self, limit: int = 50) -> list[Run]:
        """The latest first, without those of a hidden group: they come and go with it."""
        hidden_groups = select(GROUPS.c.id).where(GROUPS.c.deleted.is_not(None))
        alone = or_(RUNS.c.group_id.is_(None), RUNS.c.group_id.not_in(hidden_groups))
        query = select(RUNS).where(RUNS.c.deleted.is_not(None), alone)
        with self._reading() as connection:
            found = connection.execute(query.order_by(RUNS.c.deleted.desc(), RUNS.c.id).limit(limit))
            return [make_run(row) for row in found]

    def purge_runs(self, run_ids: Iterable[str]) -> list[str]:
        """Remove hidden runs for good, their events, curves and folders too; those that were removed."""
        removed = []
        for run_id in run_ids:
            hidden = (RUNS.c.id == run_id) & RUNS.c.deleted.is_not(None) & RUNS.c.state.not_in(BUSY)
            with self._writing() as connection:  # from here on nobody brings it back
                if connection.execute(update(RUNS).where(hidden).values(deleted=0.0)).rowcount == 0:
                    continue
            _remove_folder(run_id)
            with self._writing() as connection:
                connection.execute(delete(RUNS).where(RUNS.c.id == run_id, RUNS.c.deleted == 0))
            removed.append(run_id)
        return removed

    def delete_group(self, group_id: str) -> None:
        """Hide a group and its runs; nothing of it is begun meanwhile. Raises RunError while a worker is at one."""
        own = RUNS.c.group_id == group_id
        with self._ordering() as connection:
            row = lock_group(connection, group_id)
            if connection.execute(select(RUNS.c.id).where(own, RUNS.c.state.in_(BUSY)).limit(1)).first():
                raise RunError("group_busy", group=row.name)
            if row.deleted is None:
                values = _hide()  # the same moment for all: by it they come back together
                connection.execute(update(GROUPS).where(GROUPS.c.id == group_id).values(values))
                connection.execute(update(RUNS).where(own, RUNS.c.deleted.is_(None)).values(values))

    def restore_group(self, group_id: str) -> bool:
        """Show a hidden group again, and the runs that were hidden with it; False where it is being removed for good.
        Raises RunError where it has been."""
        with self._ordering() as connection:
            row = lock_group(connection, group_id)
            if row.deleted == 0:
                return False
            together = (RUNS.c.group_id == group_id) & (RUNS.c.deleted == row.deleted)
            connection.execute(update(RUNS).where(together).values(_SHOWN))
            connection.execute(update(GROUPS).where(GROUPS.c.id == group_id).values(_SHOWN))
            return True

    def purge_groups(self, group_ids: Iterable[str]) -> list[str]:
        """Remove hidden groups for good, their hidden runs too; those that were removed."""
        removed = []
        for group_id in group_ids:
            this, own = GROUPS.c.id == group_id, RUNS.c.group_id == group_id
            with self._writing() as connection:  # from here on nobody brings it back
                hidden = update(GROUPS).where(this, GROUPS.c.deleted.is_not(None))
                if connection.execute(hidden.values(deleted=0.0)).rowcount == 0:
                    continue
            with self._reading() as connection:
                run_ids = list(connection.scalars(select(RUNS.c.id).where(own, RUNS.c.deleted.is_not(None))))
            self.purge_runs(run_ids)
            with self._writing() as connection:
                connection.execute(update(RUNS).where(own).values(group_id=None))  # those that were brought back alone
                connection.execute(delete(GROUPS).where(this, GROUPS.c.deleted == 0))
            removed.append(group_id)
        return removed


def _hide() -> dict[str, Any]:
    """What hides a run or a group, now and by this server."""
    return {"deleted": time.time(), "hider": get_identity()}


def _remove_folder(run_id: str) -> None:
    runs = get_folder("runs")
    folder = runs / run_id
    if folder.parent != runs or run_id in ("", ".", ".."):
        return  # no name of a folder of ours
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)
