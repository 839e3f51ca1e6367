"""The store: data sets, runs, their events and curves, settings. What screens read and workers write.

Several processes use one store at once: each method is one short transaction. Files (rows, weights,
predictions) lie beside it, under `chain_core.paths`.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from chain_core.config import Config, dump_yaml
from chain_core.errors import ChainError, ResourceError, RunError
from chain_core.paths import get_home
from chain_core.services.curves import compute_points, compute_progress, make_finite
from chain_core.services.records import BUSY, STATES, Curve, DataEntry, Run, make_run
from chain_core.services.tables import DATA_SETS, EVENTS, METRICS, RUNS, SETTINGS, build_engine

if TYPE_CHECKING:
    from chain_core.data.store import DataSet


class Store:
    """One database. `url` is any SQLAlchemy URL; the default is `store.db` in the workspace."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url or f"sqlite:///{get_home() / 'store.db'}"
        with _explain():
            self._engine = build_engine(self.url)
        self._writer = self._engine.execution_options(write=True)

    def close(self) -> None:
        self._engine.dispose()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _explain(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        with _explain(), self._writer.begin() as connection:
            yield connection

    # ---- runs

    def add_run(self, config: Config, folder: Path | None = None) -> str:
        """Queue a run of `config`, whose relative paths start from `folder` (default: the workspace)."""
        now = time.time()
        run_id = time.strftime("%Y%m%d-%H%M%S-", time.localtime(now)) + secrets.token_hex(3)
        with self._writing() as connection:
            source = config.data.train
            known = select(DATA_SETS.c.id).where(or_(DATA_SETS.c.id == source, DATA_SETS.c.name == source))
            values = {
                "id": run_id, "name": config.name, "state": "queued", "config": dump_yaml(config),
                "folder": str(folder or get_home()), "data_id": connection.scalar(known), "created": now,
                "control": "", "progress": {"epochs": sum(stage.epochs for stage in config.get_stages())},
            }  # fmt: skip
            connection.execute(insert(RUNS).values(values))
        return run_id

    def get_run(self, run_id: str) -> Run:
        """Raises RunError where there is no such run."""
        with self._reading() as connection:
            row = connection.execute(select(RUNS).where(RUNS.c.id == run_id)).one_or_none()
        if row is None:
            raise RunError("run_unknown", run=run_id)
        return make_run(row)

    def list_runs(self, limit: int = 50, states: Sequence[str] = STATES) -> list[Run]:
        """The newest runs first."""
        query = select(RUNS).where(RUNS.c.state.in_(states)).order_by(RUNS.c.created.desc(), RUNS.c.id.desc())
        with self._reading() as connection:
            return [make_run(row) for row in connection.execute(query.limit(limit))]

    def claim_run(self, worker: Mapping[str, Any]) -> Run | None:
        """The oldest queued run, now running and `worker`'s; None where nothing waits. No two callers get the
        same run."""
        waiting = select(RUNS.c.id).where(RUNS.c.state == "queued").order_by(RUNS.c.created, RUNS.c.id).limit(1)
        with self._reading() as connection:
            if connection.scalar(waiting) is None:
                return None  # without asking for the write lock
        with self._writing() as connection:
            run_id = connection.scalar(waiting.with_for_update(skip_locked=True))
            if run_id is None:
                return None
            changes = {"state": "running", "started": time.time(), "worker": dict(worker)}
            connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(changes))
        return self.get_run(run_id)

    def request_stop(self, run_id: str) -> str:
        """Ask a running run to stop, take a queued one out of the queue; the new state."""
        with self._writing() as connection:
            this = RUNS.c.id == run_id
            cancelled = {"state": "stopped", "finished": time.time(), "control": "stop"}
            connection.execute(update(RUNS).where(this, RUNS.c.state == "queued").values(cancelled))
            stopping = {"state": "stopping", "control": "stop"}
            connection.execute(update(RUNS).where(this, RUNS.c.state == "running").values(stopping))
        return self.get_run(run_id).state

    def should_stop(self, run_id: str) -> bool:
        """Whether a stop was asked for, or the run is gone."""
        with self._reading() as connection:
            control = connection.scalar(select(RUNS.c.control).where(RUNS.c.id == run_id))
        return control is None or control == "stop"

    def finish_run(self, run_id: str, state: str, error: Mapping[str, Any] | None = None) -> bool:
        """End a run that is running or stopping; False where it had ended before."""
        changes = {"state": state, "finished": time.time(), "error": make_finite(error) if error else None}
        with self._writing() as connection:
            busy = (RUNS.c.id == run_id) & RUNS.c.state.in_(BUSY)
            return connection.execute(update(RUNS).where(busy).values(changes)).rowcount == 1

    def delete_run(self, run_id: str) -> None:
        """Remove a run and its folder. Raises RunError while it is running, or where there is none."""
        run = self.get_run(run_id)
        with self._writing() as connection:
            idle = (RUNS.c.id == run_id) & RUNS.c.state.not_in(BUSY)
            if connection.execute(delete(RUNS).where(idle)).rowcount == 0:
                raise RunError("run_busy", run=run.name)
        shutil.rmtree(run.path, ignore_errors=True)

    # ---- events and curves

    def append_events(self, run_id: str, events: Sequence[Mapping[str, Any]], first: int | None = None) -> int:
        """Append events and their points; the number of the next event.

        Events are numbered from 1. A writer that passes its own number for `first` may send the same events
        again after an error: those that are there already are skipped. Raises RunError where the run is gone.
        """
        with self._writing() as connection:
            row = connection.execute(select(RUNS.c.progress).where(RUNS.c.id == run_id)).one_or_none()
            if row is None:
                raise RunError("run_unknown", run=run_id)
            last = connection.scalar(select(func.max(EVENTS.c.seq)).where(EVENTS.c.run_id == run_id)) or 0
            start = last + 1 if first is None else first
            numbered = [(start + index, make_finite(event)) for index, event in enumerate(events)]
            numbered = [(seq, event) for seq, event in numbered if seq > last]
            if numbered:
                _insert_events(connection, run_id, numbered)
                progress = compute_progress(row.progress, [event for _, event in numbered])
                connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(progress=progress))
            return max(last, start + len(events) - 1) + 1

    def read_events(self, run_id: str, after: int = 0, kinds: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Events in order, each with its number under "seq"; only those of `kinds`, where given."""
        query = select(EVENTS.c.seq, EVENTS.c.body).where(EVENTS.c.run_id == run_id, EVENTS.c.seq > after)
        if kinds:
            query = query.where(EVENTS.c.kind.in_(kinds))
        with self._reading() as connection:
            return [{**row.body, "seq": row.seq} for row in connection.execute(query.order_by(EVENTS.c.seq))]

    def read_curves(self, run_id: str, points: int = 1000) -> dict[str, Curve]:
        """Every series, those of more than `points` steps as means over equal stretches of steps."""
        with self._reading() as connection:
            last = connection.scalar(select(func.max(METRICS.c.step)).where(METRICS.c.run_id == run_id)) or 0
            stretch = METRICS.c.step // max(1, math.ceil((last + 1) / points))
            means = [func.avg(METRICS.c[name]).label(name) for name in ("step", "epoch", "seconds", "value")]
            query = (
                select(METRICS.c.series, *means)
                .where(METRICS.c.run_id == run_id)
                .group_by(METRICS.c.series, stretch)
                .order_by(METRICS.c.series, stretch)
            )
            rows = connection.execute(query).all()
        curves: dict[str, Curve] = {}
        for series, step, epoch, seconds, value in rows:
            curve = curves.setdefault(series, Curve([], [], [], []))
            curve.step.append(float(step))
            curve.epoch.append(epoch)
            curve.seconds.append(seconds)
            curve.value.append(value)
        return curves

    # ---- data sets

    def add_data_set(self, data_set: DataSet, roles: Mapping[str, str] | None = None) -> None:
        """Enter a stored data set; the same content again changes its name, and its roles where given."""
        values: dict[str, Any] = {
            "name": data_set.name,
            "rows": data_set.rows,
            "columns": list(data_set.columns),
        }
        if roles is not None:
            values["roles"] = dict(roles)
        with self._writing() as connection:
            this = DATA_SETS.c.id == data_set.id
            if connection.execute(update(DATA_SETS).where(this).values(values)).rowcount == 0:
                entry = {"id": data_set.id, "created": time.time(), **values}
                connection.execute(insert(DATA_SETS).values(entry))

    def list_data_sets(self) -> list[DataEntry]:
        """The newest first."""
        query = select(DATA_SETS).order_by(DATA_SETS.c.created.desc(), DATA_SETS.c.id)
        with self._reading() as connection:
            return [
                DataEntry(row.id, row.name, row.rows, tuple(row.columns), row.roles, row.created)
                for row in connection.execute(query)
            ]

    def get_roles(self, data_id: str) -> dict[str, str] | None:
        """Column -> role as the user left them; None where nobody did."""
        with self._reading() as connection:
            return connection.scalar(select(DATA_SETS.c.roles).where(DATA_SETS.c.id == data_id))

    def set_roles(self, data_id: str, roles: Mapping[str, str]) -> None:
        with self._writing() as connection:
            connection.execute(update(DATA_SETS).where(DATA_SETS.c.id == data_id).values(roles=dict(roles)))

    # ---- settings

    def get_setting(self, key: str, default: Any = None) -> Any:
        with self._reading() as connection:
            row = connection.execute(select(SETTINGS.c.value).where(SETTINGS.c.key == key)).one_or_none()
        return default if row is None else row.value

    def set_setting(self, key: str, value: Any) -> None:
        value = make_finite(value)
        with self._writing() as connection:
            changed = connection.execute(update(SETTINGS).where(SETTINGS.c.key == key).values(value=value))
            if changed.rowcount == 0:
                connection.execute(insert(SETTINGS).values(key=key, value=value))


def _insert_events(connection: Connection, run_id: str, numbered: Iterable[tuple[int, dict]]) -> None:
    rows, points = [], []
    for seq, event in numbered:
        seconds = event.get("seconds")
        rows.append({"run_id": run_id, "seq": seq, "kind": event["kind"], "seconds": seconds, "body": event})
        points += [{"run_id": run_id, **point} for point in compute_points(event)]
    connection.execute(insert(EVENTS), rows)
    if points:
        connection.execute(insert(METRICS), points)


@contextlib.contextmanager
def _explain() -> Iterator[None]:
    """A database's complaint as a sentence: the disk is full, or the store cannot be used."""
    try:
        yield
    except ChainError:
        raise
    except (SQLAlchemyError, OSError) as error:
        reason = str(getattr(error, "orig", None) or error)
        if "disk is full" in reason or "No space left" in reason:
            raise ResourceError("disk_full", folder=str(get_home())) from error
        raise RunError("store_unusable", reason=reason.splitlines()[0]) from error
