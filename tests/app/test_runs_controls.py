"""What can be done with a run on the Runs page, in each of its states."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from chain_core.messages import LANGUAGES, render
from chain_core.services.store.records import STATES
from chain_core.services.store.store import Store
from tests.app.harness import click, open_page, run
from tests.services.seed import add_done, add_run

CONTROLS = ("pause", "resume", "stop", "cancel", "retry", "delete")
OFFERED = {
    "queued": {"pause", "cancel", "delete"},
    "running": {"pause", "stop", "cancel"},
    "stopping": {"cancel"},
    "pausing": {"resume", "stop", "cancel"},
    "paused": {"resume", "stop", "cancel", "delete"},
    "finished": {"delete"},
    "stopped": {"retry", "delete"},
    "cancelled": {"retry", "delete"},
    "failed": {"retry", "delete"},
}


@pytest.fixture
def store(home) -> Store:
    return Store()


def bring(store: Store, state: str, name: str = "one") -> str:
    """A run in this state that a worker was at, unless it is queued."""
    run_id = add_run(store, name)
    if state == "queued":
        return run_id
    taken = store.claim_run({})
    assert taken is not None
    if state == "stopping":
        store.request_stop(run_id)
    elif state in ("pausing", "paused"):
        store.request_pause(run_id)
    if state not in ("running", "stopping", "pausing"):
        error = {"code": "worker_died", "params": {"status": "1"}} if state == "failed" else None
        store.finish_run(run_id, state, error, taken.claim)
    return run_id


def list_offered(page: AppTest, run_id: str) -> set[str]:
    keys = {str(button.key).removesuffix(f"_{run_id}") for button in page.button}
    return {control for control in CONTROLS if f"run_{control}" in keys}


@pytest.mark.parametrize("state", STATES)
def test_only_what_makes_sense_is_offered(store: Store, state: str) -> None:
    run_id = bring(store, state)
    page = open_page("runs", run=run_id)
    assert list_offered(page, run_id) == OFFERED[state]
    if state in ("stopping", "pausing"):
        assert page.button(key="run_heard").disabled


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("control", "state"), [("stop", "stopping"), ("pause", "pausing"), ("cancel", "cancelling")])
def test_a_button_shows_at_once_that_it_was_heard(store: Store, control: str, state: str, language: str) -> None:
    run_id = bring(store, "running")
    page = click(open_page("runs", language, run=run_id), f"run_{control}")
    assert store.read_control(run_id) == control
    heard = page.button(key="run_heard")
    assert heard.disabled
    assert heard.label == render(f"runs.now_{state}", language)
    assert control not in list_offered(page, run_id)
    assert any(render(f"runs.state_{state}", language) in text.value for text in page.markdown), "the badge"


def test_a_pause_can_be_taken_back(store: Store) -> None:
    run_id = bring(store, "pausing")
    page = open_page("runs", run=run_id)
    assert page.button(key="run_resume").label == "Keep running"
    click(page, "run_resume")
    assert store.get_run(run_id).state == "running"


@pytest.mark.parametrize("state", ["failed", "stopped", "cancelled"])
def test_retry_queues_the_run_again(store: Store, state: str) -> None:
    run_id = bring(store, state)
    page = click(open_page("runs", run=run_id), "run_retry")
    assert store.get_run(run_id).state == "queued"
    assert not page.error


def test_a_waiting_run_is_cancelled_at_once(store: Store) -> None:
    run_id = bring(store, "queued")
    click(open_page("runs", run=run_id), "run_cancel")
    assert store.get_run(run_id).state == "cancelled"


def test_delete_can_be_undone(store: Store) -> None:
    kept, gone = add_done(store, "kept"), add_done(store, "gone")
    page = click(open_page("runs", run=gone), f"run_delete_{gone}")
    assert not page.error
    assert page.subheader[0].value == "kept"
    assert store.get_run(gone).path.exists(), "its files stay while it can be brought back"
    assert any("“gone” is deleted" in text.value for text in page.markdown)
    page = click(open_page("runs", run=kept), f"run_undo_{gone}")
    assert store.get_run(gone).deleted is None
    assert page.subheader[0].value == "gone"
    assert f"run_undo_{gone}" not in {button.key for button in page.button}


def test_the_last_run_can_be_brought_back_too(store: Store) -> None:
    only = add_done(store, "only")
    page = click(open_page("runs", run=only), f"run_delete_{only}")
    assert page.button(key="runs_empty")
    page = click(page, f"run_undo_{only}")
    assert page.subheader[0].value == "only"


def test_undo_that_comes_too_late_says_so(store: Store) -> None:
    add_done(store, "kept")
    gone = add_done(store, "gone")
    store.delete_run(gone)
    page = open_page("runs")
    store.purge_runs([gone])
    page = click(page, f"run_undo_{gone}")
    assert "There is no run" in page.error[0].value


def test_rename_tags_and_star(store: Store) -> None:
    run_id = add_done(store, "one")
    page = open_page("runs", run=run_id)
    page.text_input(key=f"run_name_{run_id}_0").input("  a better\nname ")
    page = run(page)
    assert page.subheader[0].value == "a better name"
    page = click(page, "run_star")
    assert page.button(key="run_star").label == "★"
    assert page.dataframe[0].value["Run"].tolist() == ["★ a better name"]
    store.set_tags(run_id, ["lecture", "*bold*"])
    page = run(page)
    tags = page.multiselect(key=f"run_tags_{run_id}_1")
    assert tags.value == ["lecture", "*bold*"]
    tags.set_value(["lecture"])
    page = run(page)
    assert page.multiselect(key=f"run_tags_{run_id}_1").value == ["lecture"], "what the user chose stays as it is"
    assert store.get_run(run_id).tags == ("lecture",)
    assert page.dataframe[0].value["Tags"].tolist() == ["lecture"]


def test_a_name_of_nothing_is_refused_and_the_old_one_stays(store: Store) -> None:
    run_id = add_done(store, "one")
    page = open_page("runs", run=run_id)
    page.text_input(key=f"run_name_{run_id}_0").input("   ")
    page = run(page)
    assert page.error
    assert page.text_input(key=f"run_name_{run_id}_1").value == "one"


def test_a_copy_becomes_the_draft_and_remembers_its_parent(store: Store, home) -> None:
    (home / "train.csv").write_text("words,intent,slots\n")
    run_id = add_run(store, "first", chain={"depth": 5})
    page = open_page("runs", run=run_id)
    page.button(key="run_duplicate").click()
    page.run()
    assert page.session_state["draft"]["chain"]["depth"] == 5
    assert page.session_state["draft_parent"] == run_id
    reloaded = open_page("chain")
    assert reloaded.session_state["draft_parent"] == run_id
    copy = store.add_run(store.get_run(run_id).load_config(), parent=run_id)
    page = open_page("runs", run=copy)
    assert "first" in page.button(key="run_parent").label


def test_the_waiting_runs_are_put_in_order(store: Store) -> None:
    first, second, third = (add_run(store, name) for name in ("first", "second", "third"))
    page = open_page("runs", run=third)
    assert page.button(key=f"run_up_{first}").disabled
    assert page.button(key=f"run_last_{third}").disabled
    page = click(page, f"run_first_{third}")
    assert [waiting.id for waiting in store.list_queue()] == [third, first, second]
    page = click(page, f"run_down_{third}")
    assert [waiting.id for waiting in store.list_queue()] == [first, third, second]
    page.number_input(key=f"run_priority_{third}_0").set_value(5)
    run(page)
    assert [waiting.id for waiting in store.list_queue()] == [third, first, second]


def test_five_hundred_runs_are_paged_and_filtered(store: Store) -> None:
    for index in range(500):
        add_run(store, f"run {index:03}")
    wanted = store.list_runs(1, text="run 123")[0].id
    store.set_star(wanted, True)
    store.set_tags(wanted, ["kept"])
    page = open_page("runs")
    assert len(page.dataframe[0].value) == 25
    assert page.dataframe[0].value["Run"].tolist()[0] == "run 499"
    page.session_state["runs_page"] = 20
    page = run(page)
    assert page.dataframe[0].value["Run"].tolist()[-1] == "run 000"
    page.text_input(key="runs_text").input("12")
    page = run(page)
    assert len(page.dataframe[0].value) == store.count_runs(text="12") == 15
    page.text_input(key="runs_text").input("")
    page.selectbox(key="runs_tag").set_value("kept")
    page = run(page)
    assert page.dataframe[0].value["Run"].tolist() == ["★ run 123"]
    page.selectbox(key="runs_states").set_value("failed")
    page = run(page)
    assert page.button(key="runs_show_all")
    page = click(page, "runs_show_all")
    assert len(page.dataframe[0].value) == 25


def test_the_address_can_name_a_sweep(store: Store) -> None:
    group_id = store.add_group("depths", "grid", {})
    config = store.get_run(add_run(store, "other")).load_config()
    for depth in (1, 2):
        store.add_run(config.model_copy(update={"name": f"depths · depth {depth}"}), group_id=group_id)
    page = open_page("runs", sweep=group_id)
    assert page.dataframe[0].value["Run"].tolist() == ["depth 2", "depth 1"], "without what all begin with"
    page.selectbox(key="runs_sweep").set_value(None)
    page = run(page)
    assert "sweep" not in page.query_params
    assert page.dataframe[0].value["Run"].tolist() == ["depths · depth 2", "depths · depth 1", "other"]
    store.delete_group(group_id)
    page = open_page("runs", sweep=group_id)
    assert "“depths” is deleted" in page.error[0].value
    assert page.dataframe[0].value["Run"].tolist() == ["other"]
    assert not [button for button in page.button if str(button.key).startswith("run_undo")], "they come back with it"


def test_runs_by_name_and_score(store: Store) -> None:
    for name, score in (("b", 0.5), ("a", 0.2), ("c", 0.9), ("d", None), ("e", None), ("f", None)):
        run_id = add_run(store, name)
        store.append_events(run_id, [{"kind": "epoch", "epoch": 1, "step": 1, "score": score, "best": True}])
    page = open_page("runs")
    page.selectbox(key="runs_sort").set_value("name")
    page = run(page)
    assert page.dataframe[0].value["Run"].tolist() == ["a", "b", "c", "d", "e", "f"]
    page.selectbox(key="runs_sort").set_value("score")
    page = run(page)
    assert page.dataframe[0].value["Run"].tolist()[:3] == ["c", "b", "a"]
