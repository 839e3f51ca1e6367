"""Thresholds chosen on the validation rows: the best of those tried, kept by the head, and nothing else changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chain_core.modeling.team import SOLO
from chain_core.training import thresholds
from chain_core.training.evaluate import compute_answers, compute_scores
from chain_core.training.thresholds import SHIFTS, tune_thresholds
from tests.tiny import build_commands, write_rows
from tests.training.setup import CPU, PLAIN, finish, get_ready

HEADS = {
    "slots": {"kind": "tagging", "column": "slots", "threshold": "tuned"},
    "topics": {"kind": "multilabel", "column": "topics", "threshold": "tuned"},
    "intent": {"kind": "classification", "column": "intent"},
}
MAIN = {"slots": "entity_f1", "topics": "micro_f1"}


def prepare(backbone, folder, heads=HEADS):
    write_rows(folder / "train.jsonl", build_commands())
    data = {"train": "train.jsonl", "validation": 0.3}
    mapping = {"data": data, "backbone": {"name": str(backbone)}, "heads": heads, **PLAIN}
    mapping["train"] = {**PLAIN["train"], "epochs": 1, "learning_rate": 1e-3}
    ready = get_ready(mapping, folder)
    finish(ready.train())
    return ready


def tune(ready):
    return tune_thresholds(ready.model, ready.feed, ready.material.tasks, CPU, torch.float32, lambda: None, SOLO)


def judge(ready, head):
    """The head's main figure and its loss on the validation rows."""
    answers = compute_answers(ready.model, ready.feed, ready.feed.splits["validation"], CPU, torch.float32)
    scores = compute_scores(answers, ready.material.tasks, ready.feed.gold)[head, 2]
    return scores[MAIN[head]], scores["loss"]


def move(ready, head, amount):
    """Let a head answer less, or more, by what it has learned instead of by its threshold."""
    head = ready.model.chain.get_head(head, 2)
    with torch.no_grad():
        if head.task.kind == "tagging":
            head.out.bias[head.rules.outside] -= amount
        else:
            head.out.bias += amount


@pytest.mark.parametrize("name", MAIN)
@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("amount", [-1.75, 0.0, 1.5])
def test_the_best_of_all_is_chosen(backbone, tmp_path, name, crf, amount):
    """Against a reference that moves the biases instead."""
    heads = {**HEADS, "slots": {**HEADS["slots"], "crf": crf}}
    ready = prepare(backbone, tmp_path, heads)
    move(ready, name, amount)
    figures, before = {}, judge(ready, name)
    for shift in SHIFTS:
        move(ready, name, shift)
        figures[shift] = judge(ready, name)[0]
        move(ready, name, -shift)
    notes = {note["params"]["head"]: note for note in tune(ready)}
    chosen = float(ready.model.chain.get_head(name, 2).shift)
    after = judge(ready, name)
    assert after[0] == pytest.approx(max(figures.values()))
    assert abs(chosen) == min(abs(shift) for shift, figure in figures.items() if figure == max(figures.values()))
    assert after[1] == pytest.approx(before[1], rel=1e-5), "the loss is that of the logits"
    if chosen:
        params = notes[name]["params"]
        assert (params["depth"], params["shift"]) == (2, chosen)
        assert (params["before"], params["after"]) == (round(before[0], 4), round(after[0], 4))
    else:
        assert notes[name]["code"] == "threshold_kept"


@pytest.mark.parametrize("name", MAIN)
def test_a_head_that_answers_too_little_answers_more(backbone, tmp_path, name):
    ready = prepare(backbone, tmp_path)
    finish(ready.train())
    tune(ready)
    good = judge(ready, name)[0]
    move(ready, name, -2.5)
    ready.model.chain.get_head(name, 2).shift.zero_()
    assert judge(ready, name)[0] < good
    tune(ready)
    assert judge(ready, name)[0] == pytest.approx(good, abs=0.02)
    assert ready.model.chain.get_head(name, 2).shift > 0


def test_fixed_thresholds_stay_and_take_no_place(backbone, tmp_path):
    heads = {name: {**head, "threshold": "fixed"} for name, head in HEADS.items() if name != "intent"}
    ready = prepare(backbone, tmp_path, heads)
    assert tune(ready) == []
    assert not [name for name in ready.model.get_saved() if name.endswith("shift")]
    tuned = prepare(backbone, tmp_path, HEADS).model
    assert sum(name.endswith("shift") for name in tuned.get_saved()) == 2


def test_tags_without_an_outside_have_no_threshold(backbone, tmp_path, monkeypatch):
    rows = [{**row, "slots": ["X", "Y", "X", "Y", "X", "Y", "X"]} for row in build_commands()]
    monkeypatch.setattr("tests.training.test_thresholds.build_commands", lambda: rows)
    ready = prepare(backbone, tmp_path, {"slots": HEADS["slots"]})
    assert ready.model.chain.get_head("slots", 2).shift is None
    assert tune(ready) == []


def test_a_head_that_depths_share_is_judged_at_the_deepest(backbone, tmp_path):
    heads = {"slots": {**HEADS["slots"], "depths": [1, 2], "share": True}}
    [note] = tune(prepare(backbone, tmp_path, heads))
    assert note["params"]["depth"] == 2
    heads["slots"]["share"] = False
    assert [note["params"]["depth"] for note in tune(prepare(backbone, tmp_path, heads))] == [1, 2]


def test_without_a_labelled_validation_row_it_stays(backbone, tmp_path):
    ready = prepare(backbone, tmp_path)
    gold = ready.feed.gold["slots"].take(torch.arange(0).numpy())
    ready.feed.gold["slots"] = type(gold).from_pandas([None] * 120, type=gold.type)
    assert [note["params"]["head"] for note in tune(ready)] == ["topics"]
    assert ready.model.chain.get_head("slots", 2).shift == 0
    ready.feed.splits["validation"] = np.zeros(0, np.int64)
    assert tune(ready) == []


def test_of_many_rows_some_are_asked(backbone, tmp_path, monkeypatch):
    ready = prepare(backbone, tmp_path)
    monkeypatch.setattr(thresholds, "MOST_ROWS", 10)
    seen = []
    before = thresholds.compute_logits
    monkeypatch.setattr(thresholds, "compute_logits", lambda *given: [seen.append(given[2]), before(*given)][1])
    tune(ready)
    rows = ready.feed.splits["validation"]
    assert len(rows) > 30
    assert seen[0].tolist() == rows[:: -(-len(rows) // 10)].tolist()
    assert len(seen[0]) <= 10
