"""Runs in the store: added, found, named, tagged and starred."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, cast, func, insert, or_, select, update

from chain_core.config import Config, dump_yaml
from chain_core.errors import RunError
from chain_core.paths import get_home
from chain_core.services.store.curves import start_progress
from chain_core.services.store.database import Database, make_id
from chain_core.services.store.records import ACTIVE, STATES, Run, make_run
from chain_core.services.store.tables import DATA_SETS, RUNS

MOST_NAME = 120
MOST_TAG = 40
MOST_TAGS = 20
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
"""Characters that no name is made of, and that some databases refuse."""
_NEWEST = (RUNS.c.created.desc(), RUNS.c.id.desc())
_ORDERS: dict[str, tuple[Any, ...]] = {
    "newest": _NEWEST,
    "oldest": (RUNS.c.created, RUNS.c.id),
    "name": (func.lower(RUNS.c.name), *_NEWEST),
    "score": (RUNS.c.progress["score"].as_float().desc().nulls_last(), *_NEWEST),
}
SORTS = tuple(_ORDERS)
"""`score`: the best on validation rows first, those without one last."""


class RunEntries(Database):
    """What a run is and how it is filed; what becomes of it is the queue's."""

    def add_run(
        self,
        config: Config,
        folder: Path | None = None,
        *,
        priority: int = 0,
        tags: Iterable[str] = (),
        parent: str | None = None,
        group_id: str | None = None,
    ) -> str:
        """Queue a run of `config`, last among those of its priority. Its relative paths start from `folder`
        (default: the workspace); `parent` is the run that it is a copy of."""
        run_id = make_id()
        with self._ordering() as connection:
            insert_run(connection, run_id, config, folder, priority, tags, parent, group_id)
        return run_id

    def get_run(self, run_id: str) -> Run:
        """Also a hidden one. Raises RunError where there is no such run."""
        with self._reading() as connection:
            row = connection.execute(select(RUNS).where(RUNS.c.id == run_id)).one_or_none()
        if row is None:
            raise RunError("run_unknown", run=run_id)
        return make_run(row)

    def list_runs(
        self,
        limit: int = 50,
        states: Sequence[str] = STATES,
        *,
        tag: str | None = None,
        starred: bool | None = None,
        text: str | None = None,
        group_id: str | None = None,
        deleted: bool = False,
        sort: str = "newest",
        offset: int = 0,
    ) -> list[Run]:
        """The newest runs first: those that have the tag, the star or not, the text in their name, and are
        hidden or not. Upper and lower case are alike. `sort`: one of SORTS; `offset`: how many to pass over."""
        wanted = _find_wanted(states, tag, starred, text, group_id, deleted)
        query = select(RUNS).where(*wanted).order_by(*_ORDERS[sort]).limit(limit).offset(offset)
        with self._reading() as connection:
            return [make_run(row) for row in connection.execute(query)]

    def count_runs(
        self,
        states: Sequence[str] = STATES,
        *,
        tag: str | None = None,
        starred: bool | None = None,
        text: str | None = None,
        group_id: str | None = None,
        deleted: bool = False,
    ) -> int:
        """How many runs `list_runs` would find."""
        wanted = _find_wanted(states, tag, starred, text, group_id, deleted)
        query = select(func.count()).select_from(RUNS).where(*wanted)
        with self._reading() as connection:
            return connection.scalar(query) or 0

    def read_states(self, run_ids: Iterable[str] = ()) -> dict[str, str]:
        """Id -> state of every run that is active, and of these ones as far as they are there: cheap enough to ask
        every second."""
        wanted = or_(RUNS.c.state.in_(ACTIVE), RUNS.c.id.in_(list(run_ids)))
        query = select(RUNS.c.id, RUNS.c.state).where(wanted, _is_hidden(False))
        with self._reading() as connection:
            return {row.id: row.state for row in connection.execute(query)}

    def list_tags(self) -> list[str]:
        """Every tag that a run bears which is not hidden, in the alphabet's order."""
        with self._reading() as connection:
            found = connection.scalars(select(RUNS.c.tags).where(_is_hidden(False), cast(RUNS.c.tags, Text) != "[]"))
            return sorted({tag for tags in found for tag in tags}, key=str.casefold)

    def rename_run(self, run_id: str, name: str) -> str:
        """The name as it is kept: cleaned and cut. Raises RunError where nothing is left of it."""
        cleaned = clean_name(name)
        if not cleaned:
            raise RunError("run_nameless")
        self._change_run(run_id, name=cleaned)
        return cleaned

    def set_tags(self, run_id: str, tags: Iterable[str]) -> list[str]:
        """The tags as they are kept: cleaned, each once, not too many."""
        cleaned = clean_tags(tags)
        self._change_run(run_id, tags=cleaned)
        return cleaned

    def set_star(self, run_id: str, starred: bool) -> None:
        self._change_run(run_id, starred=starred)

    def _change_run(self, run_id: str, **values: Any) -> None:
        with self._writing() as connection:
            if connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(values)).rowcount == 0:
                raise RunError("run_unknown", run=run_id)


def insert_run(
    connection: Connection,
    run_id: str,
    config: Config,
    folder: Path | None,
    priority: int = 0,
    tags: Iterable[str] = (),
    parent: str | None = None,
    group_id: str | None = None,
) -> None:
    """Queue a run within a transaction that may rely on the order of the queue."""
    source = config.data.train
    known = select(DATA_SETS.c.id).where(or_(DATA_SETS.c.id == source, DATA_SETS.c.name == source)).limit(1)
    values: dict[str, Any] = {
        "id": run_id, "name": clean_name(config.name) or run_id, "state": "queued", "config": dump_yaml(config),
        "folder": str(folder or get_home()), "created": time.time(), "progress": start_progress(config),
        "wish": config.train.device, "priority": priority, "tags": clean_tags(tags), "parent": parent,
        "group_id": group_id, "data_id": connection.scalar(known),
        "position": (connection.scalar(select(func.max(RUNS.c.position))) or 0) + 1,
    }  # fmt: skip
    connection.execute(insert(RUNS).values(values))


def clean_name(name: str) -> str:
    """On one line, without characters that cannot be seen, and not too long; "" where nothing is left."""
    return _clean(name, MOST_NAME)


def clean_tags(tags: Iterable[str]) -> list[str]:
    """Short words on one line; of those that differ in case only, the first."""
    cleaned: dict[str, str] = {}
    for tag in tags:
        short = _clean(tag, MOST_TAG)
        if short:
            cleaned.setdefault(short.casefold(), short)
    return list(cleaned.values())[:MOST_TAGS]


def _clean(text: str, most: int) -> str:
    return " ".join(_UNSEEN.sub(" ", text).split())[:most].strip()


def _find_wanted(
    states: Sequence[str],
    tag: str | None,
    starred: bool | None,
    text: str | None,
    group_id: str | None,
    deleted: bool,
) -> list[ColumnElement[bool]]:
    wanted = [RUNS.c.state.in_(states), _is_hidden(deleted)]
    if tag is not None:
        wanted.append(cast(RUNS.c.tags, Text).icontains(json.dumps(tag), autoescape=True))
    if starred is not None:
        wanted.append(RUNS.c.starred.is_(starred))
    if text:
        wanted.append(RUNS.c.name.icontains(text, autoescape=True))
    if group_id is not None:
        wanted.append(RUNS.c.group_id == group_id)
    return wanted


def _is_hidden(deleted: bool) -> ColumnElement[bool]:
    return RUNS.c.deleted.is_not(None) if deleted else RUNS.c.deleted.is_(None)
