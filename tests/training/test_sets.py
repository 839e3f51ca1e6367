"""Several data sets on one chain: the same numbers as apart, and batches drawn from their rows as asked for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chain_core.config import TrainConfig, resolve_config
from chain_core.modeling.backbones import features
from chain_core.services.rows.prepare import prepare_run
from chain_core.training.evaluate import compute_answers, compute_scores
from chain_core.training.sampling import compute_shares, group_rows, sample_epoch
from tests.tiny import build_commands, write_rows
from tests.training.setup import CPU, get_ready


def write_sets(folder):
    write_rows(folder / "first.jsonl", build_commands())
    rows = [
        {"text": row["text"], "other": "good day", "intent": f"other-{number % 2}", "score": row["score"]}
        for number, row in enumerate(build_commands(50))
    ]
    write_rows(folder / "second.jsonl", rows)


def build_mapping(backbone, *names):
    first = {
        "data": {"train": "first.jsonl", "validation": 0.25},
        "input": {"tokens": "tokens"},
        "heads": {
            "intent": {"kind": "classification", "column": "intent"},
            "slots": {"kind": "tagging", "column": "slots"},
        },
    }
    second = {"data": {"train": "second.jsonl", "validation": 0.2}, "input": {"text": "text", "pair": "other"}}
    heads = {
        "topic": {"kind": "classification", "column": "intent"},
        "score": {"kind": "regression", "column": "score", "depths": [1]},
    }
    common = {
        "backbone": {"name": str(backbone)},
        "chain": {"depth": 2, "width": 32, "lexical": "on", "links": {"kind": "attention"}},
        "train": {"epochs": 1, "batch_size": 16, "precision": "fp32"},
    }
    if names == ("first",):
        return {**first, **common}
    if names == ("second",):
        return {**second, **common, "heads": heads}
    also = {name: {**head, "data": "two"} for name, head in heads.items()}
    return {**first, **common, "also": {"two": second}, "heads": {**first["heads"], **also}}


def test_joined_sets_give_the_losses_of_separate_sets(backbone, tmp_path):
    write_sets(tmp_path)
    material, model, feed = get_ready(build_mapping(backbone, "first", "second"), tmp_path)
    assert {task.name: task.data for task in material.tasks} == {
        "intent": "",
        "slots": "",
        "topic": "two",
        "score": "two",
    }
    answers = compute_answers(model, feed, feed.splits["validation"], CPU, torch.float32)
    joined = compute_scores(answers, material.tasks, feed.gold)
    for name in ("first", "second"):
        one, alone, own = get_ready(build_mapping(backbone, name), tmp_path)
        for (head, depth), seat in zip(alone.chain.keys, alone.chain.heads, strict=True):
            seat.load_state_dict(model.chain.heads[model.chain.keys.index((head, depth))].state_dict())
        alone.chain.cells.load_state_dict(model.chain.cells.state_dict())
        alone.chain.lexical.load_state_dict(model.chain.lexical.state_dict())
        answers = compute_answers(alone, own, own.splits["validation"], CPU, torch.float32)
        for key, values in compute_scores(answers, one.tasks, own.gold).items():
            assert values["loss"] == pytest.approx(joined[key]["loss"], rel=1e-4), key
            assert set(values) == set(joined[key])


def test_gradients_of_a_batch_of_one_set_are_those_of_that_set(backbone, tmp_path):
    write_sets(tmp_path)
    _, model, feed = get_ready(build_mapping(backbone, "first", "second"), tmp_path)
    batch = feed.build_batch(np.arange(120, 130))  # rows of the second set
    model.eval()
    losses = {
        key: model.chain.get_head(*key).compute_loss(logits, batch.labels[key[0]], batch)
        for key, logits in model(batch).items()
    }
    assert {key[0] for key, loss in losses.items() if loss.item()} == {"topic", "score"}
    torch.stack(list(losses.values())).sum().backward()
    moved = {
        key[0] for key in model.chain.keys if any((p.grad != 0).any() for p in model.chain.get_head(*key).parameters())
    }
    assert moved == {"topic", "score"}


def test_each_set_is_computed_once(backbone, tmp_path, monkeypatch):
    """However it is joined: what was computed for it alone is found again, and progress is that of all rows."""
    write_sets(tmp_path)
    _, _, alone = get_ready(build_mapping(backbone, "second"), tmp_path)
    computed, compute = [], features.run_passes
    monkeypatch.setattr(
        features,
        "run_passes",
        lambda lower, encoded, *rest: [computed.append(encoded.rows), compute(lower, encoded, *rest)][1],
    )
    events = []
    feed = get_ready(build_mapping(backbone, "first", "second"), tmp_path, tell=events.append).feed
    assert computed == [120]
    told = [event for event in events if event["kind"] == "progress"]
    assert (told[-1]["done"], told[-1]["total"]) == (170, 170)
    for layer, states in alone.hidden.items():
        np.testing.assert_array_equal(feed.hidden[layer].parts[1], states)
    assert feed.hidden.keys() == alone.hidden.keys()


def test_heads_of_further_sets_are_inferred(backbone, tmp_path):
    write_sets(tmp_path)
    mapping = build_mapping(backbone, "first", "second")
    mapping["heads"], mapping["also"]["two"]["input"] = None, {}
    config = prepare_run(resolve_config(mapping), tmp_path).config
    assert config.also["two"].input.text == "text"
    assert config.heads["two-intent"].data == "two"
    assert config.heads["intent"].data is None


ROWS = {"a": np.array([0] * 90 + [-1] * 10), "b": np.array([-1] * 90 + [0] * 10)}


@pytest.mark.parametrize(
    ("sampling", "small"), [({"sampling": "uniform"}, 0.5), ({"sampling": "temperature", "temperature": 2}, 0.25)]
)
def test_small_groups_are_drawn_more_often(sampling, small):
    config = TrainConfig(**sampling)
    groups = group_rows(ROWS, np.arange(100), config)
    assert [len(group) for group in groups] == [10, 90]
    assert compute_shares([10, 90], config)[0] == pytest.approx(small)
    random, counts = np.random.default_rng(0), []
    for _ in range(200):
        batches = sample_epoch(np.ones(100, np.int64), groups, 10, config, random)
        assert len(batches) == 10
        assert all(len({bool(row < 90) for row in batch}) == 1 for batch in batches)
        counts.append(sum(bool(batch[0] >= 90) for batch in batches))
    assert np.mean(counts) == pytest.approx(10 * small, abs=0.3)


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=5), st.integers(1, 16),
    st.sampled_from(["uniform", "temperature"]), st.integers(0, 99),
)  # fmt: skip
def test_an_epoch_keeps_its_number_of_batches(sizes, size, sampling, seed):
    config = TrainConfig(sampling=sampling)
    starts = np.cumsum([0, *sizes])
    groups = [np.arange(start, stop) for start, stop in pairwise(starts)]
    lengths = np.random.default_rng(seed).integers(1, 20, starts[-1])
    first, again = (sample_epoch(lengths, groups, size, config, np.random.default_rng(seed)) for _ in range(2))
    assert len(first) == -(-starts[-1] // size)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(len(set(batch.tolist())) == len(batch) <= size for batch in first)


def test_proportional_is_one_group():
    assert len(group_rows(ROWS, np.arange(100), TrainConfig())) == 1
