"""Who gets which run, in which order, and what a late writer may still do."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from chain_core.config import Config, resolve_config
from chain_core.errors import RunError
from chain_core.paths import PROJECT
from chain_core.services.store.records import Run
from chain_core.services.store.store import Store
from chain_core.storage.owners import get_identity

SERVER = {"host": "here", "boot": "b", "pid": 1, "ticks": 5}
WORKER = {"host": "here", "boot": "b", "pid": 2, "ticks": 6}


def build_config(name: str = "one", **train: object) -> Config:
    return resolve_config({"name": name, "data": {"train": "train.csv"}, "train": train})


def claim(store: Store, **options: object) -> Run:
    run = store.claim_run(SERVER, **options)
    assert run is not None
    return run


def list_names(store: Store) -> str:
    return "".join(run.name for run in store.list_queue())


def test_the_oldest_run_is_claimed_once(store: Store) -> None:
    first, second = store.add_run(build_config("a")), store.add_run(build_config("b"))
    run = claim(store, device="cuda:0")
    assert (run.id, run.state, run.owner, run.worker, run.attempt) == (first, "running", SERVER, None, 1)
    assert run.device == "cuda:0"
    assert run.started is not None
    assert len(run.claim or "") == 32
    other = Store(store.url).claim_run({"pid": 2})
    assert other is not None
    assert (other.id, other.claim != run.claim) == (second, True)
    assert store.claim_run({"pid": 3}) is None


def test_threads_never_share_a_run(store: Store) -> None:
    runs = {store.add_run(build_config(str(number))) for number in range(20)}
    stores = [Store(store.url) for _ in range(4)]

    def claim_all(one: Store) -> list[str]:
        return [run.id for run in iter(lambda: one.claim_run({}), None)]

    with ThreadPoolExecutor(4) as pool:
        claimed = [run for part in pool.map(claim_all, stores) for run in part]
    assert sorted(claimed) == sorted(runs)


CLAIMER = """
import json, sys
from chain_core.services.store.store import Store
from chain_core.storage.owners import get_identity
store, taken = Store(sys.argv[1]), []
sys.stdin.readline()
while run := store.claim_run(get_identity()):
    assert store.take_run(run.id, run.claim, get_identity())
    store.append_events(run.id, [{"kind": "phase", "phase": "training", "seconds": 0.0}], claim=run.claim)
    assert store.finish_run(run.id, "finished", claim=run.claim)
    taken.append(run.id)
