"""The store's tables, and the engine that opens them.

SQLite in WAL mode is the embedded default: readers never wait, writers queue for the one write lock, which a
transaction takes at its first statement (BEGIN IMMEDIATE) so that it can never fail half-way for want of it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
)

BUSY_SECONDS = 30
METADATA = MetaData()

DATA_SETS = Table(
    "data_sets",
    METADATA,
    Column("id", String(80), primary_key=True),
    Column("name", String(200), nullable=False, index=True),
    Column("rows", Integer, nullable=False),
    Column("columns", JSON, nullable=False),
    Column("roles", JSON),
    Column("created", Float, nullable=False),
)
RUNS = Table(
    "runs",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("config", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("data_id", String(80)),
    Column("created", Float, nullable=False, index=True),
    Column("started", Float),
    Column("finished", Float),
    Column("error", JSON(none_as_null=True)),
    Column("control", String(16), nullable=False, default=""),
    Column("worker", JSON(none_as_null=True)),
    Column("progress", JSON, nullable=False),
)
EVENTS = Table(
    "events",
    METADATA,
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("seconds", Float),
    Column("body", JSON, nullable=False),
)
METRICS = Table(
    "metrics",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("series", String(200), nullable=False),
    Column("step", Integer, nullable=False),
    Column("epoch", Float),
    Column("seconds", Float),
    Column("value", Float),
    Index("metrics_by_run", "run_id", "series", "step"),
)
SETTINGS = Table(
    "settings",
    METADATA,
    Column("key", String(80), primary_key=True),
    Column("value", JSON),
)


def build_engine(url: str) -> Engine:
    """An engine with this store's tables. Raises SQLAlchemyError where the database cannot be opened."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_connection)
        event.listen(engine, "begin", _begin)
    # Look and create under one write lock: two processes may open a new store at the same moment.
    with engine.execution_options(write=True).begin() as connection:
        METADATA.create_all(connection)
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
