"""A queue with priorities and claims, runs that are tagged, starred and hidden, groups of runs."""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op
from sqlalchemy import JSON, Boolean, Column, Float, Integer, String

revision = "002"
down_revision = "001"

_DEVICE = re.compile(r"^train:\n(?:[ ].*\n)*?  device: *['\"]?([\w:]+)", re.MULTILINE)
"""In a complete config as the workbench writes it."""


def upgrade() -> None:
    for column in (
        Column("priority", Integer, nullable=False, server_default="0"),
        Column("position", Integer, nullable=False, server_default="0"),
        Column("wish", String(40), nullable=False, server_default="auto"),
        Column("tags", JSON, nullable=False, server_default="[]"),
        Column("starred", Boolean, nullable=False, server_default=sa.false()),
        Column("deleted", Float),
        Column("parent", String(40)),
        Column("group_id", String(40)),
        Column("attempt", Integer, nullable=False, server_default="0"),
        Column("device", String(40)),
        Column("owner", JSON),
        Column("claim", String(40)),
        Column("beat", Integer, nullable=False, server_default="0"),
    ):
        op.add_column("runs", column)
    op.create_index("ix_runs_group_id", "runs", ["group_id"])
    op.add_column("metrics", Column("seq", Integer))
    op.create_table(
        "groups",
        Column("id", String(40), primary_key=True),
        Column("name", String(200), nullable=False),
        Column("kind", String(16), nullable=False),
        Column("spec", JSON, nullable=False),
        Column("state", String(16), nullable=False),
        Column("created", Float, nullable=False),
    )
    _fill()


def _fill() -> None:
    """Old rows wait in the order in which they were added; what was called their worker was their server."""
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT id, config FROM runs ORDER BY created, id")).all()
    for position, (run_id, config) in enumerate(rows, 1):
        found = _DEVICE.search(config)
        connection.execute(
            sa.text("UPDATE runs SET position = :position, wish = :wish WHERE id = :id"),
            {"position": position, "wish": found[1] if found else "auto", "id": run_id},
        )
    connection.execute(sa.text("UPDATE runs SET owner = worker, worker = NULL"))
    connection.execute(sa.text("UPDATE runs SET attempt = 1 WHERE started IS NOT NULL"))
