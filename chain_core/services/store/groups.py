"""Groups of runs in the store, such as sweeps."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from chain_core.config import Config
from chain_core.errors import RunError
from chain_core.services.store.curves import make_finite
from chain_core.services.store.database import Database, lock_group, make_id
from chain_core.services.store.records import Group
from chain_core.services.store.run_entries import insert_run
from chain_core.services.store.tables import GROUPS, METRICS, RUNS

PRIORITY = -1
"""Of a group's runs: one that somebody waits for goes first."""


class Groups(Database):
    """A run belongs to the group that its `group_id` names."""

    def add_group(self, name: str, kind: str, spec: Mapping[str, Any], state: str = "running") -> str:
        """The new group's id. `spec` is plain JSON."""
        group_id = make_id()
        values = {
            "id": group_id, "name": name[:200], "kind": kind, "spec": make_finite(spec), "state": state,
            "created": time.time(),
        }  # fmt: skip
        with self._writing() as connection:
            connection.execute(insert(GROUPS).values(values))
        return group_id

    def get_group(self, group_id: str) -> Group:
        """Also a hidden one. Raises RunError where there is no such group."""
        with self._reading() as connection:
            row = connection.execute(select(GROUPS).where(GROUPS.c.id == group_id)).one_or_none()
        if row is None:
            raise RunError("group_unknown", group=group_id)
        return Group(**row._mapping)

    def list_groups(
        self, limit: int = 50, states: Sequence[str] | None = None, *, deleted: bool = False
    ) -> list[Group]:
        """The newest first, those that are hidden or not; only those in `states`, where given."""
        hidden = GROUPS.c.deleted.is_not(None) if deleted else GROUPS.c.deleted.is_(None)
        query = select(GROUPS).where(hidden).order_by(GROUPS.c.created.desc(), GROUPS.c.id.desc()).limit(limit)
        if states is not None:
            query = query.where(GROUPS.c.state.in_(states))
        with self._reading() as connection:
            return [Group(**row._mapping) for row in connection.execute(query)]

    def rename_group(self, group_id: str, name: str, runs: Mapping[str, tuple[str, str]]) -> None:
        """Name a group, and the trials that it is still to make, anew. `runs`: id -> old and new name of runs that
        follow it; one that somebody has renamed stays."""
        with self._ordering() as connection:
            row = lock_group(connection, group_id)
            connection.execute(update(GROUPS).where(GROUPS.c.id == group_id).values(name=name))
            _set_spec(connection, row, sweep={**row.spec["sweep"], "name": name})
            for run_id, (old, new) in runs.items():
                connection.execute(update(RUNS).where(RUNS.c.id == run_id, RUNS.c.name == old).values(name=new))

    def set_group_state(self, group_id: str, state: str) -> None:
        """Raises RunError where there is no such group."""
        with self._writing() as connection:
            if connection.execute(update(GROUPS).where(GROUPS.c.id == group_id).values(state=state)).rowcount == 0:
                raise RunError("group_unknown", group=group_id)

    def change_group(self, group_id: str, before: Sequence[str], state: str) -> bool:
        """Set a group's state where it is one of `before`; False where it is another, or the group is hidden."""
        this = (GROUPS.c.id == group_id) & GROUPS.c.state.in_(before) & GROUPS.c.deleted.is_(None)
        with self._writing() as connection:
            return connection.execute(update(GROUPS).where(this).values(state=state)).rowcount == 1

    def add_trial(
        self, group_id: str, number: int, trial: Mapping[str, Any], config: Config | None, folder: Path
    ) -> bool:
        """Queue the run of a group's trial `number`; False where that was done before, or the group does not run
        or is hidden.

        In one transaction with the group's memory of it, `spec["trials"]`: so no trial is lost or queued twice, whoever
        is quicker or dies. Without a `config` nothing is queued, and only the trial is remembered.
        """
        with self._ordering() as connection:
            row = lock_group(connection, group_id)
            trials = list(row.spec["trials"])
            if row.deleted is not None or row.state != "running" or row.spec["made"] != number:
                return False
            trials[number:] = [make_finite(trial), *trials[number + 1 :]]
            _set_spec(connection, row, trials=trials, made=number + 1)
            if config is not None:
                run_id = build_trial_id(group_id, number)
                insert_run(connection, run_id, config, folder, PRIORITY, group_id=group_id)
            return True

    def mark_trial(self, group_id: str, number: int, **marks: Any) -> None:
        """Remember something of a trial."""
        with self._ordering() as connection:
            row = lock_group(connection, group_id)
            trials = list(row.spec["trials"])
            trials[number] = {**trials[number], **marks}
            _set_spec(connection, row, trials=trials)

    def set_group_count(self, group_id: str, count: int) -> None:
        """How many trials a search is to make."""
        with self._ordering() as connection:
            row = lock_group(connection, group_id)
            _set_spec(connection, row, sweep={**row.spec["sweep"], "count": count})

    def read_scores(self, group_id: str) -> dict[str, list[tuple[int, float]]]:
        """Run -> (epoch, validation score) of each of its epochs, in order."""
        query = (
            select(METRICS.c.run_id, METRICS.c.epoch, METRICS.c.value)
            .join(RUNS, RUNS.c.id == METRICS.c.run_id)
            .where(RUNS.c.group_id == group_id, METRICS.c.series == "validation/score")
            .order_by(METRICS.c.run_id, METRICS.c.step)
        )
        scores: dict[str, list[tuple[int, float]]] = {}
        with self._reading() as connection:
            for run_id, epoch, value in connection.execute(query):
                if epoch is not None and value is not None:
                    scores.setdefault(run_id, []).append((int(epoch), value))
        return scores


def build_trial_id(group_id: str, number: int) -> str:
    """The run's id: known before there is a run."""
    return f"{group_id}-{number:03d}"


def _set_spec(connection: Connection, row: Row[Any], **changes: Any) -> None:
    values = {"spec": {**row.spec, **changes}}
    connection.execute(update(GROUPS).where(GROUPS.c.id == row.id).values(values))
