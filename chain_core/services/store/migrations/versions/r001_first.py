"""The tables as they were before there were migrations."""

from __future__ import annotations

from alembic import op
from sqlalchemy import JSON, Column, Float, ForeignKey, Integer, String, Text

revision = "001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "data_sets",
        Column("id", String(80), primary_key=True),
        Column("name", String(200), nullable=False),
        Column("rows", Integer, nullable=False),
        Column("columns", JSON, nullable=False),
        Column("roles", JSON),
        Column("created", Float, nullable=False),
    )
    op.create_index("ix_data_sets_name", "data_sets", ["name"])
    op.create_table(
        "runs",
        Column("id", String(40), primary_key=True),
        Column("name", String(200), nullable=False),
        Column("state", String(16), nullable=False),
        Column("config", Text, nullable=False),
        Column("folder", Text, nullable=False),
        Column("data_id", String(80)),
        Column("created", Float, nullable=False),
        Column("started", Float),
        Column("finished", Float),
        Column("error", JSON),
        Column("control", String(16), nullable=False),
        Column("worker", JSON),
        Column("progress", JSON, nullable=False),
    )
    op.create_index("ix_runs_state", "runs", ["state"])
    op.create_index("ix_runs_created", "runs", ["created"])
    op.create_table(
        "events",
        Column("run_id", String(40), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        Column("seq", Integer, primary_key=True, autoincrement=False),
        Column("kind", String(16), nullable=False),
        Column("seconds", Float),
        Column("body", JSON, nullable=False),
    )
    op.create_table(
        "metrics",
        Column("id", Integer, primary_key=True),
        Column("run_id", String(40), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        Column("series", String(200), nullable=False),
        Column("step", Integer, nullable=False),
        Column("epoch", Float),
        Column("seconds", Float),
        Column("value", Float),
    )
    op.create_index("metrics_by_run", "metrics", ["run_id", "series", "step"])
    op.create_table("settings", Column("key", String(80), primary_key=True), Column("value", JSON))
