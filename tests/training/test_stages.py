"""Stages: which parts each of them trains, growth without loss, one stage as good as none."""

from __future__ import annotations

import itertools

import pytest
import torch

from chain_core.config import merge
from chain_core.errors import ConfigError
from chain_core.training.control import ask_nothing
from chain_core.training.evaluate import compute_answers, compute_scores
from chain_core.training.stages import find_part
from tests.tiny import WORDS, build_commands, write_rows
from tests.training.setup import CPU, PLAIN, finish, get_ready

HEADS = {
    "intent": {"kind": "classification", "column": "intent", "depths": [1, "last"]},
    "slots": {"kind": "tagging", "column": "slots"},
}


def start(folder, commands, tmp_path, *, read_control=ask_nothing, backbone=None, **sections):
    data = {"data": {"train": str(commands), "validation": 0.25}, "backbone": {"name": str(folder), **(backbone or {})}}
    mapping = merge(PLAIN, {**data, "heads": HEADS, "chain": {"depth": 3}, "train": {"epochs": 2}})
    ready = get_ready(merge(mapping, sections), tmp_path, read_control)
    return ready.model, ready.feed, ready.train(read_control)


def copy_weights(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def test_one_stage_is_as_none(backbone, commands, tmp_path):
    def follow(**sections):
        model, _, events = start(backbone, commands, tmp_path, **sections)
        seen, _ = finish(events)
        figures = [(event["step"], event["epoch"], event["loss"]) for event in seen if event["kind"] == "step"]
        return figures, copy_weights(model), [event["kind"] for event in seen]

    plain, weights, kinds = follow()
    staged, same, more = follow(stages=[{"epochs": 2}])
    assert plain == staged
    assert all(torch.equal(value, same[name]) for name, value in weights.items())
    assert "stage" not in kinds
    assert more == ["stage", *kinds]


@pytest.mark.parametrize("trains", [["heads"], ["links"], ["backbone"], ["links", "backbone"]])
def test_a_stage_trains_its_parts_only(backbone, commands, tmp_path, trains):
    stages = [{"epochs": 1, "trains": trains}]
    model, _, events = start(backbone, commands, tmp_path, backbone={"tuning": "full", "layers": 1}, stages=stages)
    free = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    before = copy_weights(model)
    finish(events)
    moved = {find_part(name) for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == set(trains)
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == free


def test_frozen_links_stay_frozen(backbone, commands, tmp_path):
    links = [{"strategy": "freeze"}, {}, {}]
    stages = [{"trains": ["heads"]}, {"trains": ["links", "heads"]}]
    model, _, events = start(backbone, commands, tmp_path, chain={"links": links}, stages=stages)
    before = copy_weights(model)
    finish(events)
    cells = {name: torch.equal(value, before[name]) for name, value in model.named_parameters() if ".cells." in name}
    assert all(same for name, same in cells.items() if ".cells.0." in name)
    assert not any(same for name, same in cells.items() if ".cells.1." in name and "weight" in name)


def test_growth_changes_nothing_at_first(backbone, commands, tmp_path):
    stages = [{"epochs": 2, "depth": 1}, {"epochs": 2, "depth": 3, "name": "grown"}]
    model, feed, events = start(backbone, commands, tmp_path, stages=stages)
    tasks = tuple(model.chain.get_tasks().values())
    seen = []
    for event in events:
        seen.append(event)
        if event["kind"] == "stage" and event["stage"] == 2:
            break
    first = max((e for e in seen if e["kind"] == "epoch"), key=lambda event: event["score"])
    assert model.chain.active_depth == 3
    answers = compute_answers(model, feed, feed.splits["validation"], CPU, torch.float32)
    scores = compute_scores(answers, tasks, feed.gold)
    assert {f"{head}@{depth}": values for (head, depth), values in scores.items()} == first["validation"]
    before = copy_weights(model)
    rest, outcome = finish(events)
    moved = [not torch.equal(value, before[name]) for name, value in model.named_parameters() if ".cells.2." in name]
    assert any(moved)
    assert [event["depth"] for event in seen + rest if event["kind"] == "stage"] == [1, 3]
    assert [stage.name for stage in outcome.stages] == ["1-tasks", "grown"]


def test_steps_and_epochs_count_on_and_patience_is_each_stages_own(backbone, commands, tmp_path):
    stages = [{"epochs": 40, "trains": ["heads"]}, {"epochs": 2}]
    _, _, events = start(
        backbone, commands, tmp_path, stages=stages, train={"patience": 2, "learning_rate": 1e-8, "warmup": 0}
    )
    seen, outcome = finish(events)
    steps = [event["step"] for event in seen if event["kind"] == "step"]
    assert steps == list(range(1, len(steps) + 1))
    epochs = [event for event in seen if event["kind"] == "epoch"]
    assert [event["epoch"] for event in epochs] == list(range(1, len(epochs) + 1))
    assert outcome.stages[0].reason == "early"
    assert outcome.stages[0].epochs < 40
    assert outcome.reason in ("finished", "early")
    second = next(event for event in seen if event["kind"] == "stage" and event["stage"] == 2)
    assert (second["epoch"], second["step"]) == (outcome.stages[0].epochs, epochs[outcome.stages[0].epochs - 1]["step"])
    assert epochs[-1]["epochs"] == epochs[-1]["epoch"]
    last = [event for event in seen if event["kind"] == "step" and event["stage"] == 2][-1]
    assert last["epoch"] == pytest.approx(outcome.stages[0].epochs + outcome.stages[1].epochs)


@pytest.mark.parametrize("calls", [3, 14, 18])
def test_stop_in_any_stage_keeps_the_best(backbone, commands, tmp_path, calls):
    counter = itertools.count()
    stages = [{"epochs": 2}, {"epochs": 5}]  # 6 steps an epoch
    model, feed, events = start(
        backbone, commands, tmp_path, stages=stages, read_control=lambda: "stop" if next(counter) > calls else ""
    )
    seen, outcome = finish(events)
    assert outcome.reason == "stopped"
    assert [event["kind"] for event in seen].count("stage") == (1 if calls < 12 else 2)
    stage = max(event["stage"] for event in seen if event["kind"] == "epoch")
    best = max((e for e in seen if e["kind"] == "epoch" and e["stage"] == stage), key=lambda event: event["score"])
    assert outcome.best_epoch == best["epoch"]
    tasks = tuple(model.chain.get_tasks().values())
    scores = compute_scores(
        compute_answers(model, feed, feed.splits["validation"], CPU, torch.float32), tasks, feed.gold
    )
    assert {f"{head}@{depth}": values for (head, depth), values in scores.items()} == best["validation"]


def test_each_stage_has_its_own_rates(backbone, commands, tmp_path):
    stages = [{"epochs": 2, "learning_rate": 1e-3}, {"epochs": 2, "learning_rate": 1e-4}]
    _, _, events = start(backbone, commands, tmp_path, stages=stages)
    seen, _ = finish(events)
    highest = {
        number: max(e["learning_rate"] for e in seen if e["kind"] == "step" and e["stage"] == number)
        for number in (1, 2)
    }
    assert highest == {1: pytest.approx(1e-3), 2: pytest.approx(1e-4)}


def test_each_stage_has_its_own_rates_of_the_backbone(backbone, commands, tmp_path):
    stages = [{"backbone_learning_rate": 1e-4}, {"backbone_learning_rate": 1e-5}, {}]
    tuned = {"tuning": "full", "layers": 1}
    _, _, events = start(
        backbone, commands, tmp_path, backbone=tuned, stages=stages, train={"backbone_learning_rate": 2e-4}
    )
    told = [event for event in finish(events)[0] if event["kind"] == "step" and "learning_rates" in event]
    highest = {
        number: max(e["learning_rates"]["backbone"] for e in told if e["stage"] == number) for number in (1, 2, 3)
    }
    assert highest == {1: pytest.approx(1e-4), 2: pytest.approx(1e-5), 3: pytest.approx(2e-4)}


def test_a_stage_of_some_heads_learns_from_their_rows_alone(backbone, tmp_path):
    """Which is as good as a run without the others; the next stage has all of them."""
    rows = build_commands()
    for number, row in enumerate(rows):
        row["tokens"] += [WORDS[number % 20], WORDS[number // 20]]  # no two alike: each may validate by itself
        row["slots"] = [*row["slots"], "O", "O"] if row["slots"] else None
        row["slots" if number % 2 else "intent"] = None
    write_rows(tmp_path / "rows.jsonl", rows)
    heads = {**HEADS, "slots": {**HEADS["slots"], "class_weights": "balanced"}}
    given = {"heads": heads, "train": {"metric": "slots/entity_f1"}}
    stages = [{"epochs": 2, "heads": ["intent"]}, {"epochs": 1}]
    model, feed, events = start(backbone, tmp_path / "rows.jsonl", tmp_path, stages=stages, **given)
    held = {name: value for name, value in copy_weights(model).items() if is_of(model, name, "slots")}
    assert held
    first = []
    for event in events:
        first.append(event)
        if event["kind"] == "epoch" and event["epoch"] == 2:
            break
    assert all(torch.equal(value, dict(model.named_parameters())[name]) for name, value in held.items())
    judged = [event for event in first if event["kind"] == "epoch"]
    assert [set(event["validation"]) for event in judged] == [{"intent@1", "intent@3"}] * 2
    assert all(event["score"] == event["validation"]["intent@3"]["accuracy"] for event in judged)
    labelled = [row for row in feed.splits["train"] if rows[row]["intent"] is not None]
    assert judged[0]["batches_planned"] == -(-len(labelled) // 16)
    rest, outcome = finish(events)
    after = next(event for event in rest if event["kind"] == "epoch")
    assert set(after["validation"]) == {"intent@1", "intent@3", "slots@3"}
    assert after["score"] == after["validation"]["slots@3"]["entity_f1"]
    weights = model.chain.get_head("slots", 3).class_weights
    assert not torch.equal(weights, torch.ones_like(weights)), "counted where the head learns"
    assert outcome.reason == "finished"


def is_of(model, name, task):
    """Whether a parameter belongs to a head."""
    return any(
        name.startswith(f"chain.heads.{i}.") for i, seat in enumerate(model.chain.seats) if seat.keys[0][0] == task
    )


def test_a_stage_that_would_train_nothing_is_refused(backbone, commands, tmp_path):
    frozen = {"links": {"strategy": "freeze"}, "lexical": "off"}
    with pytest.raises(ConfigError) as caught:
        start(backbone, commands, tmp_path, chain=frozen, stages=[{}, {"trains": ["links"]}])
    assert caught.value.path == "stages[1].trains"
