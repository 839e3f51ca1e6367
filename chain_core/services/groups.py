"""Groups of runs in the store, such as sweeps."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select, update

from chain_core.errors import RunError
from chain_core.services.curves import make_finite
from chain_core.services.database import Database
from chain_core.services.records import Group
from chain_core.services.tables import GROUPS


class Groups(Database):
    """A run belongs to the group that its `group_id` names."""

    def add_group(self, name: str, kind: str, spec: Mapping[str, Any], state: str = "running") -> str:
        """The new group's id. `spec` is plain JSON."""
        group_id = time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(3)
        values = {
            "id": group_id, "name": name[:200], "kind": kind, "spec": make_finite(spec), "state": state,
            "created": time.time(),
        }  # fmt: skip
        with self._writing() as connection:
            connection.execute(insert(GROUPS).values(values))
        return group_id

    def get_group(self, group_id: str) -> Group:
        """Raises RunError where there is no such group."""
        with self._reading() as connection:
            row = connection.execute(select(GROUPS).where(GROUPS.c.id == group_id)).one_or_none()
        if row is None:
            raise RunError("group_unknown", group=group_id)
        return Group(**row._mapping)

    def list_groups(self, limit: int = 50) -> list[Group]:
        """The newest first."""
        query = select(GROUPS).order_by(GROUPS.c.created.desc(), GROUPS.c.id.desc()).limit(limit)
        with self._reading() as connection:
            return [Group(**row._mapping) for row in connection.execute(query)]

    def set_group_state(self, group_id: str, state: str) -> None:
        """Raises RunError where there is no such group."""
        with self._writing() as connection:
            if connection.execute(update(GROUPS).where(GROUPS.c.id == group_id).values(state=state)).rowcount == 0:
                raise RunError("group_unknown", group=group_id)
