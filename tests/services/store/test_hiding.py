"""What is deleted is hidden, can be brought back, and is removed in the end: runs, and groups with theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from chain_core.config import resolve_config
from chain_core.errors import RunError
from chain_core.paths import get_folder
from chain_core.services.store.store import Store
from chain_core.services.store.tables import EVENTS, METRICS, RUNS
from chain_core.storage.owners import get_identity


def add(store: Store, name: str = "one", **options: object) -> str:
    return store.add_run(resolve_config({"name": name, "data": {"train": "x"}}), **options)


def add_group(store: Store, *names: str) -> tuple[str, list[str]]:
    """A group and its queued runs."""
    group_id = store.add_group("depths", "grid", {"sweep": {"name": "depths"}, "trials": [{}] * 9, "made": 0})
    return group_id, [add(store, name, group_id=group_id) for name in names]


def test_a_group_is_hidden_and_comes_back_with_its_runs(store: Store) -> None:
    group_id, (first, second, gone) = add_group(store, "first", "second", "gone")
    other = add(store, "other")
    store.delete_run(gone)
    store.delete_group(group_id)
    assert [run.id for run in store.list_runs()] == [other]
    assert [run.id for run in store.list_queue()] == [other], "nothing of it is begun"
    assert (store.list_groups(), [group.id for group in store.list_groups(deleted=True)]) == ([], [group_id])
    assert store.list_hidden_runs() == [], "its runs come back with it, not alone"
    assert store.get_group(group_id).hider == store.get_run(first).hider == get_identity()
    assert not store.change_group(group_id, ("running",), "pausing")
    assert not store.add_trial(group_id, 0, {"params": {}}, None, Path())
    assert store.restore_group(group_id)
    assert {run.id for run in store.list_runs(group_id=group_id)} == {first, second}
    assert [run.id for run in store.list_hidden_runs()] == [gone], "what was deleted before stays so"
    assert (store.get_group(group_id).hider, store.get_run(first).hider) == (None, None)
    assert store.add_trial(group_id, 0, {"params": {}}, None, Path())


def test_a_group_at_work_is_not_hidden(store: Store) -> None:
    group_id, (run_id, _) = add_group(store, "first", "second")
    claimed = store.claim_run({})
    assert claimed is not None
    with pytest.raises(RunError) as caught:
        store.delete_group(group_id)
    assert (caught.value.code, caught.value.params) == ("group_busy", {"group": "depths"})
    assert len(store.list_runs()) == 2, "nothing of it is hidden"
    store.finish_run(run_id, "finished", claim=claimed.claim)
    store.delete_group(group_id)
    assert store.list_runs() == []


def test_a_group_is_removed_with_its_files(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from chain_core.services.store import hiding

    group_id, (first, second) = add_group(store, "first", "second")
    folders = [get_folder("runs") / run_id for run_id in (first, second)]
    for folder in folders:
        (folder / "model").mkdir(parents=True)
    assert store.purge_groups([group_id]) == [], "only what was hidden before"
    store.delete_group(group_id)
    with monkeypatch.context() as patch:
        patch.setattr(hiding, "_remove_folder", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.purge_groups([group_id])
    assert not store.restore_group(group_id), "its files may be gone"
    assert store.list_hidden_runs() == []
    assert store.purge_groups([group_id, "nothing"]) == [group_id]
    assert not any(folder.exists() for folder in folders)
    assert (store.list_groups(deleted=True), store.list_runs(deleted=True)) == ([], [])
    with pytest.raises(RunError) as caught:
        store.restore_group(group_id)
    assert caught.value.code == "group_unknown"


def test_a_run_that_was_brought_back_alone_outlives_its_group(store: Store) -> None:
    group_id, (first, second) = add_group(store, "first", "second")
    store.delete_run(first)
    store.delete_group(group_id)
    assert store.restore_run(first)
    assert store.purge_groups([group_id]) == [group_id]
    assert [(run.id, run.group_id) for run in store.list_runs()] == [(first, None)]
    with pytest.raises(RunError):
        store.get_run(second)


def test_hiding_can_be_undone_until_the_run_is_removed(store: Store) -> None:
    run_id = add(store)
    folder = get_folder("runs") / run_id
    (folder / "model").mkdir(parents=True)
    claimed = store.claim_run({})
    assert claimed is not None
    store.append_events(run_id, [{"kind": "step", "step": 1, "loss": 0.5, "seconds": 1.0}], claim=claimed.claim)
    with pytest.raises(RunError) as caught:
        store.delete_run(run_id)
    assert caught.value.code == "run_busy"
    assert store.purge_runs([run_id]) == []
    store.finish_run(run_id, "finished", claim=claimed.claim)
    assert store.purge_runs([run_id]) == [], "only what was hidden before"
    store.delete_run(run_id)
    assert store.list_runs() == []
    assert folder.exists()
    assert store.restore_run(run_id)
    assert [run.id for run in store.list_runs()] == [run_id]
    assert len(store.read_events(run_id)) == 1
    store.delete_run(run_id)
    assert store.purge_runs([run_id, "nothing"]) == [run_id]
    assert not folder.exists()
    with store._reading() as connection:
        for table in (RUNS, EVENTS, METRICS):
            assert connection.scalar(select(func.count()).select_from(table)) == 0
    with pytest.raises(RunError) as caught:
        store.restore_run(run_id)
    assert caught.value.code == "run_unknown"


def test_a_removal_that_was_interrupted_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from chain_core.services.store import hiding

    run_id = add(store)
    store.delete_run(run_id)
    with monkeypatch.context() as patch:
        patch.setattr(hiding, "_remove_folder", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.purge_runs([run_id])
    assert not store.restore_run(run_id), "its files may be gone"
    assert [run.id for run in store.list_runs(deleted=True)] == [run_id]
    assert store.purge_runs([run_id]) == [run_id]
    assert store.list_runs(deleted=True) == []


@pytest.mark.parametrize("bad", ["..", ".", "../datasets", "/etc", "a/../../x"])
def test_nothing_outside_the_runs_folder_is_removed(store: Store, home: Path, bad: str) -> None:
    from sqlalchemy import update

    kept = home / "datasets" / "kept.txt"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("x")
    other = get_folder("runs") / "other"
    other.mkdir()
    run_id = add(store)
    with store._writing() as connection:  # as somebody who can write to the database might
        connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(id=bad))
    store.delete_run(bad)
    assert store.purge_runs([bad]) == [bad]
    assert kept.exists()
    assert other.exists()


def test_a_linked_folder_is_unlinked_not_emptied(store: Store, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept.txt").write_text("x")
    run_id = add(store)
    link = get_folder("runs") / run_id
    link.symlink_to(tmp_path / "elsewhere")
    store.delete_run(run_id)
    store.purge_runs([run_id])
    assert not link.is_symlink()
    assert (tmp_path / "elsewhere" / "kept.txt").exists()
