"""The queue: which run is next, who has it, what it is asked to do and how it ends.

A run that is taken from the queue gets a new token, its claim. Whoever works for it shows that token with
everything it writes; once the run is put back or taken by somebody else, the token is worth nothing. So a run is
executed once, however many servers and workers there are and however late one of them wakes up.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select, update

from chain_core.errors import RunError
from chain_core.services.store.curves import make_finite
from chain_core.services.store.database import Database, lock_run
from chain_core.services.store.deaths import add_death, explain_last
from chain_core.services.store.records import BUSY, ENDED, Run, make_run
from chain_core.services.store.run_states import AFTER_CLAIM, apply_control, apply_end, apply_release
from chain_core.services.store.tables import RUNS

MOST_PRIORITY = 1000
_WAITING = (RUNS.c.state == "queued") & RUNS.c.deleted.is_(None)
_ORDER = (RUNS.c.priority.desc(), RUNS.c.position, RUNS.c.created, RUNS.c.id)


class RunQueue(Database):
    """Each method is one transaction and compares before it sets."""

    # ---- order

    def list_queue(self) -> list[Run]:
        """What waits, the next one first."""
        with self._reading() as connection:
            return [make_run(row) for row in connection.execute(select(RUNS).where(_WAITING).order_by(*_ORDER))]

    def move_run(self, run_id: str, where: str) -> bool:
        """Move a waiting run `up`, `down`, to be the `first` or the `last`; False where it stays.

        Among runs of another priority it takes on theirs.
        """
        with self._ordering() as connection:
            lock_run(connection, run_id)
            query = select(RUNS.c.id, RUNS.c.priority, RUNS.c.position).where(_WAITING).order_by(*_ORDER)
            queue = list(connection.execute(query))
            old = next((index for index, row in enumerate(queue) if row.id == run_id), None)
            if old is None:
                return False
            last = len(queue) - 1
            new = {"up": max(0, old - 1), "down": min(last, old + 1), "first": 0, "last": last}[where]
            if new == old:
                return False
            priorities = {row.id: row.priority for row in queue} | {run_id: queue[new].priority}
            ids = [row.id for row in queue if row.id != run_id]
            ids.insert(new, run_id)
            start = min(row.position for row in queue)
            before = {row.id: (row.priority, row.position) for row in queue}
            for position, moved in enumerate(ids, start):
                if before[moved] != (priorities[moved], position):
                    values = {"priority": priorities[moved], "position": position}
                    connection.execute(update(RUNS).where(RUNS.c.id == moved).values(values))
            return True

    def set_priority(self, run_id: str, priority: int) -> int:
        """The priority as it is kept: within bounds. Higher ones are taken first."""
        kept = max(-MOST_PRIORITY, min(MOST_PRIORITY, priority))
        with self._ordering() as connection:
            lock_run(connection, run_id)
            connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(priority=kept))
        return kept

    # ---- claims

    def claim_run(
        self, owner: Mapping[str, Any], device: str = "cpu", wishes: Sequence[str] | None = None
    ) -> Run | None:
        """The next waiting run, from now on running on `device` under a new claim; None where nothing waits.

        `owner` is the identity of the server that takes it. Only runs whose config asks for one of the devices
        `wishes` ("auto", "cpu", "cuda", "cuda:0", "mps"; None: whatever) are considered.
        """
        fits = _WAITING if wishes is None else _WAITING & RUNS.c.wish.in_(wishes)
        following = select(RUNS).where(fits).order_by(*_ORDER).limit(1)
        with self._reading() as connection:
            if connection.execute(following).one_or_none() is None:
                return None  # without asking for the write lock
        with self._ordering() as connection:
            row = connection.execute(following.with_for_update()).one_or_none()
            if row is None:
                return None
            changes = {
                "state": AFTER_CLAIM[row.control], "claim": secrets.token_hex(16), "owner": dict(owner), "worker": None,
                "device": device, "attempt": row.attempt + 1, "started": row.started or time.time(), "finished": None,
                "error": None,
            }  # fmt: skip
            connection.execute(update(RUNS).where(RUNS.c.id == row.id).values(changes))
            return make_run(connection.execute(select(RUNS).where(RUNS.c.id == row.id)).one())

    def take_run(self, run_id: str, claim: str, worker: Mapping[str, Any]) -> bool:
        """Called by the worker before it begins: False where the run is no longer this claim's, or another
        process has it already; then there is nothing to do."""
        with self._writing() as connection:
            row = lock_run(connection, run_id)
            if row.claim != claim or row.state not in BUSY or row.worker not in (None, dict(worker)):
                return False
            connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(worker=dict(worker)))
            return True

    def adopt_run(self, run_id: str, claim: str, previous: Mapping[str, Any] | None, owner: Mapping[str, Any]) -> bool:
        """Make `owner` the server of a busy run whose worker goes on, if it still is `previous`'s."""
        with self._writing() as connection:
            row = lock_run(connection, run_id)
            if row.claim != claim or row.state not in BUSY or row.owner != (dict(previous) if previous else None):
                return False
            connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(owner=dict(owner)))
            return True

    def requeue_run(self, run_id: str, claim: str | None, error: Mapping[str, Any] | None = None) -> str | None:
        """Put back a run whose worker went away: first of its priority, or where it was asked to pause or be
        cancelled, that; its new state. None where it is no longer this claim's. `error` says what happened."""
        with self._ordering() as connection:
            row = lock_run(connection, run_id)
            if row.claim != claim or row.state not in BUSY:
                return None
            state, control = apply_release(row.control)
            self._set_state(connection, row, state, control, error)
            return state

    def bury_worker(self, run_id: str, claim: str | None, error: Mapping[str, Any], step: int | None) -> str | None:
        """Put a run back whose worker died, as `requeue_run`, and remember the death; one whose workers die again
        and again fails. `step`: that of its newest checkpoint, from which it goes on."""
        with self._ordering() as connection:
            row = lock_run(connection, run_id)
            if row.claim != claim or row.state not in BUSY:
                return None
            deaths = add_death(row.deaths, error, step, row.attempt + 1)
            connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(deaths=deaths))
            last = explain_last(deaths, error)
            state, control = apply_release(row.control) if last is None else apply_end("failed", row.control)
            self._set_state(connection, row, state, control, last or {**error, "params": deaths[-1]["params"]})
            return state

    def beat(self, run_id: str, claim: str) -> bool:
        """Show that the worker lives; False where the run is no longer this claim's."""
        this = (RUNS.c.id == run_id) & (RUNS.c.claim == claim) & RUNS.c.state.in_(BUSY)
        with self._writing() as connection:
            return connection.execute(update(RUNS).where(this).values(beat=RUNS.c.beat + 1)).rowcount == 1

    def finish_run(
        self, run_id: str, state: str, error: Mapping[str, Any] | None = None, claim: str | None = None
    ) -> bool:
        """End a busy run as finished, stopped, paused, cancelled or failed; False where it had ended before.

        What was asked of it meanwhile counts: one that paused after the pause was taken back is queued again.
        Raises RunError where it is not `claim`'s any more, or gone.
        """
        with self._ordering() as connection:
            row = lock_run(connection, run_id)
            if claim is not None and row.claim != claim:
                raise RunError("run_lost", run=row.name)
            if row.state not in BUSY:
                return False
            state, control = apply_end(state, row.control)
            self._set_state(connection, row, state, control, error if state == "failed" else None)
            return True

    # ---- controls

    def request_stop(self, run_id: str) -> str:
        """End a run with the best weights so far and a report; the new state."""
        return self._request(run_id, "stop")

    def request_pause(self, run_id: str) -> str:
        """Keep a run's place on disk and free its device; the new state."""
        return self._request(run_id, "pause")

    def request_resume(self, run_id: str) -> str:
        """Go on with a paused run, next of its priority, or take back what was asked; the new state."""
        return self._request(run_id, "resume")

    def request_cancel(self, run_id: str) -> str:
        """End a run without a report; the new state."""
        return self._request(run_id, "cancel")

    def request_retry(self, run_id: str) -> str:
        """Queue a failed, stopped or cancelled run again, the last of its priority; the new state."""
        return self._request(run_id, "retry")

    def read_control(self, run_id: str, claim: str | None = None) -> str:
        """What the worker of a run is to do: "" (go on), "stop", "pause" or "cancel", also where the run is gone or
        no longer `claim`'s."""
        query = select(RUNS.c.control, RUNS.c.claim, RUNS.c.state).where(RUNS.c.id == run_id)
        with self._reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None or (claim is not None and (row.claim != claim or row.state not in BUSY)):
            return "cancel"
        return row.control

    def _request(self, run_id: str, control: str) -> str:
        with self._ordering() as connection:
            row = lock_run(connection, run_id)
            state, asked = apply_control(row.state, control, row.control, row.attempt > 0)
            if (state, asked) != (row.state, row.control):
                self._set_state(connection, row, state, asked, None, last=control == "retry")
            if control == "retry":
                connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(deaths=[]))
            return state

    def _set_state(
        self,
        connection: Connection,
        row: Any,
        state: str,
        control: str,
        error: Mapping[str, Any] | None,
        last: bool = False,
    ) -> None:
        """Change a locked run's state, and all that goes with it. One that comes into the queue is its priority's
        first, or its last."""
        changes: dict[str, Any] = {"state": state, "control": control}
        if state not in BUSY:
            changes["error"] = make_finite(error) if error else None
        if state in ENDED:
            changes["finished"] = time.time()
        elif state not in BUSY:  # it waits: whoever had it has it no more
            changes |= {"claim": None, "owner": None, "worker": None, "device": None, "finished": None}
        if state == "queued" and row.state != "queued":
            changes["position"] = _find_end(connection, row.priority, last)
        connection.execute(update(RUNS).where(RUNS.c.id == row.id).values(changes))


def _find_end(connection: Connection, priority: int, last: bool) -> int:
    if last:
        return (connection.scalar(select(func.max(RUNS.c.position))) or 0) + 1
    first = select(func.min(RUNS.c.position)).where(_WAITING, RUNS.c.priority == priority)
    return (connection.scalar(first) or 0) - 1
