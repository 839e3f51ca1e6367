"""Every runner on a tiny backbone, and the plain heads that the peers learn with."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

from tests.benchmarks.jobs import Job
from tests.benchmarks.plain import IGNORED, Examples, PlainModel, build_tasks, load_auto_model, predict
from tests.benchmarks.rows import DATA, DataAbsent, read_rows
from tests.benchmarks.run_chain import run_chain
from tests.benchmarks.run_linear import run_linear
from tests.benchmarks.run_trainer import run_trainer
from tests.benchmarks.single import RUNNERS, load_job, load_runner

ALWAYS = {"validation", "test", "curve", "seconds", "memory_mb", "trainable", "disk_mb", "machine"}
ROWS = (32, 12, 8)


@pytest.fixture
def job(rows, backbone):
    return Job("race", "atis", "some", 0, "trainer", {}, backbone=str(backbone), rows=ROWS, epochs=1)


@pytest.fixture
def work(tmp_path):
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_trainer(job, work, tuning):
    result = run_trainer(replace(job, settings={"tuning": tuning, "batch_size": 16}, epochs=2), work)
    assert set(result) >= ALWAYS
    assert [point["epoch"] for point in result["curve"]] == [1, 2]
    assert {"slots/entity_f1", "intent/accuracy", "joint/exact_match"} <= set(result["test"])
    assert len(result["right"]["test"]["slots"]) == 8
    assert result["disk_mb"]["kept"] > 0
    whole = sum(parameter.numel() for parameter in load_auto_model(job.backbone).parameters())
    assert (result["trainable"] < whole) == (tuning == "lora")
    json.dumps(result)


def test_trainer_with_heads_of_every_kind(job, work):
    result = run_trainer(replace(job, data="atis6", settings={"tuning": "full", "batch_size": 16}), work)
    assert {name.partition("/")[0] for name in result["test"]} == {*DATA["atis6"].heads, "joint"}
    assert set(result["right"]["test"]) == {*DATA["atis6"].heads} - {"count"}
    assert result["test"]["count/mae"] < 5


def test_a_cap_ends_training_and_says_so(job, work):
    settings = {"batch_size": 8, "cap_seconds": 0.0, "pad": 64, "bf16": False, "grouped": False}
    result = run_trainer(replace(job, settings=settings, tasks=("intent",), epochs=5), work)
    assert result["extrapolated"]["steps"] == 20
    assert 2 <= result["extrapolated"]["steps_done"] < 20
    assert not result["test"]
    assert result["seconds"]["total"] > result["seconds"]["training"]


def test_linear(job, work):
    result = run_linear(replace(job, runner="linear", tasks=("intent",)), work)
    assert set(result) >= ALWAYS
    assert result["trainable"] == 3 * 32 + 3
    assert set(result["test"]) == {"intent/accuracy", "intent/macro_f1", "intent/weighted_f1"}


def test_chain(job, work):
    settings = {"chain": {"depth": 1, "width": 16}, "every_head": {"dropout": 0.3}, "tagging_heads": {"focal": 1.0}}
    result = run_chain(replace(job, runner="chain", settings=settings, epochs=2), work)
    assert set(result) >= ALWAYS
    assert [point["epoch"] for point in result["curve"]] == [1, 2]
    assert set(result["curve"][0]["metrics"]) >= set(DATA["atis"].metrics)
    assert result["disk_mb"]["written"] > result["disk_mb"]["kept"] > 0
    assert len(result["seconds"]["epochs"]) == 2
    json.dumps(result)


def test_jobs_survive_the_way_to_their_process(tmp_path, job):
    (tmp_path / "job.json").write_text(json.dumps(asdict(job)))
    assert load_job(tmp_path / "job.json") == job
    assert all(callable(load_runner(name)) for name in RUNNERS)


class Tokenizer:
    """Two pieces for a word of more than three letters, one for others, between two special ones."""

    def __call__(self, rows, **options):
        words = [[w for n, word in enumerate(row) for w in [n] * (2 if len(word) > 3 else 1)] for row in rows]
        encoded = Encoded({"input_ids": [[1, *[5 + n for n in row], 2] for row in words]})
        encoded.words = [[None, *row, None] for row in words]
        return encoded


class Encoded(dict):
    def word_ids(self, row):
        return self.words[row]


class Echo(nn.Module):
    """Hidden states that hold the ids themselves."""

    def forward(self, input_ids, attention_mask):
        return type("Output", (), {"last_hidden_state": nn.functional.one_hot(input_ids, 16).float()})()


ROW = {"tokens": ["turn", "on", "music"], "slots": ["B-x", "O", "I-x"], "intent": "a"}
OTHER = {"tokens": ["on"], "slots": ["O"], "intent": "b"}


def test_labels_stand_on_first_pieces():
    tasks = build_tasks(DATA["atis"].heads, [ROW, OTHER])
    examples = Examples([ROW, OTHER], {"tokens": "tokens"}, Tokenizer(), tasks, 32)
    batch = examples.collate([examples[0], examples[1]])
    b, i, o = (tasks[0].labels.index(tag) for tag in ("B-x", "I-x", "O"))
    assert batch["labels"]["slots"].tolist() == [
        [IGNORED, b, IGNORED, o, i, IGNORED, IGNORED],
        [IGNORED, o, *[IGNORED] * 5],
    ]
    assert batch["attention_mask"].sum(1).tolist() == [7, 3]
    assert batch["labels"]["intent"].tolist() == [0, 1]
    assert examples.collate([examples[1]], 10)["input_ids"].shape == (1, 10)


def test_labels_that_training_never_saw_are_ignored():
    tasks = build_tasks(DATA["atis"].heads, [ROW])
    examples = Examples([{**OTHER, "slots": ["B-new"]}], {"tokens": "tokens"}, Tokenizer(), tasks, 32)
    assert examples[0]["slots"] == [IGNORED] * 3
    assert examples[0]["intent"] == IGNORED


def test_predictions_come_back_in_order():
    tasks = build_tasks(DATA["atis"].heads, [ROW, OTHER])
    examples = Examples([OTHER, ROW, OTHER], {"tokens": "tokens"}, Tokenizer(), tasks, 32)
    model = PlainModel(Echo(), 16, tasks)
    with torch.no_grad():
        model.heads["slots"].weight.zero_()
        model.heads["slots"].bias.zero_()
        for word, tag in enumerate(("B-x", "O", "I-x")):
            model.heads["slots"].weight[tasks[0].labels.index(tag), 5 + word] = 1.0
    answers = predict(model, examples, 2, torch.no_grad, "cpu")
    assert answers["slots"] == [["B-x"], ["B-x", "O", "I-x"], ["B-x"]]
    assert [len(value) for value in answers.values()] == [3, 3]


SET = {"kind": "multilabel", "column": "topics"}
NUMBER = {"kind": "regression", "column": "score"}
SCORED = [{**ROW, "topics": ["x", "y"], "score": 5.0}, {**OTHER, "topics": [], "score": 1.0}]


def test_sets_of_labels_and_numbers_are_learned_and_said_in_their_own_units():
    tasks = build_tasks({"topics": SET, "score": NUMBER}, SCORED)
    examples = Examples(SCORED, {"tokens": "tokens"}, Tokenizer(), tasks, 32)
    labels = examples.collate([examples[0], examples[1]])["labels"]
    assert labels["topics"].tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert labels["score"].tolist() == [1.0, -1.0]

    model = PlainModel(Echo(), 16, tasks).eval()
    with torch.no_grad():
        for head in model.heads.values():
            head.weight.zero_()
        model.heads["topics"].bias.copy_(torch.tensor([1.0, -1.0]))
        model.heads["score"].bias.fill_(0.5)
    assert predict(model, examples, 2, torch.no_grad, "cpu") == {"topics": [["x"], ["x"]], "score": [4.0, 4.0]}

    batch = examples.collate([examples[0]])
    loss = model(**batch)["loss"]
    chances = torch.sigmoid(torch.tensor([1.0, -1.0]))
    torch.testing.assert_close(loss, -chances.log().mean() + (0.5 - 1.0) ** 2)


def test_absent_data_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAIN_BENCHMARK_DATA", str(tmp_path))
    with pytest.raises(DataAbsent, match=str(tmp_path)):
        read_rows("wnut17")


def test_news_are_split_without_twins():
    news = read_rows("bbc")
    texts = [row["text"] for part in news.values() for row in part]
    assert len(set(texts)) == len(texts)
    assert [len({row["topic"] for row in part}) for part in news.values()] == [5, 5, 5]