print(json.dumps(taken))
"""


def test_processes_never_share_a_run_nor_leave_one(store: Store) -> None:
    runs = [store.add_run(build_config(str(number))) for number in range(60)]
    command = [sys.executable, "-c", CLAIMER, store.url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": PROJECT}
    started = [subprocess.Popen(command, **pipes) for _ in range(4)]
    taken = [json.loads(process.communicate("go\n", timeout=120)[0]) for process in started]
    assert sorted(run for part in taken for run in part) == sorted(runs)
    assert {run.state for run in store.list_runs(100)} == {"finished"}
    for run_id in runs:
        assert len(store.read_events(run_id)) == 1
    for part in taken:
        assert part == sorted(part, key=runs.index), "each took them in the queue's order"


def test_higher_priorities_go_first(store: Store) -> None:
    for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5), ("e", -1)):
        store.add_run(build_config(name), priority=priority)
    assert list_names(store) == "bdace"
    assert store.set_priority(store.list_queue()[3].id, 6) == 6
    assert list_names(store) == "cbdae"
    assert store.set_priority(store.list_queue()[0].id, 10**9) == 1000
    assert claim(store).name == "c"


@pytest.mark.parametrize(
    ("name", "where", "after"),
    [
        ("c", "up", "acbd"), ("b", "down", "acbd"), ("d", "first", "dabc"), ("a", "last", "bcda"),
        ("a", "up", "abcd"), ("d", "down", "abcd"), ("a", "first", "abcd"), ("d", "last", "abcd"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("priorities", [(0, 0, 0, 0), (3, 3, 1, 0)])
def test_runs_are_moved(store: Store, name: str, where: str, after: str, priorities: tuple[int, ...]) -> None:
    runs = {}
    for letter, priority in zip("abcd", priorities, strict=True):
        runs[letter] = store.add_run(build_config(letter), priority=priority)
    assert store.move_run(runs[name], where) == (after != "abcd")
    assert list_names(store) == after
    store.add_run(build_config("z"), priority=priorities[-1])
    assert list_names(store) == f"{after}z", "a new run is the last of its priority"


def test_only_waiting_runs_are_moved(store: Store) -> None:
    run_id = store.add_run(build_config("a"))
    store.add_run(build_config("b"))
    claim(store)
    assert not store.move_run(run_id, "last")


def test_a_device_takes_what_may_run_on_it(store: Store) -> None:
    for name, device in (("a", "cuda:1"), ("b", "cpu"), ("c", "auto"), ("d", "cuda")):
        store.add_run(build_config(name, device=device))
    gpu = ("auto", "cuda", "cuda:0")
    assert [claim(store, device="cuda:0", wishes=gpu).name for _ in range(2)] == ["c", "d"]
    assert store.claim_run(SERVER, "cuda:0", gpu) is None
    assert claim(store, wishes=("cpu",)).name == "b"
    assert claim(store).name == "a", "without wishes, whatever waits"


def test_hidden_runs_are_not_begun(store: Store) -> None:
    run_id = store.add_run(build_config())
    store.delete_run(run_id)
    assert store.claim_run(SERVER) is None
    assert store.restore_run(run_id)
    assert claim(store).id == run_id


def test_one_worker_takes_a_claim_up(store: Store) -> None:
    store.add_run(build_config())
    run = claim(store)
    assert run.claim
    assert not store.take_run(run.id, "another", WORKER)
    assert store.take_run(run.id, run.claim, WORKER)
    assert store.take_run(run.id, run.claim, WORKER), "asked again after the answer was lost"
    assert not store.take_run(run.id, run.claim, {**WORKER, "pid": 3})
    assert store.get_run(run.id).worker == WORKER


def test_a_late_worker_writes_nothing(store: Store) -> None:
    store.add_run(build_config())
    old = claim(store)
    assert old.claim
    store.append_events(old.id, [{"kind": "phase", "phase": "training", "seconds": 1.0}], claim=old.claim)
    assert store.requeue_run(old.id, old.claim) == "queued"
    for _ in range(2):  # while it waits, and while somebody else has it
        assert not store.take_run(old.id, old.claim, WORKER)
        assert not store.beat(old.id, old.claim)
        assert store.requeue_run(old.id, old.claim) is None
        assert store.read_control(old.id, old.claim) == "cancel"
        for write in (
            lambda: store.append_events(old.id, [{"kind": "done", "seconds": 2.0}], claim=old.claim),
            lambda: store.truncate_events(old.id, old.claim, 0),
            lambda: store.finish_run(old.id, "finished", claim=old.claim),
        ):
            with pytest.raises(RunError) as caught:
                write()
            assert caught.value.code == "run_lost"
        new = store.claim_run(SERVER)
    assert new is None
    run = store.get_run(old.id)
    assert (run.state, run.attempt, run.worker) == ("running", 2, None)
    assert [event["kind"] for event in store.read_events(old.id)] == ["phase"]


def test_nobody_writes_after_the_end(store: Store) -> None:
    store.add_run(build_config())
    run = claim(store)
    assert store.finish_run(run.id, "failed", {"code": "server_gone", "params": {}}, run.claim)
    assert not store.finish_run(run.id, "finished", claim=run.claim)
    with pytest.raises(RunError) as caught:
        store.append_events(run.id, [{"kind": "done", "seconds": 2.0}], claim=run.claim)
    assert caught.value.code == "run_lost"
    ended = store.get_run(run.id)
    assert (ended.state, ended.error) == ("failed", {"code": "server_gone", "params": {}})


def test_a_server_adopts_a_run_from_one_that_is_gone(store: Store) -> None:
    store.add_run(build_config())
    run = claim(store)
    assert run.claim
    second, third = {**SERVER, "pid": 7}, {**SERVER, "pid": 8}
    assert store.adopt_run(run.id, run.claim, SERVER, second)
    assert not store.adopt_run(run.id, run.claim, SERVER, third), "the other one was quicker"
    assert store.get_run(run.id).owner == second
    assert store.append_events(run.id, [], claim=run.claim) == 1, "the worker's claim holds"


def test_beats_count_up(store: Store) -> None:
    store.add_run(build_config())
    run = claim(store)
    assert run.claim
    assert [store.beat(run.id, run.claim) for _ in range(3)] == [True] * 3
    assert store.get_run(run.id).beat == 3


def test_a_requeued_run_is_next_of_its_priority(store: Store) -> None:
    first = store.add_run(build_config("a"))
    store.add_run(build_config("b"))
    store.add_run(build_config("c"), priority=1)
    assert claim(store).name == "c"
    run = claim(store)
    assert run.id == first
    store.move_run(store.list_queue()[0].id, "first")
    assert store.requeue_run(run.id, run.claim, {"code": "worker_died", "params": {"status": "1"}}) == "queued"
    assert list_names(store) == "ab"
    assert store.get_run(first).error == {"code": "worker_died", "params": {"status": "1"}}
    assert claim(store).error is None


def test_the_own_identity_is_json() -> None:
    assert json.loads(json.dumps(get_identity())) == get_identity()
