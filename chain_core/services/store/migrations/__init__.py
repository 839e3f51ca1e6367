"""Brings a database to the tables that the code knows, whoever else opens it at the same moment.

Everything happens in one transaction under one lock: a process that dies in the middle leaves the database as
it was. The revisions in `versions` say what changes; alembic is imported only where there is something to do.
"""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from chain_core.errors import RunError

REVISIONS = ("001", "002", "003", "004")
"""In the order in which they are applied; the last one is what `tables` describes."""
VERSION_TABLE = "chain_version"
_LOCK = 0x636861696E  # "chain": PostgreSQL's number for the lock
_ALEMBIC = threading.Lock()
"""Alembic keeps what it is working on in module globals."""


def upgrade_database(engine: Engine) -> None:
    """Make or change the tables where that is needed.

    Raises RunError where a newer workbench made them, SQLAlchemyError where the database cannot be used.
    """
    if _read_quickly(engine) == REVISIONS[-1]:
        return
    with _ALEMBIC, engine.execution_options(write=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        _upgrade(connection)


def _read_quickly(engine: Engine) -> str | None:
    try:
        with engine.begin() as connection:
            return _read_version(connection)
    except DBAPIError:  # no such table, as a rule; anything worse shows again under the lock
        return None


def _read_version(connection: Connection) -> str | None:
    return connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))


def _upgrade(connection: Connection) -> None:
    tables = set(inspect(connection).get_table_names())
    version = _read_version(connection) if VERSION_TABLE in tables else None
    if version == REVISIONS[-1]:
        return  # somebody was quicker
    if version is not None and version not in REVISIONS:
        raise RunError("store_newer", version=version)

    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    with EnvironmentContext(config, script, fn=lambda at, _: script._upgrade_revs(REVISIONS[-1], at)) as environment:
        environment.configure(connection=connection, version_table=VERSION_TABLE)
        if version is None and "runs" in tables:  # made before there were migrations
            environment.get_context().stamp(script, REVISIONS[0])
        environment.run_migrations()
