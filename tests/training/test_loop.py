"""The loop learns, stops, keeps the best, and repeats itself exactly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from chain_core.config import TrainConfig, merge, resolve_config
from chain_core.errors import ConfigError, DataError
from chain_core.modeling.backbones.ranks import count_ranks
from chain_core.training.control import ask_nothing
from chain_core.training.feed import choose_labelled
from chain_core.training.losses import compute_total
from chain_core.training.optimiser import build_optimiser, compute_rate
from chain_core.training.sampling import sample_batches
from tests.training.setup import CPU, PLAIN, finish, get_ready

HEADS = {
    "intent": {"kind": "classification", "column": "intent", "depths": [0, "last"]},
    "slots": {"kind": "tagging", "column": "slots"},
    "topics": {"kind": "multilabel", "column": "topics"},
    "score": {"kind": "regression", "column": "score"},
}


def start(folder, commands, tmp_path, *, read_control=ask_nothing, backbone=None, **sections):
    data = {"data": {"train": str(commands), "validation": 0.25}, "backbone": {"name": str(folder), **(backbone or {})}}
    mapping = merge(PLAIN, {**data, "heads": HEADS, "train": {"epochs": 4}})
    ready = get_ready(merge(mapping, sections), tmp_path, read_control)
    return ready.model, ready.feed, ready.train(read_control)


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
@pytest.mark.parametrize("tuning", [{}, {"tuning": "lora", "layers": 2}, {"tuning": "full"}])
def test_every_head_learns(backbone, commands, tmp_path, tuning, optimiser):
    settings = {"epochs": 12, "backbone_learning_rate": 1e-3, "optimiser": optimiser}
    _, _, events = start(backbone, commands, tmp_path, backbone=tuning, train=settings)
    seen, outcome = finish(events)
    assert outcome.reason == "finished"
    epochs = [event["validation"] for event in seen if event["kind"] == "epoch"]
    assert set(epochs[0]) == {"intent@0", "intent@2", "slots@2", "topics@2", "score@2"}
    assert epochs[-1]["intent@2"]["accuracy"] > 0.9
    assert epochs[-1]["slots@2"]["entity_f1"] > 0.9
    assert epochs[-1]["topics@2"]["micro_f1"] > 0.8
    assert epochs[-1]["score@2"]["loss"] < epochs[0]["score@2"]["loss"]
    steps = [event for event in seen if event["kind"] == "step"]
    assert set(steps[0]["losses"]) == set(epochs[0])
    assert steps[-1]["loss"] < steps[0]["loss"]


def test_same_seed_same_numbers_other_seed_others(backbone, commands, tmp_path):
    def losses(seed):
        _, _, events = start(backbone, commands, tmp_path, train={"seed": seed, "epochs": 2})
        return [event["loss"] for event in finish(events)[0] if event["kind"] == "step"]

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)


def test_stop_keeps_what_there_is(backbone, commands, tmp_path):
    calls = itertools.count()
    _, _, events = start(backbone, commands, tmp_path, read_control=lambda: "stop" if next(calls) > 12 else "")
    seen, outcome = finish(events)
    assert outcome.reason == "stopped"
    assert outcome.best_epoch >= 1
    assert sum(event["kind"] == "epoch" for event in seen) < 4


def test_best_weights_come_back(backbone, commands, tmp_path):
    from chain_core.training.evaluate import choose_score, compute_answers, compute_scores

    model, feed, events = start(backbone, commands, tmp_path, train={"epochs": 5, "learning_rate": 0.05})
    seen, outcome = finish(events)
    best = next(event for event in seen if event["kind"] == "epoch" and event["epoch"] == outcome.best_epoch)
    tasks = tuple(model.chain.get_tasks().values())
    answers = compute_answers(model, feed, feed.splits["validation"], CPU, torch.float32)
    assert choose_score(compute_scores(answers, tasks, feed.gold), None, "mean") == best["score"]
    assert best["score"] == max(event["score"] for event in seen if event["kind"] == "epoch")


def test_early_stopping(backbone, commands, tmp_path):
    _, _, events = start(backbone, commands, tmp_path, train={"epochs": 60, "patience": 2, "metric": "intent/accuracy"})
    seen, outcome = finish(events)
    assert outcome.reason == "early"
    scores = [event["score"] for event in seen if event["kind"] == "epoch"]
    assert len(scores) == scores.index(max(scores)) + 1 + 2, "equal scores are no better ones"
    assert outcome.best_epoch == len(scores) - scores[::-1].index(max(scores)), "of equals the latest is kept"


def test_joint_metric_selects(backbone, commands, tmp_path):
    _, _, events = start(backbone, commands, tmp_path, train={"metric": "joint/exact_match"})
    epochs = [event for event in finish(events)[0] if event["kind"] == "epoch"]
    assert all(event["score"] == event["joint"] for event in epochs)
    assert epochs[-1]["joint"] > 0.3


def test_diverging_loss_is_a_sentence(backbone, commands, tmp_path):
    model, _, events = start(backbone, commands, tmp_path, train={"clip": None})
    with torch.no_grad():
        next(model.chain.cells[0].parameters()).fill_(float("nan"))
    with pytest.raises(ConfigError) as caught:
        finish(events)
    assert caught.value.path == "train.learning_rate"


def test_nothing_labelled(backbone, commands, tmp_path):
    _, feed, events = start(backbone, commands, tmp_path)
    for values in feed.labels.values():
        array = values[0] if isinstance(values, tuple) else values
        if isinstance(values, tuple):
            values[1][:] = 0
        elif array.dtype.kind == "f":
            array[:] = np.nan
        else:
            array[:] = -1
    with pytest.raises(DataError) as caught:
        finish(events)
    assert caught.value.code == "nothing_labelled"


def test_total_is_the_weighted_sum(backbone):
    heads = {
        "a": {"kind": "classification", "column": "a", "depths": [1, "last"], "depth_weights": [0.5, 2], "weight": 3}
    }
    config = resolve_config({"data": {"train": "x"}, "heads": heads, "chain": {"depth": 2}})
    total = compute_total({("a", 1): torch.tensor(1.0), ("a", 2): torch.tensor(10.0)}, config)
    assert total.item() == 3 * (0.5 * 1 + 2 * 10)


def test_batches_hold_every_row_once_and_rows_of_like_length():
    lengths = np.random.default_rng(0).integers(1, 50, 1000)
    batches = sample_batches(lengths, np.arange(1000), 32, np.random.default_rng(1))
    assert sorted(np.concatenate(batches).tolist()) == list(range(1000))
    assert np.mean([np.ptp(lengths[batch]) for batch in batches]) < 5
    again = sample_batches(lengths, np.arange(1000), 32, np.random.default_rng(1))
    assert all(np.array_equal(first, second) for first, second in zip(batches, again, strict=True))


def test_labelled_rows_have_at_least_one_label():
    labels = {
        "a": np.array([-1, 2, -1, -1]),
        "b": np.array([[np.nan], [np.nan], [1.0], [np.nan]]),
        "c": (np.array([1, 1]), np.array([0, 0, 0, 0, 0])),
    }
    assert choose_labelled(labels, np.arange(4)).tolist() == [1, 2]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_rates(schedule):
    config = TrainConfig(schedule=schedule, warmup=0.1)
    rates = [compute_rate(config, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert max(rates) == 1
    assert all(rate > 0 for rate in rates)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_only_matrices_decay_and_the_backbone_has_its_own_rate(backbone, commands, tmp_path):
    model, _, _ = start(backbone, commands, tmp_path, backbone={"tuning": "lora"})
    groups = build_optimiser(
        model, TrainConfig(learning_rate=1.0, backbone_learning_rate=0.5, weight_decay=0.1)
    ).param_groups
    trained = sum(p.requires_grad for p in model.parameters())
    assert sum(len(group["params"]) for group in groups) == trained
    for group in groups:
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] > 0}
    assert {group["lr"] for group in groups} == {1.0, 0.5}


def test_adalora_ends_a_run_at_its_final_rank(backbone, commands, tmp_path):
    tuning = {"tuning": "adalora", "rank": 6, "final_rank": 2, "layers": 2}
    model, _, events = start(backbone, commands, tmp_path, backbone=tuning, train={"epochs": 5})
    seen, outcome = finish(events)
    ranks = count_ranks(model.upper)
    assert sum(ranks) == 2 * len(ranks)
    assert outcome.best_epoch >= 4, "weights of unsettled ranks are no candidates"
    assert all(event["loss"] > 0 for event in seen if event["kind"] == "step")


@pytest.mark.parametrize("epochs", [(9,), (6, 7), (8, 1)])
def test_patience_waits_for_the_final_ranks(backbone, commands, tmp_path, epochs):
    """Nothing gets better: a stage ends as soon as it may, and the last one that tunes has the ranks pruned."""
    tuning = {"tuning": "adalora", "rank": 4, "final_rank": 1, "layers": 1}
    few = {
        "learning_rate": 1e-8,
        "backbone_learning_rate": 1e-8,
        "batch_size": 48,
        "metric": "intent/accuracy",
        "patience": 1,
    }
    stages = [*({"epochs": count} for count in epochs), {"epochs": 3, "trains": ["heads"]}]
    model, _, events = start(backbone, commands, tmp_path, backbone=tuning, stages=stages, train=few)
    seen, outcome = finish(events)
    ranks = count_ranks(model.upper)
    assert sum(ranks) == len(ranks)
    assert {stage.reason for stage in outcome.stages if stage.epochs > 1} == {"early"}
    tuned = [stage.epochs for stage in outcome.stages[:-1]]
    assert tuned == {(9,): [8], (6, 7): [2, 6], (8, 1): [2, 1]}[epochs]
    assert "ranks_above" not in {event.get("code") for event in seen}


def test_ranks_that_a_stop_leaves_are_told(backbone, commands, tmp_path):
    tuning = {"tuning": "adalora", "rank": 4, "final_rank": 1, "layers": 1}
    calls = itertools.count()
    model, _, events = start(
        backbone, commands, tmp_path, backbone=tuning, read_control=lambda: "stop" if next(calls) > 8 else ""
    )
    seen, _ = finish(events)
    [note] = [event["params"] for event in seen if event.get("code") == "ranks_above"]
    assert note == {"mean": np.mean(count_ranks(model.upper)), "final": 1}


def test_the_pull_keeps_tuned_weights_near_the_pretrained(backbone, commands, tmp_path):
    def drift(strength):
        settings = {"epochs": 2, "backbone_learning_rate": 1e-2, "l2_sp": strength}
        tuning = {"tuning": "full", "layers": 2}
        model, _, events = start(backbone, commands, tmp_path, backbone=tuning, train=settings)
        before = {name: value.detach().clone() for name, value in model.upper.named_parameters()}
        finish(events)
        return sum(
            float((value.detach() - before[name]).square().sum()) for name, value in model.upper.named_parameters()
        )

    assert drift(10.0) < 0.5 * drift(0.0)


@pytest.mark.parametrize(
    ("tuning", "parts"), [({}, {"links", "heads"}), ({"tuning": "lora", "layers": 2}, {"backbone", "links", "heads"})]
)
def test_steps_tell_gradients_rates_and_memory(backbone, commands, tmp_path, tuning, parts):
    from torch.nn.utils import get_total_norm

    model, _, events = start(backbone, commands, tmp_path, backbone=tuning, train={"epochs": 1, "clip": None})
    told = next(event for event in events if event["kind"] == "step")
    assert set(told["gradient"]) == parts
    whole = float(get_total_norm([p.grad for p in model.parameters() if p.grad is not None]))
    assert sum(norm**2 for norm in told["gradient"].values()) ** 0.5 == pytest.approx(whole, rel=1e-4)
    heads = [p.grad for name, p in model.named_parameters() if name.startswith("chain.heads") and p.grad is not None]
    assert told["gradient"]["heads"] == pytest.approx(float(get_total_norm(heads)), rel=1e-5)
    assert set(told["learning_rates"]) == ({"backbone", "chain"} if tuning else {"chain"})
    assert told["learning_rates"]["chain"] == told["learning_rate"]
    assert told["memory"]["process"] > 50_000_000


def test_the_gradient_is_told_as_it_was_before_clipping(backbone, commands, tmp_path):
    def first(clip):
        _, _, events = start(backbone, commands, tmp_path, train={"epochs": 1, "clip": clip})
        return next(event for event in events if event["kind"] == "step")["gradient"]

    assert first(1e-3) == first(None)


def test_a_step_takes_no_longer_gradient_than_is_asked_for(backbone, commands, tmp_path):
    from torch.nn.utils import get_total_norm

    model, _, events = start(backbone, commands, tmp_path, train={"epochs": 1, "clip": 1e-3})
    told = next(event for event in events if event["kind"] == "step")
    assert sum(norm**2 for norm in told["gradient"].values()) ** 0.5 > 1e-2
    left = float(get_total_norm([p.grad for p in model.parameters() if p.grad is not None]))
    assert left == pytest.approx(1e-3, rel=1e-3)


def test_gradients_are_told_of_now_and_then(backbone, commands, tmp_path):
    _, _, events = start(backbone, commands, tmp_path, train={"epochs": 4})
    steps = [event for event in finish(events)[0] if event["kind"] == "step"]
    assert "gradient" in steps[0]
    assert [event["step"] for event in steps if "gradient" in event][:3] == [1, 5, 10]
