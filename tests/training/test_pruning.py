"""Rows that all heads get right are left out, no others; training goes on as it would, in fewer steps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain_core.modeling.team import SOLO
from chain_core.training import pruning
from chain_core.training.pruning import Pruning
from chain_core.training.stages import plan_stages
from tests.training.setup import PLAIN, finish, get_ready
from tests.training.test_accumulate import widen
from tests.training.test_step import HEADS, start, step

HEAD_MAPPING = {
    "intent": {"kind": "classification", "column": "intent"},
    "slots": {"kind": "tagging", "column": "slots"},
}
ERRORS = st.lists(st.one_of(st.none(), st.floats(0, 1, width=32)), min_size=1, max_size=60)


def build(errors, share=0.9, least=0, labels=None):
    """What is known after an epoch in which heads were wrong by so much; None: the row has not come up."""
    rows = len(next(iter(errors.values())))
    labels = labels or {name: np.zeros(rows, np.int64) for name in errors}
    known = Pruning(labels, rows, share, least)
    for name, values in errors.items():
        seen = np.array([row for row, value in enumerate(values) if value is not None], np.int64)
        known.note(seen, {name: np.array([value for value in values if value is not None], np.float32)})
    known.end_epoch(SOLO)
    return known


@pytest.fixture
def no_least(monkeypatch):
    monkeypatch.setattr(pruning, "LEAST_BATCHES", 1)


@given(errors=ERRORS, seed=st.integers(0, 99))
def test_only_rows_below_the_mean_are_left_out(errors, seed):
    known = build({"a": errors}, least=0)
    kept = np.concatenate(known.choose([np.arange(len(errors))], np.random.default_rng(seed)))
    seen = np.array([value for value in errors if value is not None], np.float64)
    left_out = set(range(len(errors))) - set(kept.tolist())
    assert all(errors[row] is not None and (errors[row] < seen.mean() or errors[row] == 0) for row in left_out)
    assert kept.tolist() == sorted(set(kept.tolist()))


def test_so_many_of_the_easy_rows_are_left_out_others_each_time():
    known = build({"a": [0.0] * 5000 + [1.0] * 100}, share=0.7)
    random = np.random.default_rng(0)
    first, second = (known.choose([np.arange(5100)], random)[0] for _ in range(2))
    for kept in (first, second):
        assert set(range(5000, 5100)) <= set(kept.tolist())
        assert len(kept) == pytest.approx(100 + 0.3 * 5000, rel=0.05)
    assert set(first) != set(second)


def test_a_row_is_easy_only_if_it_is_for_all_heads_whatever_their_units():
    errors = {"a": [0.9, 0.0, 0.1, 0.0] * 50, "b": [0.0, 2e6, 0.1, 0.0] * 50}
    kept = build(errors).choose([np.arange(200)], np.random.default_rng(0))[0]
    assert {row % 4 for row in range(200) if row not in set(kept.tolist())} == {2, 3}
    assert set(np.flatnonzero(np.arange(200) % 4 < 2)) <= set(kept.tolist())


def test_rows_without_a_label_do_not_pull_the_mean_down():
    labels = {"a": np.array([0] * 10 + [-1] * 90)}
    known = build({"a": [0.1, 0.3] * 5 + [0.0] * 90}, labels=labels)
    kept = known.choose([np.arange(100)], np.random.default_rng(0))[0]
    assert {row for row in range(10) if row % 2} <= set(kept.tolist()), "0.3 is above the mean of those with a label"
    assert len(set(range(0, 10, 2)) & set(kept.tolist())) < 5, "0.1 is below it"


def test_enough_batches_remain():
    errors = {"a": [0.0] * 9000 + [1.0] * 1000}
    kept = build(errors, least=64).choose([np.arange(10_000)], np.random.default_rng(0))[0]
    assert len(kept) == pytest.approx(pruning.LEAST_BATCHES * 64, rel=0.05)
    few = build({"a": [0.0] * 900}, least=64).choose([np.arange(900)], np.random.default_rng(0))[0]
    assert len(few) == 900


def test_groups_are_pruned_each_and_empty_ones_go():
    known = build({"a": [0.0] * 40 + [1.0] * 4}, share=0.999)
    groups = known.choose([np.arange(40), np.arange(40, 44)], np.random.default_rng(0))
    assert [group.tolist() for group in groups] == [[40, 41, 42, 43]]


def test_what_was_seen_last_counts_and_a_state_says_it_all():
    known = build({"a": [0.0, 1.0, None]})
    known.note(np.array([1, 2]), {"a": np.array([0.25, 0.5], np.float32)})
    known.note(np.array([1]), {"a": np.array([0.75], np.float32)})
    again = Pruning(known.labels, 3, 0.9, 0)
    again.set_state(known.get_state())
    for each in (known, again):
        each.end_epoch(SOLO)
        assert each.known["a"].tolist() == [0.0, 0.75, 0.5]


class _Other:
    """The second of two processes, as the first sees it."""

    size = 2

    def __init__(self, seen):
        self.seen = seen

    def gather(self, own):
        return [own, self.seen]


def test_processes_know_what_each_of_them_has_seen():
    known = Pruning({"a": np.zeros(3, np.int64)}, 3, 0.9, 0)
    known.note(np.array([0]), {"a": np.array([0.5], np.float32)})
    known.share_out(_Other({"a": np.array([np.nan, 0.25, np.nan], np.float32)}))
    assert known.seen["a"][:2].tolist() == [0.5, 0.25]
    assert np.isnan(known.seen["a"][2])


def test_nothing_is_known_where_nothing_is_left_out():
    known = Pruning({"a": np.zeros(3, np.int64)}, 3, 0.0, 0)
    random = np.random.default_rng(0)
    before = random.bit_generator.state
    assert [group.tolist() for group in known.choose([np.arange(3)], random)] == [[0, 1, 2]]
    assert random.bit_generator.state == before
    assert known.get_state() == {}


# ---- errors


def gather_errors(model, config, batch, **options):
    told = {}
    step(
        model,
        config,
        batch,
        note=lambda rows, errors: told.update({int(r): _at(errors, i) for i, r in enumerate(rows)}),
        **options,
    )
    return {head: np.array([told[row][head] for row in sorted(told)]) for head in HEADS}


def _at(errors, index):
    return {head: float(values[index]) for head, values in errors.items()}


def read_logits(model, batch):
    logits = model(batch)
    return {name: logits[name, depth] for name, depth in model.chain.active_keys if depth == 2}


def test_errors_are_how_far_the_worst_answer_is_off(backbone):
    model, config, batch = start(backbone)
    logits = {name: values.detach() for name, values in read_logits(model, batch).items()}
    errors = gather_errors(model, config, batch)
    slots = 1 - logits["slots"].softmax(2).gather(2, batch.labels["slots"].clamp(min=0)[:, :, None])[:, :, 0]
    expected = (slots * (batch.labels["slots"] >= 0)).amax(1)
    np.testing.assert_allclose(errors["slots"], 3.0 * expected, rtol=1e-4)
    topics = (logits["topics"].sigmoid() - batch.labels["topics"]).abs().amax(1) / 2
    np.testing.assert_allclose(errors["topics"], topics, rtol=1e-4)
    head = model.chain.get_head("score", 2)
    off = 2 * (logits["score"][:, 0] - (batch.labels["score"] - head.mean) / head.deviation).abs()
    np.testing.assert_allclose(errors["score"], 0.5 * off.nan_to_num(), rtol=1e-4)
    assert errors["score"][1] == 0, "no label, no error"
    assert errors["intent"][2] == 0


def test_of_a_head_at_several_depths_the_worst_counts(backbone):
    model, config, batch = start(backbone)
    logits = model(batch)
    weights, labels = {0: 0.5, 2: 2.0}, batch.labels["intent"][:2, None]
    off = [weights[depth] * (1 - logits["intent", depth][:2].softmax(1).gather(1, labels)[:, 0]) for depth in weights]
    expected = [max(pair) for pair in zip(*(each.tolist() for each in off), strict=True)]
    np.testing.assert_allclose(gather_errors(model, config, batch)["intent"][:2], expected, rtol=1e-4)


@pytest.mark.parametrize("way", [{}, {"r_drop": 0.7}, {"adversarial": 0.5}, {"loss_weights": "uncertainty"}])
def test_parts_of_a_batch_tell_the_errors_of_the_whole(backbone, way):
    found = []
    for parts in (1, 3):
        model, config, batch = start(backbone, train=way)
        found.append(gather_errors(model, config, widen(batch), parts=parts))
    for head in HEADS:
        ratio = found[1][head] / np.where(found[0][head] > 0, found[0][head], 1)
        np.testing.assert_allclose(ratio, found[0][head] > 0, rtol=1e-3)


# ---- the loop


def prepare(folder, commands, *, heads=HEAD_MAPPING, train=None, backbone=None, **sections):
    mapping = {
        **PLAIN,
        "data": {"train": str(commands), "validation": 0.25, "test": None},
        "backbone": {"name": str(folder), **(backbone or {})},
        "heads": heads,
        "train": {**PLAIN["train"], "batch_size": 4, "epochs": 6, "prune": 0.9, **(train or {})},
        **sections,
    }
    return get_ready(mapping, commands.parent)


def test_later_epochs_are_shorter_and_the_rates_end_where_they_would(backbone, commands, no_least):
    seen, _ = finish(prepare(backbone, commands, train={"schedule": "linear"}).train())
    epochs = [event for event in seen if event["kind"] == "epoch"]
    steps = [event for event in seen if event["kind"] == "step"]
    assert epochs[0]["batches"] == epochs[0]["batches_planned"]
    assert all(0 < event["batches"] < 0.8 * event["batches_planned"] for event in epochs[2:])
    assert steps[-1]["step"] == steps[-1]["steps"] == sum(event["batches"] for event in epochs)
    assert steps[-1]["epoch"] == pytest.approx(6)
    assert all(a["epoch"] < b["epoch"] for a, b in pairwise(steps))
    rates = [event["learning_rate"] for event in steps]
    assert rates[-1] < 0.1 * max(rates)
    assert epochs[-1]["validation"]["slots@2"]["entity_f1"] > 0.9


def test_small_tables_are_shown_whole(backbone, commands):
    runs = [finish(prepare(backbone, commands, train={"prune": share}).train())[0] for share in (0.9, 0.0)]
    pruned, whole = ([event for event in seen if event["kind"] == "epoch"] for seen in runs)
    assert [event["batches"] for event in pruned] == [event["batches_planned"] for event in pruned]
    assert pruned == whole, "to the last bit"


def test_a_resting_head_on_the_frozen_backbone_has_nothing_to_say(backbone, commands, no_least):
    heads = {**HEAD_MAPPING, "intent": {**HEAD_MAPPING["intent"], "depths": [0]}}
    stages = [{"epochs": 3, "trains": ["links"]}]
    seen, _ = finish(prepare(backbone, commands, heads=heads, stages=stages).train())
    epochs = [event for event in seen if event["kind"] == "epoch"]
    assert epochs[-1]["batches"] < epochs[-1]["batches_planned"]


TUNINGS = {"frozen": 0.9, "lora": 0.9, "adalora": 0.0}


@pytest.mark.parametrize("tuning", TUNINGS)
def test_adalora_counts_on_every_step(backbone, commands, tuning):
    ready = prepare(backbone, commands, backbone={"tuning": tuning})
    (stage,) = plan_stages(ready.material.config, ready.feed, {})
    assert stage.prune == TUNINGS[tuning]
