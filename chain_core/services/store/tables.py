"""The store's tables as the code knows them; `migrations` bring a database there."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

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
    Column("priority", Integer, nullable=False, default=0),
    Column("position", Integer, nullable=False, default=0),
    Column("wish", String(40), nullable=False, default="auto"),
    Column("tags", JSON, nullable=False, default=[]),
    Column("starred", Boolean, nullable=False, default=False),
    Column("deleted", Float),
    Column("parent", String(40)),
    Column("group_id", String(40), index=True),
    Column("attempt", Integer, nullable=False, default=0),
    Column("device", String(40)),
    Column("owner", JSON(none_as_null=True)),
    Column("claim", String(40)),
    Column("beat", Integer, nullable=False, default=0),
    Column("deaths", JSON, nullable=False, default=[]),
    Column("hider", JSON(none_as_null=True)),
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
    Column("seq", Integer),
    Column("series", String(200), nullable=False),
    Column("step", Integer, nullable=False),
    Column("epoch", Float),
    Column("seconds", Float),
    Column("value", Float),
    Index("metrics_by_run", "run_id", "series", "step"),
)
GROUPS = Table(
    "groups",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("spec", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created", Float, nullable=False),
    Column("deleted", Float),
    Column("hider", JSON(none_as_null=True)),
)
SETTINGS = Table(
    "settings",
    METADATA,
    Column("key", String(80), primary_key=True),
    Column("value", JSON),
)
