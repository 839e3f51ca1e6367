"""Changes to a draft: whatever it holds, the next one is what was asked for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_core.config import HeadConfig, StageConfig, TrainConfig, resolve_config
from chain_core.presets import PRESETS
from chain_core.ui.chain import edit as chain_edit
from chain_core.ui.chain import lists as chain_lists
from chain_core.ui.chain import text as chain_text
from chain_core.ui.chain.limits import read_limits
from chain_core.ui.chain.links import apply_edits, build_frame
from chain_core.ui.chain.spec import GROUPS

DRAFT = {
    "data": {"train": "t"},
    "chain": {"depth": 3, "links": [{"density": 0.1}, {"density": 0.2}, {"density": 0.3}], "taps": [1, 2, 3]},
    "heads": {
        "a": {"kind": "classification", "column": "x", "depths": [0, 1, 3], "depth_weights": [1, 2, 3]},
        "b": {"kind": "regression", "column": "y"},
    },
    "train": {"metric": "a/accuracy", "epochs": 3},
}


def test_a_lower_depth_takes_links_taps_and_heads_along() -> None:
    changed = chain_edit.set_depth(DRAFT, 1)
    assert changed["chain"] == {"depth": 1, "links": [{"density": 0.1}], "taps": None}
    assert changed["heads"]["a"] == {"kind": "classification", "column": "x", "depths": [0, 1]}
    assert resolve_config(changed)
    assert DRAFT["chain"]["depth"] == 3, "the given draft stays as it was"


def test_a_greater_depth_repeats_the_last_link() -> None:
    links = chain_edit.set_depth(DRAFT, 5)["chain"]["links"]
    assert [link["density"] for link in links] == [0.1, 0.2, 0.3, 0.3, 0.3]


def test_a_head_that_loses_all_its_depths_sits_at_the_last_link() -> None:
    draft = {"chain": {"depth": 3}, "heads": {"a": {"kind": "tagging", "column": "x", "depths": [2, 3]}}}
    assert chain_edit.set_depth(draft, 1)["heads"]["a"]["depths"] == ["last"]


def test_a_place_is_never_named_twice() -> None:
    draft = {**DRAFT, "heads": {"a": {**DRAFT["heads"]["a"], "depths": [0, 1, "last"], "depth_weights": None}}}
    for depth in (0, 1):
        changed = chain_edit.set_depth(draft, depth)
        assert resolve_config(changed).get_depths("a") == tuple(range(depth + 1))


def test_a_preset_takes_effect_over_what_was_set_before() -> None:
    for preset, defaults in PRESETS.items():
        config = resolve_config(chain_edit.choose_preset({**DRAFT, "backbone": {"tuning": "full", "rank": 3}}, preset))
        assert config.backbone.tuning == defaults["backbone"]["tuning"]
        assert config.train.epochs == defaults["train"]["epochs"]
        assert config.chain.depth == defaults["chain"]["depth"]
        assert config.backbone.rank == 3, "what presets do not speak of stays"


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_what_is_shown_is_what_a_run_would_have(preset: str | None) -> None:
    """Every preset leaves keys open that another one sets."""
    draft = {"data": {"train": "t"}, **({"preset": preset} if preset else {})}
    assert chain_edit.complete(draft) == resolve_config(draft).model_dump(mode="json")


def test_changes_of_a_preset_are_known() -> None:
    assert chain_edit.list_changes({"preset": "thorough"}) == []
    changed = {"preset": "thorough", "chain": {"depth": 2, "width": 64}, "backbone": {"tuning": "full"}}
    assert chain_edit.list_changes(changed) == [("chain", "depth")]


def test_a_preset_may_reach_into_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS["fast"]["chain"], "links", {"kind": "conv"})
    assert chain_edit.list_changes({"preset": "fast", "chain": {"links": {"density": 0.5}}}) == []
    assert chain_edit.list_changes({"preset": "fast", "chain": {"links": {"kind": "linear"}}}) == [
        ("chain", "links", "kind")
    ]
    kept = chain_edit.choose_preset({"chain": {"links": {"kind": "linear", "density": 0.5}}}, "fast")
    assert kept["chain"]["links"] == {"density": 0.5}
    listed = chain_edit.choose_preset(DRAFT, "fast")
    assert resolve_config(listed).get_link(1).kind == "conv"


def test_densities_ties_and_stages_follow_the_depth() -> None:
    draft = {
        "data": {"train": "t"},
        "chain": {"depth": 3, "densities": [0.2, 0.4, 0.8]},
        "stages": [{"depth": 2}, {"depth": 3}],
    }
    shorter = chain_edit.set_depth(draft, 2)
    assert shorter["chain"]["densities"] == [0.2, 0.4]
    assert [stage["depth"] for stage in shorter["stages"]] == [2, 2]
    assert chain_edit.set_depth(draft, 5)["chain"]["densities"] == [0.2, 0.4, 0.8, 0.8, 0.8]
    for depth in (0, 1, 2, 5, 12):
        assert resolve_config(chain_edit.set_depth({**draft, "stages": None}, depth))
        tied = {"data": {"train": "t"}, "chain": {"depth": 3, "links": {"tie": 2}}}
        assert resolve_config(chain_edit.set_depth(tied, depth))


def test_every_list_entry_is_shown_whole() -> None:
    whole = chain_edit.complete({"also": {"a": {"data": {"train": "x"}}}, "stages": [{}], "start": {"run": "r"}})
    assert whole["also"]["a"]["data"]["validation"] == 0.1
    assert whole["also"]["a"]["input"]["text"] is None
    assert whole["stages"][0]["trains"] == ["links", "heads", "backbone"]
    assert whole["start"] == {"run": "r", "l2": 0.0, "replay": 0.0}


def test_a_self_supervised_stage_comes_before_the_tasks() -> None:
    grown = {"train": {"epochs": 4}, "stages": [{"depth": 1}, {"depth": 3}]}
    assert chain_lists.add_stage(grown, "masked_lm")["stages"][0] == {"objective": "masked_lm", "epochs": 1, "depth": 1}
    assert chain_lists.add_stage({"train": {"epochs": 4}}, "tasks")["stages"] == [{"objective": "tasks", "epochs": 4}]
    once = chain_lists.add_stage({"train": {"epochs": 4}}, "causal_lm")["stages"]
    assert [stage["objective"] for stage in once] == ["causal_lm", "tasks"]
    assert chain_lists.move_stage(grown, 0, -1) == grown


def test_stages_take_over_the_epochs_and_give_them_back() -> None:
    draft = {"train": {"epochs": 4, "seed": 1}}
    staged = chain_lists.add_stage(draft, "masked_lm")
    assert staged["train"] == {"seed": 1}
    tasks = chain_lists.remove_stage(staged, 0)
    assert chain_lists.remove_stage(tasks, 0) == draft
    words = chain_lists.remove_stage(staged, 1)
    assert chain_lists.remove_stage(words, 0) == {"train": {"seed": 1}}, "epochs of texts are none of tasks"


def test_a_further_data_set_takes_free_names_and_goes_with_its_heads() -> None:
    completed = {"data": {"train": "n"}, "input": {"text": "t"}, "heads": {"a": {"kind": "regression", "column": "a"}}}
    added = chain_lists.add_set(DRAFT, "news", completed)
    assert added["heads"]["a_2"] == {"kind": "regression", "column": "a", "data": "news"}
    assert resolve_config(added)
    renamed = chain_lists.rename_set(added, "news", "paper")
    assert renamed["heads"]["a_2"]["data"] == "paper"
    assert chain_lists.remove_set(renamed, "paper")["heads"] == DRAFT["heads"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), ("1, 2", [1, 2]), ("0.5 1", [0.5, 1]), ("[1，2、3]", [1, 2, 3]), ("1, x", "1, x"), ("nan", "nan")],
)
def test_numbers_as_people_type_them(text: str, value: Any) -> None:
    assert chain_text.read_numbers(text) == value


@given(st.lists(st.integers(-9, 99) | st.floats(-1e6, 1e6), min_size=1, max_size=12))
def test_numbers_read_back_as_they_are_shown(values: list[float]) -> None:
    assert chain_text.read_numbers(chain_text.format_numbers(values)) == values


@pytest.mark.parametrize(("text", "value"), [("", None), ("500k", "500k"), ("1,000", 1000), ("12 000", 12000)])
def test_counts_as_people_type_them(text: str, value: Any) -> None:
    assert chain_text.read_count(text) == value


def test_fields_offer_what_the_config_takes() -> None:
    limits = read_limits(TrainConfig, "seed")
    assert (limits.kind, limits.high, limits.below) == ("whole", 2**32, True)
    assert read_limits(StageConfig, "learning_rate").nullable
    assert read_limits(StageConfig, "trains").options == ("links", "heads", "backbone")
    assert read_limits(HeadConfig, "separator").length == 3


def test_links_spread_and_join() -> None:
    draft = {"chain": {"depth": 2, "links": {"kind": "linear", "density": 0.5}}}
    spread = chain_edit.spread_links(draft)
    assert [link["kind"] for link in spread["chain"]["links"]] == ["linear", "linear"]
    joined = chain_edit.join_links(spread)
    assert joined["chain"]["links"]["density"] == 0.5
    assert joined["chain"]["taps"] is None


def test_the_last_depth_is_written_so_that_it_follows() -> None:
    changed = chain_edit.set_head_depths(DRAFT, "a", [3, 0])
    assert changed["heads"]["a"]["depths"] == [0, "last"]
    assert "depth_weights" not in changed["heads"]["a"]
    deeper = chain_edit.set_depth(changed, 5)
    assert chain_edit.read_head_depths(deeper, deeper["heads"]["a"]) == [0, 5]


def test_heads_come_go_and_change_names() -> None:
    added = chain_edit.add_head(DRAFT, "tagging", "a")
    assert list(added["heads"]) == ["a", "b", "a_2"]
    renamed = chain_edit.rename_head(added, "a", "first")
    assert list(renamed["heads"]) == ["first", "b", "a_2"]
    assert renamed["train"]["metric"] == "first/accuracy"
    assert chain_edit.rename_head(added, "a", "b") == added, "a taken name changes nothing"
    removed = chain_edit.remove_head(DRAFT, "a")
    assert list(removed["heads"]) == ["b"]
    assert removed["train"]["metric"] == "mean"


def test_stages_follow_the_names_of_their_heads() -> None:
    head = {"kind": "classification", "column": "c"}
    stages = [{"heads": ["a"]}, {"heads": ["b", "a"]}, {"heads": ["b"]}, {}]
    draft = {**DRAFT, "heads": {"a": head, "b": head}, "stages": stages}
    renamed = chain_edit.rename_head(draft, "a", "first")
    assert [stage.get("heads") for stage in renamed["stages"]] == [["first"], ["b", "first"], ["b"], None]
    removed = chain_edit.remove_head(draft, "a")
    assert [stage.get("heads") for stage in removed["stages"]] == [None, ["b"], ["b"], None]
    assert draft["stages"] == stages


@given(st.text(min_size=1, max_size=90))
def test_any_column_gives_a_head_a_valid_name(column: str) -> None:
    draft = {"data": {"train": "t"}, "heads": {}}
    assert resolve_config(chain_edit.add_head(chain_edit.add_head(draft, "regression", column), "regression", column))


def test_table_edits_become_links_and_taps() -> None:
    changed = apply_edits(DRAFT, {1: {"density": 0.9, "kind": "linear"}, 2: {"tap": 6}}, [2, 4, 5])
    assert changed["chain"]["links"][1] == {"density": 0.9, "kind": "linear"}
    assert changed["chain"]["taps"] == [2, 4, 6]
    assert apply_edits(DRAFT, {0: {"tap": None}}, [2, 4, 5])["chain"]["taps"] is None
    tied = apply_edits(DRAFT, {1: {"tie": "1", "kernel": 3.0}, 2: {"tie": "backbone"}}, [2, 4, 5])["chain"]["links"]
    assert [link.get("tie") for link in tied] == [None, 1, "backbone"]
    assert apply_edits({"chain": {"links": tied}}, {1: {"tie": None}}, [2, 4, 5])["chain"]["links"][1]["tie"] is None


def test_a_table_shows_whatever_links_hold() -> None:
    frame = build_frame([{"density": "x", "detach": 3, "tie": 2, "kernel": True}, {}], [1, 2])
    assert frame["density"].isna().all()
    assert frame["tie"].isna().tolist() == [False, True]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 20) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
SECTION = st.dictionaries(st.sampled_from(["depth", "links", "taps", "metric", "tuning", "a"]), ANYTHING, max_size=4)
DRAFTS = st.dictionaries(
    st.sampled_from(["preset", "chain", "heads", "train", "backbone", "input", "also", "stages", "start", "augment"]),
    ANYTHING | SECTION | st.lists(SECTION, max_size=3),
    max_size=6,
)


@settings(max_examples=150)
@given(DRAFTS, st.integers(0, 12))
def test_any_draft_can_be_shown_and_edited(draft: dict[str, Any], depth: int) -> None:
    assert chain_edit.complete(draft)
    assert 0 <= chain_edit.read_depth(draft) <= 12
    assert chain_edit.read_depth(chain_edit.set_depth(draft, depth)) == depth
    chain_edit.choose_preset(draft, "fast")
    chain_edit.spread_links(draft)
    chain_edit.join_links(draft)
    for course in ("growing", "each"):
        chain_edit.set_densities(draft, course)
    for objective in ("tasks", "masked_lm"):
        chain_lists.move_stage(chain_lists.add_stage(draft, objective), 0, 1)
    chain_lists.remove_stage(draft, 0)
    chain_lists.set_start(draft, "run")
    added = chain_lists.add_set(draft, "more", {"data": {"train": "x"}, "heads": {"a": {"kind": "regression"}}})
    chain_lists.remove_set(chain_lists.rename_set(added, "more", "other"), "other")
    whole = chain_edit.complete(draft)
    for group in GROUPS:
        for field in group.fields:
            field.when({"kind": "classification", "data": "a", "depths": 3, "copies": "x"}, whole)
    changed = chain_edit.set_value(draft, ("train", "epochs"), 4)
    assert chain_edit.get_value(changed, ("train", "epochs")) == 4
