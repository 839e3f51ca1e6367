"""Stores of every age are brought to today's tables, whoever dies or comes along meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from sqlalchemy import Engine, inspect, text

from chain_core.config import dump_yaml, resolve_config
from chain_core.errors import RunError
from chain_core.paths import PROJECT
from chain_core.services.store.database import build_engine
from chain_core.services.store.migrations import REVISIONS, VERSION_TABLE
from chain_core.services.store.store import Store
from chain_core.services.store.tables import METADATA

OLD_TABLES = """
CREATE TABLE data_sets (id VARCHAR(80) NOT NULL, name VARCHAR(200) NOT NULL, rows INTEGER NOT NULL,
    columns JSON NOT NULL, roles JSON, created FLOAT NOT NULL, PRIMARY KEY (id));
CREATE INDEX ix_data_sets_name ON data_sets (name);
CREATE TABLE runs (id VARCHAR(40) NOT NULL, name VARCHAR(200) NOT NULL, state VARCHAR(16) NOT NULL,
    config TEXT NOT NULL, folder TEXT NOT NULL, data_id VARCHAR(80), created FLOAT NOT NULL, started FLOAT,
    finished FLOAT, error JSON, control VARCHAR(16) NOT NULL, worker JSON, progress JSON NOT NULL, PRIMARY KEY (id));
CREATE INDEX ix_runs_created ON runs (created);
CREATE INDEX ix_runs_state ON runs (state);
CREATE TABLE settings (key VARCHAR(80) NOT NULL, value JSON, PRIMARY KEY (key));
CREATE TABLE events (run_id VARCHAR(40) NOT NULL, seq INTEGER NOT NULL, kind VARCHAR(16) NOT NULL, seconds FLOAT,
    body JSON NOT NULL, PRIMARY KEY (run_id, seq), FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE);
CREATE TABLE metrics (id {serial} NOT NULL, run_id VARCHAR(40) NOT NULL, series VARCHAR(200) NOT NULL,
    step INTEGER NOT NULL, epoch FLOAT, seconds FLOAT, value FLOAT, PRIMARY KEY (id),
    FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE);
CREATE INDEX metrics_by_run ON metrics (run_id, series, step);
"""
"""As the workbench made them before it had migrations."""
OWNER = {"host": "here", "pid": 1, "started": 1.5}


def make_old(url: str) -> None:
    """A store of that time with three runs, an event and a point, a data set and a setting."""
    engine = build_engine(url)
    serial = "SERIAL" if engine.dialect.name == "postgresql" else "INTEGER"
    with engine.execution_options(write=True).begin() as connection:
        for statement in OLD_TABLES.format(serial=serial).split(";")[:-1]:
            connection.execute(text(statement))
        for number, (run_id, state) in enumerate([("second", "queued"), ("first", "queued"), ("ended", "failed")]):
            mapping = {"name": run_id, "data": {"train": "x"}, "train": {"device": "cuda:1" if number else "auto"}}
            values = {
                "id": run_id, "config": dump_yaml(resolve_config(mapping)), "state": state, "created": 100.0 - number,
                "started": 99.0 if state == "failed" else None, "worker": json.dumps(OWNER) if number == 2 else None,
            }  # fmt: skip
            connection.execute(text(
                "INSERT INTO runs (id, name, state, config, folder, created, started, control, worker, progress)"
                " VALUES (:id, :id, :state, :config, '/', :created, :started, '', :worker, '{}')"
            ), values)  # fmt: skip
        for statement in (
            "INSERT INTO events VALUES ('ended', 1, 'note', 0.5, '{\"kind\": \"note\"}')",
            "INSERT INTO metrics (run_id, series, step, value) VALUES ('ended', 'train/loss', 3, 0.25)",
            "INSERT INTO data_sets VALUES ('abc', 'atis', 10, '[\"text\"]', NULL, 1.0)",
            "INSERT INTO settings VALUES ('machine', '{\"cores\": 2}')",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()


def check_old(store: Store) -> None:
    """Nothing that `make_old` put there is lost."""
    runs = {run.id: run for run in store.list_runs()}
    assert {run_id: run.state for run_id, run in runs.items()} == {
        "first": "queued", "second": "queued", "ended": "failed",
    }  # fmt: skip
    assert [run.id for run in store.list_queue()] == ["first", "second"], "the older one is next"
    assert (runs["first"].wish, runs["second"].wish) == ("cuda:1", "auto")
    assert (runs["ended"].owner, runs["ended"].worker, runs["ended"].attempt) == (OWNER, None, 1)
    assert (runs["first"].tags, runs["first"].starred, runs["first"].deleted) == ((), False, None)
    assert (runs["first"].hider, store.list_groups()) == (None, [])
    assert store.read_events("ended") == [{"kind": "note", "seq": 1}]
    assert store.read_curves("ended")["train/loss"].value == [0.25]
    assert store.get_setting("machine") == {"cores": 2}
    assert [entry.name for entry in store.list_data_sets()] == ["atis"]


def compare_tables(engine: Engine) -> list:
    """What alembic would still change."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return compare_metadata(context, METADATA)


