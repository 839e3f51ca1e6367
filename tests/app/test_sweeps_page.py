"""The Sweeps page: a sweep made from the draft, followed, compared, and its best run taken up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from chain_core.config import load_yaml
from chain_core.messages import LANGUAGES, render
from chain_core.services.store.store import Store
from chain_core.services.sweeps.axes import list_combinations, parse_axis
from chain_core.services.sweeps.steps import advance_sweeps, control_sweep, start_sweep
from chain_core.services.sweeps.sweep import Sweep
from chain_core.services.sweeps.trials import read_sweep
from chain_core.services.workers.jobs import perform_run
from tests.app.harness import click, open_page, run
from tests.services.fakes import execute_run
from tests.tiny import build_commands, write_rows

HEADS = {"intent": {"kind": "classification", "column": "intent"}}


@pytest.fixture
def store(home: Path) -> Store:
    return Store()


@pytest.fixture
def draft(home: Path, backbone: Path, write_draft: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """On real rows and a tiny backbone."""
    rows = write_rows(home / "rows.jsonl", build_commands(60))
    mapping = {
        "name": "*tiny*", "data": {"train": str(rows)}, "input": {"tokens": "tokens"},
        "backbone": {"name": str(backbone)}, "chain": {"depth": 2}, "heads": HEADS,
    }  # fmt: skip
    write_draft(mapping)
    return mapping


def add_sweep(store: Store, draft: dict[str, Any], *axes: str, kind: str = "grid", done: int = 100, **keys: Any) -> str:
    """A sweep of which the fake executor has done some runs: the deeper the better."""
    sweep = Sweep("s", kind, draft, ".", tuple(map(parse_axis, axes)), **keys)
    group_id = start_sweep(store, sweep, list_combinations(sweep.axes) if kind == "grid" else None)
    for _ in range(done):
        advance_sweeps(store)
        claimed = store.claim_run({})
        if claimed is None:
            break
        perform_run(store, claimed.id, _execute, claimed.claim)
    advance_sweeps(store)
    return group_id


def _execute(config, out, *, emit, **options):
    better = config.chain.depth / 100 + (config.train.seed == 1) / 1000

    def tell(event):
        event = {**event, "score": event["score"] + better} if event["kind"] == "epoch" else event
        if event["kind"] == "done":
            event["report"]["parameters"] = {"trainable": 1000 * (config.chain.depth + 1)}
        emit(event)

    report = execute_run(config, out, emit=tell, **options)
    (out / "report.json").write_text(json.dumps(report))
    return report


def read_texts(page: AppTest) -> str:
    kinds = (page.markdown, page.caption, page.error, page.info, page.warning, page.subheader)
    return "\n".join(element.value for kind in kinds for element in kind)


def list_keys(page: AppTest) -> set[str]:
    return {str(button.key) for button in page.button}


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_to_sweep_leads_on(store: Store, language: str) -> None:
    page = open_page("sweeps", language)
    assert render("sweeps.empty", language) in read_texts(page)
    assert page.button(key="sweeps_empty").label == render("sweeps.empty_action", language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_grid_is_told_before_it_is_started(store: Store, draft: dict, write_draft, language: str) -> None:
    write_draft({**draft, "augment": {"delete": 0.2}})
    page = open_page("sweeps", language)
    assert ["augment.delete" in info.value for info in page.info] == [True], "which comes to nothing in all of them"
    assert render("sweeps.comes_to", language, count=7) in read_texts(page), "depths 0 to 6 are the first suggestion"
    assert "{" not in read_texts(page), "no field of a sentence is left open"


def test_a_grid_is_made_of_chosen_and_typed_values(store: Store, draft: dict) -> None:
    page = open_page("sweeps")
    page.multiselect(key="sweep_axes").set_value(["chain.depth", "train.seed", "backbone.tuning"])
    run(page)
    assert "**42 runs**" in read_texts(page)
    page.multiselect(key="sweep_values:chain.depth").set_value(["1", "2"])
    page.multiselect(key="sweep_values:train.seed").set_value(["0..3"])
    run(page)
    assert "**16 runs**" in read_texts(page)
    click(page, "sweep_start")
    (group,) = store.list_groups()
    state = read_sweep(store, group.id)
    assert (state.total, len(state.runs), group.name) == (16, 4, "*tiny*")
    assert state.trials[0].params == {"chain.depth": 1, "train.seed": 0, "backbone.tuning": "frozen"}
    assert page.query_params["sweep"] == group.id


def test_what_is_wrong_is_told_and_can_be_left_out(store: Store, draft: dict) -> None:
    page = open_page("sweeps")
    page.multiselect(key="sweep_axes").set_value(["backbone.layers", "backbone.tuning"])
    run(page)
    assert page.button(key="sweep_start").disabled, "no value of the layers was chosen"
    page.multiselect(key="sweep_values:backbone.layers").set_value(["2", "9"])
    run(page)
    assert "Top layers only 9, Tuning LoRA" in page.warning[0].value.replace("\\", "")
    assert "**3 runs** · 1 combination left out" in read_texts(page)
    page.multiselect(key="sweep_values:backbone.layers").set_value(["x"])
    run(page)
    assert page.error
    assert page.button(key="sweep_start").disabled


def test_a_search_is_set_up(store: Store, draft: dict) -> None:
    page = open_page("sweeps")
    page.session_state["sweep_kind"] = "search"
    page.multiselect(key="sweep_axes").set_value(["train.learning_rate", "backbone.tuning"])
    run(page)
    page.number_input(key="sweep_count").set_value(12)
    page.selectbox(key="sweep_pruner").set_value("halving")
    page.number_input(key="sweep_high:train.learning_rate").set_value(0.05)
    run(page)
    assert "**12 runs**" in read_texts(page)
    click(page, "sweep_start")
    (group,) = store.list_groups()
    sweep = read_sweep(store, group.id).sweep
    assert (sweep.kind, sweep.count, sweep.pruner) == ("search", 12, "halving")
    assert (sweep.axes[0].low, sweep.axes[0].high, sweep.axes[0].log) == (1e-4, 0.05, True)
    assert sweep.axes[1].values == ("frozen", "lora")
    page.number_input(key="sweep_low:train.learning_rate").set_value(1.0)
    run(page)
    assert "range" in page.error[0].value


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_table_of_all_runs_with_readable_names(store: Store, draft: dict, language: str) -> None:
    add_sweep(store, draft, "chain.depth=0..2", "backbone.tuning=frozen,lora")
    page = open_page("sweeps", language)
    table = page.dataframe[0].value
    assert list(table[render("chain.depth", language)]) == [0, 0, 1, 1, 2, 2]
    tunings = [render(f"chain.tuning_{name}", language) for name in ("frozen", "lora")]
    assert list(table[render("chain.tuning", language)]) == tunings * 3
    assert list(table[render("sweeps.parameters", language)]) == [1000, 1000, 2000, 2000, 3000, 3000]
    assert table["#"].tolist() == ["1", "2", "3", "4", "★ 5", "6"]
    assert any(column.startswith("intent · ") for column in table)
    assert table[render("sweeps.score", language)].is_monotonic_increasing
    assert len(page.get("plotly_chart")) == 3
    assert "{" not in read_texts(page)


def test_medians_over_seeds(store: Store, draft: dict) -> None:
    add_sweep(store, draft, "chain.depth=1,2", "train.seed=0,1,2")
    page = open_page("sweeps")
    medians = page.dataframe[1].value
    assert list(medians["Depth"]) == [1, 2]
    assert list(medians["Runs"]) == [3, 3]
    assert (medians["Median score"] < medians["Highest"]).all()
    assert page.dataframe[0].value["#"].tolist() == ["1", "2", "3", "★ 4", "★ 5", "★ 6"]
    assert "Depth 2, median score" in read_texts(page).replace("\\", "")
    assert "over 3 seeds" in read_texts(page)


def test_the_best_runs_settings_become_the_draft(store: Store, draft: dict, home: Path) -> None:
    add_sweep(store, draft, "chain.depth=1,2", "train.seed=0,1,2")
    page = open_page("sweeps")
    click(page, "sweep_use_best")
    taken = load_yaml((home / "draft.yaml").read_text())
    assert (taken["chain"]["depth"], taken["train"]["seed"], taken["name"]) == (2, 1, "s")
    assert page.title[0].value == render("chain.title", "en")


def test_a_sweep_in_the_middle_is_followed_and_controlled(store: Store, draft: dict) -> None:
    group_id = add_sweep(store, draft, "chain.depth=0..5", done=1)
    store.claim_run({})
    page = open_page("sweeps")
    assert "1 of 6 done" in read_texts(page)
    assert list_keys(page) >= {"sweep_pause", "sweep_stop", "sweep_cancel", "sweep_use_best"}
    assert "sweep_resume" not in list_keys(page)
    click(page, "sweep_pause")
    assert store.get_group(group_id).state == "pausing"
    assert "sweep_resume" in list_keys(page)
    click(page, "sweep_resume")
    assert store.get_group(group_id).state == "running"
    click(page, "sweep_cancel")
    assert store.get_group(group_id).state == "cancelling"


def test_a_deleted_run_is_nothing_to_go_on_with(store: Store, draft: dict) -> None:
    group_id = add_sweep(store, draft, "chain.depth=0,1", done=0)
    first, second = store.claim_run({}), store.claim_run({})
    assert first is not None
    assert second is not None
    control_sweep(store, group_id, "pause")
    store.finish_run(first.id, "paused", claim=first.claim)
    store.finish_run(second.id, "finished", claim=second.claim)
    advance_sweeps(store)
    assert store.get_group(group_id).state == "paused"
    assert "sweep_resume" in list_keys(open_page("sweeps"))
    store.delete_run(first.id)
    assert "sweep_resume" not in list_keys(open_page("sweeps"))


def test_another_sweep_is_chosen_and_an_unknown_one_is_said(store: Store, draft: dict) -> None:
    first = add_sweep(store, draft, "chain.depth=0,1")
    add_sweep(store, draft, "train.seed=0,1,2", kind="search", count=3)
    page = open_page("sweeps")
    assert "Seed" in page.dataframe[0].value
    page.selectbox(key="sweep_choice").set_value(first)
    run(page)
    assert "Depth" in page.dataframe[0].value
    page = open_page("sweeps", sweep="../no")
    assert "no" in page.error[0].value
    assert "Seed" in page.dataframe[0].value
    click(page, "sweep_extend")
    assert store.list_groups()[0].state in ("running", "finished")


def test_a_sweep_is_renamed(store: Store, draft: dict) -> None:
    group_id = add_sweep(store, draft, "chain.depth=0,1")
    page = open_page("sweeps")
    page.text_input(key=f"sweep_name_{group_id}_0").input(" how *deep* ")
    run(page)
    assert page.subheader[0].value == r"how \*deep\*"
    assert {entry.name for entry in store.list_runs()} == {"how *deep* · depth 0", "how *deep* · depth 1"}
    page.text_input(key=f"sweep_name_{group_id}_1").input("  ")
    run(page)
    assert page.error
    assert page.text_input(key=f"sweep_name_{group_id}_2").value == "how *deep*"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sweep_is_deleted_with_its_runs_and_brought_back(store: Store, draft: dict, language: str) -> None:
    group_id = add_sweep(store, draft, "chain.depth=0,1")
    page = click(open_page("sweeps", language, sweep=group_id), f"sweep_delete_{group_id}")
    assert f"sweep_delete_{group_id}" not in list_keys(page), "a second click is one on nothing"
    assert not page.subheader
    assert render("sweeps.is_deleted", language, sweep="s", count=2) in read_texts(page)
    assert store.list_runs() == []
    elsewhere = open_page("sweeps", language, sweep=group_id)
    assert elsewhere.error[0].value == render("errors.group_deleted", language, group="s")
    page = click(page, f"sweep_undo_{group_id}")
    assert page.subheader[0].value == "s"
    assert len(store.list_runs()) == 2
    assert f"sweep_undo_{group_id}" not in list_keys(page)


def test_a_sweep_at_work_is_not_deleted(store: Store, draft: dict) -> None:
    group_id = add_sweep(store, draft, "chain.depth=0..5", done=1)
    store.claim_run({})
    page = click(open_page("sweeps"), f"sweep_delete_{group_id}")
    assert "Stop or cancel" in page.error[0].value
    assert page.subheader[0].value == "s"


def test_its_runs_are_opened_on_their_page(store: Store, draft: dict) -> None:
    group_id = add_sweep(store, draft, "chain.depth=0,1")
    store.add_run(store.list_runs()[0].load_config())
    page = open_page("sweeps", state={"runs_text": "left over"})
    click(page, "sweep_runs")
    assert page.title[0].value == render("runs.title", "en")
    assert page.selectbox(key="runs_sweep").value == group_id
    assert sorted(page.dataframe[0].value["Run"]) == ["depth 0", "depth 1"]
