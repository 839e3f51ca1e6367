"""Data sets and settings in the store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, and_, insert, select, update
from sqlalchemy.exc import IntegrityError

from chain_core.services.store.curves import make_finite
from chain_core.services.store.database import Database
from chain_core.services.store.records import DataEntry
from chain_core.services.store.tables import DATA_SETS, SETTINGS

if TYPE_CHECKING:
    from chain_core.data.store import DataSet


class DataEntries(Database):
    """What is known of each stored data set; its rows lie in files."""

    def add_data_set(self, data_set: DataSet, roles: Mapping[str, str] | None = None) -> None:
        """Enter a stored data set; the same content again changes its name, and its roles where given."""
        values: dict[str, Any] = {
            "name": data_set.name[:200],
            "rows": data_set.rows,
            "columns": list(data_set.columns),
        }
        if roles is not None:
            values["roles"] = dict(roles)
        with self._writing() as connection:
            _put(connection, DATA_SETS, {"id": data_set.id}, values, {"created": time.time()})

    def list_data_sets(self) -> list[DataEntry]:
        """The newest first."""
        query = select(DATA_SETS).order_by(DATA_SETS.c.created.desc(), DATA_SETS.c.id)
        with self._reading() as connection:
            return [
                DataEntry(row.id, row.name, row.rows, tuple(row.columns), row.roles, row.created)
                for row in connection.execute(query)
            ]

    def get_roles(self, data_id: str) -> dict[str, str] | None:
        """Column -> role as the user left them; None where nobody did."""
        with self._reading() as connection:
            return connection.scalar(select(DATA_SETS.c.roles).where(DATA_SETS.c.id == data_id))

    def set_roles(self, data_id: str, roles: Mapping[str, str]) -> None:
        with self._writing() as connection:
            connection.execute(update(DATA_SETS).where(DATA_SETS.c.id == data_id).values(roles=dict(roles)))


class Settings(Database):
    """JSON values by name."""

    def get_setting(self, key: str, default: Any = None) -> Any:
        with self._reading() as connection:
            row = connection.execute(select(SETTINGS.c.value).where(SETTINGS.c.key == key)).one_or_none()
        return default if row is None else row.value

    def set_setting(self, key: str, value: Any) -> None:
        value = make_finite(value)
        with self._writing() as connection:
            _put(connection, SETTINGS, {"key": key}, {"value": value}, {})


def _put(
    connection: Connection, table: Table, key: dict[str, Any], values: dict[str, Any], others: dict[str, Any]
) -> None:
    """Change the row that `key` names, or insert it with `others` too, although somebody may just have done so."""
    this = and_(*(table.c[name] == value for name, value in key.items()))
    if connection.execute(update(table).where(this).values(values)).rowcount:
        return
    try:
        with connection.begin_nested():
            connection.execute(insert(table).values({**key, **values, **others}))
    except IntegrityError:
        connection.execute(update(table).where(this).values(values))
