"""The store on real database files, from several threads and processes."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_core.config import Config, resolve_config
from chain_core.errors import ResourceError, RunError
from chain_core.paths import PROJECT
from chain_core.services.store.store import Store


def build_config(name: str = "one", **train: object) -> Config:
    return resolve_config({"name": name, "data": {"train": "train.csv"}, "train": train})


def step(number: int, loss: float = 1.0) -> dict:
    return {
        "kind": "step", "seconds": number / 10, "step": number, "epoch": number / 100, "loss": loss,
        "losses": {"intent@3": loss / 2}, "learning_rate": 1e-3, "rows_per_second": 500.0,
    }  # fmt: skip


def test_run_comes_back_as_it_was_added(store: Store, tmp_path: Path) -> None:
    config = build_config("意图", epochs=7)
    run = store.get_run(store.add_run(config, tmp_path))
    assert (run.name, run.state, run.folder, run.progress) == ("意图", "queued", str(tmp_path), {"epochs": 7})
    assert run.load_config() == config
    assert run.error is None
    assert run.active
    assert not run.has_report


def test_unknown_run_is_a_sentence(store: Store) -> None:
    for action in (
        store.get_run,
        store.request_stop,
        store.delete_run,
        store.restore_run,
        lambda run_id: store.set_star(run_id, True),
    ):
        with pytest.raises(RunError) as caught:
            action("nothing")
        assert caught.value.code == "run_unknown"


def test_events_keep_their_order_and_are_not_doubled(store: Store) -> None:
    run_id = store.add_run(build_config())
    following = store.append_events(run_id, [step(1), step(2)], first=1)
    assert following == 3
    assert store.append_events(run_id, [step(1), step(2), step(3)], first=1) == 4
    assert store.append_events(run_id, [step(4)]) == 5
    assert [(event["seq"], event["step"]) for event in store.read_events(run_id)] == [
        (1, 1), (2, 2), (3, 3), (4, 4),
    ]  # fmt: skip
    assert [event["step"] for event in store.read_events(run_id, after=3)] == [4]
    assert store.read_curves(run_id)["train/intent@3/loss"].step == [1, 2, 3, 4]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=8))
def test_any_resending_gives_one_sequence(slices: list[tuple[int, int]]) -> None:
    store = Store("sqlite://")
    run_id = store.add_run(build_config())
    events = [step(number) for number in range(1, 13)]
    sent = 0
    for start, length in slices:
        start = min(start, sent)
        store.append_events(run_id, events[start : start + length], first=start + 1)
        sent = max(sent, min(12, start + length))
    assert [event["seq"] for event in store.read_events(run_id)] == list(range(1, sent + 1))
    assert len(store.read_curves(run_id).get("train/loss", SimpleNamespace(step=[])).step) == sent


def test_two_stores_append_at_once(store: Store) -> None:
    runs = [store.add_run(build_config(name)) for name in "ab"]

    def write(run_id: str) -> None:
        mine = Store(store.url)
        for number in range(1, 41):
            mine.append_events(run_id, [step(number)])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, runs))
    for run_id in runs:
        assert [event["step"] for event in store.read_events(run_id)] == list(range(1, 41))


def test_processes_open_a_new_store_at_the_same_moment(database: str) -> None:
    code = (
        "import os, sys; from chain_core.services.store.store import Store; s = Store(sys.argv[1]);"
        "[s.set_setting(f'{os.getpid()}', n) for n in range(5)]"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, database], cwd=PROJECT) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    assert all(Store(database).get_setting(str(process.pid)) == 4 for process in started)


def test_progress_follows_events(store: Store) -> None:
    run_id = store.add_run(build_config(epochs=4))
    epoch = {
        "kind": "epoch", "seconds": 3.0, "epoch": 1, "epochs": 4, "step": 100, "score": 0.5, "best": True,
        "validation": {"intent@3": {"loss": 0.7, "accuracy": 0.5}},
    }  # fmt: skip
    store.append_events(run_id, [{"kind": "phase", "phase": "training", "seconds": 1.0}, step(20)])
    progress = store.get_run(run_id).progress
    assert (progress["phase"], progress["done"], progress["total"]) == ("training", 0.2, 4)
    store.append_events(run_id, [epoch, {**epoch, "epoch": 2, "score": 0.4, "best": False}])
    progress = store.get_run(run_id).progress
    assert (progress["done"], progress["score"]) == (2, 0.5)
    assert store.read_curves(run_id)["validation/intent@3/accuracy"].value == [0.5]
    report = {"test": {"intent": {"accuracy": 0.9, "macro_f1": 0.1}, "joint": {"exact_match": 0.9}}}
    store.append_events(run_id, [{"kind": "done", "seconds": 9.0, "reason": "finished", "report": report}])
    progress = store.get_run(run_id).progress
    assert progress["summary"] == {"split": "test", "heads": {"intent": ["accuracy", 0.9]}}
    assert (progress["reason"], progress["seconds"]) == ("finished", 9.0)


def test_numbers_that_are_none_are_kept_as_gaps(store: Store) -> None:
    run_id = store.add_run(build_config())
    store.append_events(run_id, [step(1, float("nan")), step(2, float("inf")), step(3)])
    assert [event["loss"] for event in store.read_events(run_id)] == [None, None, 1.0]
    assert store.read_curves(run_id)["train/loss"].step == [3]


def test_long_curves_are_thinned_to_means(store: Store) -> None:
    run_id = store.add_run(build_config())
    store.append_events(run_id, [step(number, float(number)) for number in range(1, 5001)])
    curve = store.read_curves(run_id, points=100)["train/loss"]
    assert 90 <= len(curve.value) <= 101
    assert curve.step == sorted(curve.step)
    assert curve.value == curve.step, "the mean loss of a stretch stands at its mean step"


def test_kinds_are_filtered(store: Store) -> None:
    run_id = store.add_run(build_config())
    note = {"kind": "note", "seconds": 0.1, "code": "truncated", "params": {"rows": 3}}
    store.append_events(run_id, [step(1), note])
    assert store.read_events(run_id, kinds=("note",)) == [{**note, "seq": 2}]


def test_data_sets_and_roles(store: Store) -> None:
    entry = SimpleNamespace(id="abc", name="atis", rows=10, columns=("text", "intent"))
    store.add_data_set(entry)
    assert store.get_roles("abc") is None
    store.set_roles("abc", {"text": "text"})
    entry.name = "atis again"
    store.add_data_set(entry)
    (found,) = store.list_data_sets()
    assert (found.id, found.name, found.rows, found.columns) == ("abc", "atis again", 10, ("text", "intent"))
    assert found.roles == {"text": "text"}
    config = resolve_config({"data": {"train": "atis again"}})
    assert store.get_run(store.add_run(config)).data_id == "abc"


def test_settings_are_replaced(store: Store) -> None:
    assert store.get_setting("machine", {}) == {}
    store.set_setting("machine", {"cores": 2})
    store.set_setting("machine", {"cores": 4})
    assert store.get_setting("machine") == {"cores": 4}


def test_a_file_that_is_no_database_is_a_sentence(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "store.db").write_bytes(b"no database" * 1000)
    with pytest.raises(RunError) as caught:
        Store()
    assert caught.value.code == "store_unusable"


def test_a_full_disk_is_a_sentence(home: Path) -> None:
    store = Store()
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 60")  # of this pooled connection
        connection.rollback()
    run_id = store.add_run(build_config())
    with pytest.raises(ResourceError) as caught:
        store.append_events(run_id, [step(number) for number in range(10_000)])
    assert caught.value.code == "disk_full"
