"""Groups can be hidden as runs can, and both remember the server that hid them."""

from __future__ import annotations

from alembic import op
from sqlalchemy import JSON, Column, Float

revision = "004"
down_revision = "003"


def upgrade() -> None:
    op.add_column("runs", Column("hider", JSON))
    op.add_column("groups", Column("deleted", Float))
    op.add_column("groups", Column("hider", JSON))
