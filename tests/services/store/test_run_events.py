"""Events that are taken back leave no trace in curves and progress."""

from __future__ import annotations

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from chain_core.config import resolve_config
from chain_core.services.store.store import Store

CONFIG = resolve_config({"data": {"train": "x"}, "train": {"epochs": 4}})
NUMBERS = st.one_of(st.none(), st.floats(0, 10, allow_nan=False).map(lambda value: round(value, 2)))


@cache
def open_memory() -> Store:
    return Store("sqlite://")


def step(number: int) -> dict:
    return {"kind": "step", "step": number, "epoch": number / 10, "seconds": number / 5, "loss": 1.0, "losses": {}}


def claim(store: Store) -> tuple[str, str]:
    """A new run that is running, and its token."""
    run_id = store.add_run(CONFIG)
    run = store.claim_run({})
    assert run is not None
    assert run.claim
    return run_id, run.claim


def test_going_back_to_a_checkpoint_doubles_nothing(store: Store) -> None:
    run_id, token = claim(store)
    first = [{"kind": "phase", "phase": "training", "seconds": 0.0}, *map(step, range(1, 11))]
    store.append_events(run_id, first, claim=token)
    before = store.get_run(run_id).progress
    epoch = {"kind": "epoch", "epoch": 1, "epochs": 4, "step": 12, "score": 0.9, "best": True, "validation": {}}
    store.append_events(run_id, [step(11), step(12), epoch, {"kind": "phase", "phase": "saving"}], claim=token)
    assert store.get_run(run_id).progress["score"] == 0.9
    assert store.truncate_events(run_id, token, 11) == 12
    assert store.get_run(run_id).progress == before
    assert store.append_events(run_id, [step(11)], first=12, claim=token) == 13
    assert [event["seq"] for event in store.read_events(run_id)] == list(range(1, 13))
    assert store.read_curves(run_id)["train/loss"].step == list(range(1, 12))
    assert "validation/score" not in store.read_curves(run_id)


def test_there_may_be_nothing_to_take_back(store: Store) -> None:
    run_id, token = claim(store)
    assert store.truncate_events(run_id, token, 0) == 1
    store.append_events(run_id, [step(1)], claim=token)
    assert store.truncate_events(run_id, token, 99) == 2
    assert store.truncate_events(run_id, token, 0) == 1
    assert store.get_run(run_id).progress == {"epochs": 4}
    assert store.read_events(run_id) == []
    assert store.read_curves(run_id) == {}


EVENTS = st.one_of(
    st.builds(
        lambda epoch, rate: {"kind": "step", "step": 1, "epoch": epoch, "rows_per_second": rate, "loss": 1.0},
        NUMBERS, NUMBERS,
    ),
    st.builds(lambda name: {"kind": "phase", "phase": name}, st.sampled_from(["reading", "training"])),
    st.builds(lambda done, total: {"kind": "progress", "done": done, "total": total}, NUMBERS, NUMBERS),
    st.builds(lambda name: {"kind": "stage", "name": name}, st.sampled_from(["one", "two"])),
    st.builds(
        lambda number, score, best: {
            "kind": "epoch", "epoch": number, "epochs": 3, "step": 5, "score": score, "best": best, "validation": {},
        },
        st.integers(1, 3), NUMBERS, st.booleans(),
    ),
    st.just({"kind": "note", "code": "x", "params": {}}),
    st.just({"kind": "resumed", "step": 3, "events": 7}),
)  # fmt: skip


@settings(max_examples=100)
@given(st.lists(st.tuples(EVENTS, NUMBERS), max_size=25), st.integers(0, 25))
def test_what_is_left_is_as_if_nothing_had_followed(told: list[tuple[dict, float | None]], after: int) -> None:
    events = [{**event, "seconds": seconds} for event, seconds in told]
    store = open_memory()
    (cut, token), (short, other) = claim(store), claim(store)
    store.append_events(cut, events, claim=token)
    store.truncate_events(cut, token, after)
    for event in events[:after]:
        store.append_events(short, [event], claim=other)
    assert store.read_events(cut) == store.read_events(short)
    assert store.read_curves(cut) == store.read_curves(short)
    assert store.get_run(cut).progress == store.get_run(short).progress


def test_the_last_events_in_their_order(store: Store) -> None:
    run_id, _ = claim(store)
    store.append_events(run_id, [*map(step, range(1, 6)), {"kind": "note", "code": "x", "params": {}}])
    assert [event["seq"] for event in store.read_events(run_id, last=2)] == [5, 6]
    assert [event["step"] for event in store.read_events(run_id, kinds=("step",), last=2)] == [4, 5]


def test_single_series_are_read_by_themselves(store: Store) -> None:
    run_id, _ = claim(store)
    store.append_events(run_id, [{**step(number), "gradient": {"links": 2.0}} for number in range(1, 5)])
    assert store.list_series(run_id) == ["gradient/links", "train/loss"]
    curves = store.read_curves(run_id, series=["gradient/links"])
    assert list(curves) == ["gradient/links"]
    assert curves["gradient/links"].value == [2.0] * 4
    assert store.read_curves(run_id, series=[]) == {}