def test_a_new_store_has_the_tables_that_the_code_knows(database: str) -> None:
    assert compare_tables(Store(database)._engine) == []


def test_the_last_revision_is_the_one_that_the_code_knows() -> None:
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(PROJECT / "chain_core/services/store/migrations"))
    assert [entry.revision for entry in script.walk_revisions()] == list(reversed(REVISIONS))


def test_an_old_store_keeps_its_rows(database: str) -> None:
    make_old(database)
    store = Store(database)
    check_old(store)
    assert compare_tables(store._engine) == []
    claimed = store.claim_run({"pid": 1})
    assert claimed is not None
    assert claimed.id == "first"
    assert store.append_events(claimed.id, [{"kind": "step", "step": 1, "loss": 1.0}], claim=claimed.claim) == 2


def test_a_store_of_before_groups_could_be_hidden(database: str) -> None:
    store = Store(database)
    group_id = store.add_group("depths", "grid", {})
    with store._writing() as connection:
        for column in ("runs DROP COLUMN hider", "groups DROP COLUMN deleted", "groups DROP COLUMN hider"):
            connection.execute(text(f"ALTER TABLE {column}"))
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '003'"))
    store.close()
    store = Store(database)
    assert compare_tables(store._engine) == []
    assert [group.id for group in store.list_groups()] == [group_id]
    store.delete_group(group_id)
    assert store.list_groups() == []


def test_opening_again_changes_nothing_and_needs_no_alembic(database: str) -> None:
    Store(database).set_setting("a", 1)
    code = (
        "import sys; from chain_core.services.store.store import Store;"
        "assert Store(sys.argv[1]).get_setting('a') == 1; sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, database], cwd=PROJECT, timeout=60).returncode == 0


def test_a_newer_store_is_left_alone(database: str) -> None:
    store = Store(database)
    with store._writing() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '999'"))
    before = sorted(inspect(store._engine).get_table_names())
    with pytest.raises(RunError) as caught:
        Store(database)
    assert (caught.value.code, caught.value.params) == ("store_newer", {"version": "999"})
    assert "999" in caught.value.text("zh")
    assert sorted(inspect(store._engine).get_table_names()) == before


def test_many_processes_upgrade_an_old_store_at_once(database: str) -> None:
    make_old(database)
    code = "import sys; from chain_core.services.store.store import Store; print(len(Store(sys.argv[1]).list_runs()))"
    command = [sys.executable, "-c", code, database]
    started = [subprocess.Popen(command, cwd=PROJECT, text=True, stdout=subprocess.PIPE) for _ in range(4)]
    assert [process.communicate(timeout=60)[0].strip() for process in started] == ["3"] * 4
    check_old(Store(database))


KILLED = """
import json, os, signal, sys
from sqlalchemy import inspect
from chain_core.services.store.database import build_engine
from chain_core.services.store.migrations import upgrade_database
from tests.services.dying import CHANGES, die_before
import alembic.config, alembic.runtime.environment, alembic.script

url, killed = sys.argv[1], 0

def upgrade(left):
    engine = build_engine(url)
    die_before(engine, left, CHANGES)
    upgrade_database(engine)
    os._exit(0)

while True:
    child = os.fork() or upgrade(killed + 1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 0:
        break
    assert status == -signal.SIGKILL, status
    killed += 1
    engine = build_engine(url)
    with engine.connect() as connection:
        print(json.dumps(sorted(inspect(connection).get_table_names())))
    engine.dispose()
"""
"""Upgrades a store in a process that is killed before its first writing statement, its second, and so on until one
comes through; prints the tables after each."""


@pytest.mark.parametrize("old", [True, False])
def test_a_kill_at_any_statement_loses_nothing(database: str, old: bool) -> None:
    if old:
        make_old(database)
    command = [sys.executable, "-c", KILLED, database]
    finished = subprocess.run(command, cwd=PROJECT, text=True, stdout=subprocess.PIPE, timeout=120, check=True)
    after = [json.loads(line) for line in finished.stdout.splitlines()]
    assert len(after) >= 20
    before = ["data_sets", "events", "metrics", "runs", "settings"] if old else []
    assert all(tables == before for tables in after)
    store = Store(database)
    assert compare_tables(store._engine) == []
    if old:
        check_old(store)
