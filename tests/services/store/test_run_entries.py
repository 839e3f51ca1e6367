"""How runs are filed: names, tags, stars, filters, hiding and removing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from chain_core.config import resolve_config
from chain_core.errors import RunError
from chain_core.paths import get_folder
from chain_core.services.store.run_entries import MOST_NAME, MOST_TAG, MOST_TAGS, clean_name, clean_tags
from chain_core.services.store.store import Store
from chain_core.services.store.tables import EVENTS, METRICS, RUNS


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    store = Store(database)
    yield store
    store.close()


def add(store: Store, name: str = "one", **options: object) -> str:
    return store.add_run(resolve_config({"name": name, "data": {"train": "x"}}), **options)


def list_names(store: Store, **filters: object) -> set[str]:
    return {run.name for run in store.list_runs(**filters)}


def test_names_are_cleaned_and_bounded(store: Store) -> None:
    run_id = add(store)
    assert store.rename_run(run_id, "  意图\n\tnew\x00  name ") == "意图 new name"
    assert store.get_run(run_id).name == "意图 new name"
    assert len(store.rename_run(run_id, "x" * 1000)) == MOST_NAME
    with pytest.raises(RunError) as caught:
        store.rename_run(run_id, " \n\x07 ")
    assert caught.value.code == "run_nameless"
    assert store.get_run(run_id).name == "x" * MOST_NAME


def test_tags_are_cleaned_bounded_and_there_once(store: Store) -> None:
    run_id = add(store, tags=["base", " Base ", "", "x" * 99])
    assert store.get_run(run_id).tags == ("base", "x" * MOST_TAG)
    assert store.set_tags(run_id, ["意图", 'a "b"', "50%", "a_b", "c\\d"]) == ["意图", 'a "b"', "50%", "a_b", "c\\d"]
    assert store.get_run(run_id).tags == ("意图", 'a "b"', "50%", "a_b", "c\\d")
    assert len(store.set_tags(run_id, map(str, range(100)))) == MOST_TAGS


@settings(max_examples=200, deadline=None)
@given(st.text(), st.lists(st.text(), max_size=30))
def test_any_text_makes_a_name_and_tags(name: str, tags: list[str]) -> None:
    cleaned = clean_name(name)
    assert cleaned == clean_name(cleaned)
    assert len(cleaned) <= MOST_NAME
    assert not set(cleaned) & {chr(number) for number in range(32)}
    cleaned.encode()
    kept = clean_tags(tags)
    assert kept == clean_tags(kept)
    assert len({tag.casefold() for tag in kept}) == len(kept) <= MOST_TAGS


@pytest.mark.parametrize("tag", ["a", "意图", 'a "b"', "50%", "a_b", "c\\d", "a/b", "é"])
def test_a_tag_finds_its_runs_only(store: Store, tag: str) -> None:
    tagged = add(store, "tagged", tags=["other", tag])
    for number, other in enumerate(("ab", "意", "500", "axb", "cd", 'x "a" y', "a", "e")):
        if other != tag:
            add(store, f"other {number}", tags=[other])
    assert [run.id for run in store.list_runs(tag=tag)] == [tagged]
    assert [run.id for run in store.list_runs(tag=tag.upper())] == [tagged] or not tag.isascii()
    assert tag in store.list_tags()


def test_runs_are_found_by_what_is_known_of_them(store: Store) -> None:
    group = store.add_group("depths", "grid", {"chain.depth": [0, 1]})
    first, second = add(store, "Base 100%"), add(store, "base_2", parent="x", group_id=group)
    hidden = add(store, "base hidden")
    store.set_star(second, True)
    store.delete_run(hidden)
    assert list_names(store, text="BASE") == {"Base 100%", "base_2"}
    assert list_names(store, text="100%") == {"Base 100%"}
    assert list_names(store, text="base_") == {"base_2"}, "an underscore is no wildcard"
    assert list_names(store, starred=True) == {"base_2"}
    assert list_names(store, starred=False) == {"Base 100%"}
    assert list_names(store, group_id=group) == {"base_2"}
    assert list_names(store, deleted=True) == {"base hidden"}
    assert list_names(store, states=("failed",)) == set()
    assert store.get_run(second).parent == "x"
    assert store.get_run(hidden).deleted is not None, "it can still be looked at"
    assert [run.id for run in store.list_runs(limit=1)] == [second]
    assert first in {run.id for run in store.list_runs()}


def test_groups_are_kept(store: Store) -> None:
    group_id = store.add_group("depths", "grid", {"chain.depth": [0, 1]})
    store.set_group_state(group_id, "finished")
    group = store.get_group(group_id)
    assert (group.name, group.kind, group.spec, group.state) == ("depths", "grid", {"chain.depth": [0, 1]}, "finished")
    assert store.list_groups() == [group]
    for action in (store.get_group, lambda unknown: store.set_group_state(unknown, "finished")):
        with pytest.raises(RunError) as caught:
            action("nothing")
        assert caught.value.code == "group_unknown"


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
    assert store.purge_deleted([run_id]) == []
    store.finish_run(run_id, "finished", claim=claimed.claim)
    assert store.purge_deleted([run_id]) == [], "only what was hidden before"
    store.delete_run(run_id)
    assert store.list_runs() == []
    assert folder.exists()
    assert store.restore_run(run_id)
    assert [run.id for run in store.list_runs()] == [run_id]
    assert len(store.read_events(run_id)) == 1
    store.delete_run(run_id)
    assert store.purge_deleted([run_id, "nothing"]) == [run_id]
    assert not folder.exists()
    with store._reading() as connection:
        for table in (RUNS, EVENTS, METRICS):
            assert connection.scalar(select(func.count()).select_from(table)) == 0
    with pytest.raises(RunError) as caught:
        store.restore_run(run_id)
    assert caught.value.code == "run_unknown"


def test_a_removal_that_was_interrupted_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from chain_core.services.store import run_entries

    run_id = add(store)
    store.delete_run(run_id)
    with monkeypatch.context() as patch:
        patch.setattr(run_entries, "_remove_folder", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.purge_deleted([run_id])
    assert not store.restore_run(run_id), "its files may be gone"
    assert [run.id for run in store.list_runs(deleted=True)] == [run_id]
    assert store.purge_deleted([run_id]) == [run_id]
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
    assert store.purge_deleted([bad]) == [bad]
    assert kept.exists()
    assert other.exists()


def test_a_linked_folder_is_unlinked_not_emptied(store: Store, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept.txt").write_text("x")
    run_id = add(store)
    link = get_folder("runs") / run_id
    link.symlink_to(tmp_path / "elsewhere")
    store.delete_run(run_id)
    store.purge_deleted([run_id])
    assert not link.is_symlink()
    assert (tmp_path / "elsewhere" / "kept.txt").exists()


def test_a_page_of_the_list(store: Store) -> None:
    ids = [add(store, name) for name in ("b", "A", "c", "B")]
    assert store.count_runs() == 4
    assert [run.id for run in store.list_runs(2, offset=1)] == [ids[2], ids[1]]
    assert [run.name for run in store.list_runs(sort="name")] == ["A", "B", "b", "c"]
    assert [run.id for run in store.list_runs(sort="oldest")] == ids
    assert store.count_runs(text="b") == 2
    assert store.count_runs(("failed",)) == 0


def test_the_best_score_comes_first_and_none_last(store: Store) -> None:
    for name, score in (("low", 0.2), ("none", None), ("high", 0.9)):
        run_id = add(store, name)
        store.append_events(run_id, [{"kind": "epoch", "epoch": 1, "step": 1, "score": score, "best": True}])
    assert [run.name for run in store.list_runs(sort="score")] == ["high", "low", "none"]


def test_states_of_what_is_active_and_of_what_was_asked_for(store: Store) -> None:
    waiting, ended, other, hidden = (add(store, name) for name in "abcd")
    for run_id in (ended, other):
        store.request_cancel(run_id)
    store.delete_run(hidden)
    assert store.read_states() == {waiting: "queued"}
    assert store.read_states([ended, hidden, "nothing"]) == {waiting: "queued", ended: "cancelled"}
