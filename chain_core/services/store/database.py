"""The database under the store: opening it, transactions, locks, and its complaints as sentences.

SQLite in WAL mode is the embedded default: readers never wait, writers queue for the one write lock, which a
transaction takes at its first statement (BEGIN IMMEDIATE) so that it can never fail half-way for want of it.
On a server the same transactions lock the rows that they are about to change.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Engine, Row, create_engine, event, make_url, select, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from chain_core.errors import ChainError, ResourceError, RunError
from chain_core.paths import get_home
from chain_core.services.store.migrations import upgrade_database
from chain_core.services.store.tables import GROUPS, RUNS

VARIABLE = "CHAIN_STORE"
"""Names the store's URL to every process; on a command line all users of the machine could read its password."""
BUSY_SECONDS = 30
_QUEUE_LOCK = 0x7175657565  # "queue": PostgreSQL's number for the lock


def make_id() -> str:
    """A new run's or group's: when it was made, for people, and six random digits."""
    return time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(3)


class Database:
    """One database. `url` is any SQLAlchemy URL; the default is what CHAIN_STORE names, or `store.db` in the
    workspace."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url or os.environ.get(VARIABLE) or f"sqlite:///{get_home() / 'store.db'}"
        with _explain():
            self._engine = build_engine(self.url)
            upgrade_database(self._engine)
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

    @contextlib.contextmanager
    def _ordering(self) -> Iterator[Connection]:
        """A transaction that may rely on the order of the queue: one at a time."""
        with self._writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _QUEUE_LOCK})
            yield connection


def lock_run(connection: Connection, run_id: str) -> Row[Any]:
    """A run's row, which nobody else changes before this transaction ends. Raises RunError where there is none."""
    row = connection.execute(select(RUNS).where(RUNS.c.id == run_id).with_for_update()).one_or_none()
    if row is None:
        raise RunError("run_unknown", run=run_id)
    return row


def lock_group(connection: Connection, group_id: str) -> Row[Any]:
    """A group's row, likewise. Raises RunError where there is none."""
    row = connection.execute(select(GROUPS).where(GROUPS.c.id == group_id).with_for_update()).one_or_none()
    if row is None:
        raise RunError("group_unknown", group=group_id)
    return row


def build_engine(url: str) -> Engine:
    """An engine. Raises SQLAlchemyError where the URL cannot be used."""
    target = make_url(url)
    if target.drivername in ("postgres", "postgresql"):
        target = target.set(drivername="postgresql+psycopg")
    try:
        engine = create_engine(target, pool_pre_ping=target.get_backend_name() != "sqlite")
    except ModuleNotFoundError as error:  # the database's driver
        raise ArgumentError(f"the Python package {error.name} is missing: pip install {error.name}") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_connection)
        event.listen(engine, "begin", _begin)
    return engine


def _prepare_connection(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late and is never IMMEDIATE
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Any) -> None:
    write = connection.get_execution_options().get("write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


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
