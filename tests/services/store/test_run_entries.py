"""How runs are filed: names, tags, stars, filters."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_core.config import resolve_config
from chain_core.errors import RunError
from chain_core.services.store.run_entries import MOST_NAME, MOST_TAG, MOST_TAGS, clean_name, clean_tags
from chain_core.services.store.store import Store


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


@settings(max_examples=200)
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
