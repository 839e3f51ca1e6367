"""Runs remember how often their worker died."""

from __future__ import annotations

from alembic import op
from sqlalchemy import JSON, Column

revision = "003"
down_revision = "002"


def upgrade() -> None:
    op.add_column("runs", Column("deaths", JSON, nullable=False, server_default="[]"))
