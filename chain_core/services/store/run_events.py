"""Events of runs and the curves that they make, in the store."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from chain_core.errors import RunError
from chain_core.services.store.curves import compute_points, compute_progress, make_finite, start_progress
from chain_core.services.store.database import Database, lock_run
from chain_core.services.store.records import BUSY, Curve, make_run
from chain_core.services.store.tables import EVENTS, METRICS, RUNS

MOST_SERIES = 200
"""Characters of a series' name."""


class RunEvents(Database):
    """Numbered from 1 for each run, without gaps."""

    def append_events(
        self, run_id: str, events: Sequence[Mapping[str, Any]], first: int | None = None, claim: str | None = None
    ) -> int:
        """Append events and their points; the number of the next event.

        A writer that passes its own number for `first` may send the same events again after an error: those that
        are there already are skipped. Raises RunError where the run is gone, or no longer `claim`'s.
        """
        with self._writing() as connection:
            row = lock_run(connection, run_id)
            hold_claim(row, claim)
            last = _find_last(connection, run_id)
            start = last + 1 if first is None else first
            numbered = [(start + index, make_finite(event)) for index, event in enumerate(events)]
            numbered = [(seq, event) for seq, event in numbered if seq > last]
            if numbered:
                _insert_events(connection, run_id, numbered)
                progress = compute_progress(row.progress, [event for _, event in numbered])
                connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(progress=progress))
            return max(last, start + len(events) - 1) + 1

    def truncate_events(self, run_id: str, claim: str | None, after: int) -> int:
        """Take back the events beyond number `after`, with their points and the progress that they told; the
        number of the next event. Raises RunError as `append_events` does."""
        with self._writing() as connection:
            row = lock_run(connection, run_id)
            hold_claim(row, claim)
            last = _find_last(connection, run_id)
            if last <= after:
                return last + 1
            connection.execute(delete(EVENTS).where(EVENTS.c.run_id == run_id, EVENTS.c.seq > after))
            beyond = or_(METRICS.c.seq > after, METRICS.c.seq.is_(None))  # None: told before points were numbered
            connection.execute(delete(METRICS).where(METRICS.c.run_id == run_id, beyond))
            first = start_progress(make_run(row).load_config())
            progress = compute_progress(first, _read_telling(connection, run_id))
            connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(progress=progress))
            return after + 1

    def read_events(
        self, run_id: str, after: int = 0, kinds: Sequence[str] = (), last: int | None = None
    ) -> list[dict[str, Any]]:
        """Events in order, each with its number under "seq"; only those of `kinds`, only the `last` ones, where
        given."""
        query = select(EVENTS.c.seq, EVENTS.c.body).where(EVENTS.c.run_id == run_id, EVENTS.c.seq > after)
        if kinds:
            query = query.where(EVENTS.c.kind.in_(kinds))
        query = query.order_by(EVENTS.c.seq if last is None else EVENTS.c.seq.desc()).limit(last)
        with self._reading() as connection:
            events = [{**row.body, "seq": row.seq} for row in connection.execute(query)]
        return events if last is None else events[::-1]

    def list_series(self, run_id: str) -> list[str]:
        """The names of a run's curves, in the alphabet's order."""
        query = select(METRICS.c.series).where(METRICS.c.run_id == run_id).distinct().order_by(METRICS.c.series)
        with self._reading() as connection:
            return list(connection.scalars(query))

    def read_curves(self, run_id: str, points: int = 1000, series: Sequence[str] | None = None) -> dict[str, Curve]:
        """Every series, or those named, those of more than `points` steps as means over equal stretches of steps."""
        wanted = METRICS.c.run_id == run_id
        if series is not None:
            wanted &= METRICS.c.series.in_(series)
        with self._reading() as connection:
            last = connection.scalar(select(func.max(METRICS.c.step)).where(wanted)) or 0
            stretch = METRICS.c.step // max(1, math.ceil((last + 1) / points))
            means = [func.avg(METRICS.c[name]).label(name) for name in ("step", "epoch", "seconds", "value")]
            query = (
                select(METRICS.c.series, *means)
                .where(wanted)
                .group_by(METRICS.c.series, stretch)
                .order_by(METRICS.c.series, func.min(METRICS.c.step))
            )
            rows = connection.execute(query).all()
        curves: dict[str, Curve] = {}
        for name, step, epoch, seconds, value in rows:
            curve = curves.setdefault(name, Curve([], [], [], []))
            curve.step.append(float(step))
            curve.epoch.append(epoch)
            curve.seconds.append(seconds)
            curve.value.append(value)
        return curves


def hold_claim(row: Any, claim: str | None) -> None:
    """Raises RunError where a locked run is not busy under this claim. None asks for nothing."""
    if claim is not None and (row.claim != claim or row.state not in BUSY):
        raise RunError("run_lost", run=row.name)


def _find_last(connection: Connection, run_id: str) -> int:
    return connection.scalar(select(func.max(EVENTS.c.seq)).where(EVENTS.c.run_id == run_id)) or 0


def _read_telling(connection: Connection, run_id: str) -> list[dict[str, Any]]:
    """The events that leave a trace in the progress: of all the steps, the last one tells what the others did."""
    steps = (EVENTS.c.run_id == run_id) & (EVENTS.c.kind == "step")
    latest = select(func.max(EVENTS.c.seq)).where(steps).scalar_subquery()
    query = select(EVENTS.c.body).where(EVENTS.c.run_id == run_id, or_(EVENTS.c.kind != "step", EVENTS.c.seq == latest))
    return list(connection.scalars(query.order_by(EVENTS.c.seq)))


def _insert_events(connection: Connection, run_id: str, numbered: Iterable[tuple[int, dict]]) -> None:
    rows, points = [], []
    for seq, event in numbered:
        seconds = event.get("seconds")
        rows.append({"run_id": run_id, "seq": seq, "kind": event["kind"], "seconds": seconds, "body": event})
        points += [
            {"run_id": run_id, "seq": seq, **point, "series": point["series"][:MOST_SERIES]}
            for point in compute_points(event)
        ]
    connection.execute(insert(EVENTS), rows)
    if points:
        connection.execute(insert(METRICS), points)
