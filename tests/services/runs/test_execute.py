"""A run from its config to its folder, the command line, and predictions that agree with the report."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.torch import load_file

from chain_core.cli.main import main
from chain_core.config import TUNINGS, load_yaml, resolve_config
from chain_core.errors import RunError
from chain_core.modeling.backbones.tuning import is_added
from chain_core.reports.metrics import compute_joint_share
from chain_core.reports.predictions import load_predictions
from chain_core.services.runs.checkpoint_names import prune_checkpoints
from chain_core.services.runs.execute import execute_run
from chain_core.services.runs.predictor import load_predictor
from chain_core.storage.entries import list_entries, save_limit
from tests.tiny import build_commands, write_rows

HEADS = {
    "intent": {"kind": "classification", "column": "intent", "depths": [1, "last"]},
    "slots": {"kind": "tagging", "column": "slots"},
    "score": {"kind": "regression", "column": "score"},
}


def build_mapping(model, /, **sections):
    return {
        "name": "commands",
        "data": {"train": "train.jsonl", "validation": 0.2, "test": "test.jsonl"},
        "input": {"tokens": "tokens"},
        "backbone": {"name": str(model)},
        "chain": {"depth": 2, "width": 32},
        "heads": HEADS,
        "train": {"epochs": 3, "batch_size": 16, "learning_rate": 5e-3},
        **sections,
    }


@pytest.fixture
def folder(tmp_path):
    write_rows(tmp_path / "train.jsonl", build_commands())
    write_rows(tmp_path / "test.jsonl", build_commands(30))
    return tmp_path


def write_config(folder, model, /, **sections):
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(build_mapping(model, **sections)))
    return path


def execute(folder, model, /, name="run", **sections):
    events = []
    config = resolve_config(build_mapping(model, **sections))
    report = execute_run(config, folder / name, folder=folder, emit=events.append)
    return report, events


def test_folder_and_report(folder, backbone):
    report, events = execute(folder, backbone)
    prune_checkpoints(folder / "run", 0)
    names = {str(path.relative_to(folder / "run")) for path in (folder / "run").rglob("*") if path.is_file()}
    assert names == {
        "config.yaml", "events.jsonl", "report.json", "predictions/validation.parquet", "predictions/test.parquet",
        "model/config.yaml", "model/tasks.json", "model/chain.safetensors",
    }  # fmt: skip
    assert json.loads((folder / "run" / "report.json").read_text()) == json.loads(json.dumps(report))
    assert set(report["test"]["intent"]) == {"accuracy", "macro_f1", "weighted_f1"}
    assert {"entity_f1", "token_accuracy", "token_micro_f1", "token_macro_f1"} <= set(report["test"]["slots"])
    assert set(report["test"]["joint"]) == {"exact_match"}
    assert set(report["depths"]["test"]) == {"1", "2"}
    assert set(report["seconds"]) == {"features", "training", "total"}
    assert len(report["parameters"]["per_link"]) == 2
    logged = [json.loads(line) for line in (folder / "run" / "events.jsonl").read_text().splitlines()]
    assert logged == json.loads(json.dumps(events))
    assert [event["phase"] for event in events if event["kind"] == "phase"] == [
        "reading", "features", "training", "features", "evaluating", "saving",
    ]  # fmt: skip
    assert events[-1]["kind"] == "done"


def test_data_alone_is_a_valid_file(folder, backbone):
    """Neither test rows nor anything else: validation rows are drawn, heads and input inferred."""
    config = resolve_config({"data": {"train": "train.jsonl"}, "backbone": {"name": str(backbone)}})
    report = execute_run(config, folder / "run", folder=folder, emit=lambda event: None)
    assert "slots" in report["validation"]
    assert not (folder / "run" / "predictions" / "test.parquet").exists()


def test_written_config_is_complete_and_gives_the_same_numbers(folder, backbone, tmp_path_factory):
    first, _ = execute(folder, backbone)
    written = resolve_config(load_yaml((folder / "run" / "config.yaml").read_text()))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    second = execute_run(written, elsewhere / "run", folder=elsewhere, emit=lambda event: None)
    for part in ("test", "validation", "depths"):
        assert first[part] == second[part]


def test_predictions_file_and_predictor_agree(folder, backbone):
    execute(folder, backbone)
    saved = load_predictions(folder / "run" / "predictions" / "test.parquet")
    predictor = load_predictor(folder / "run")
    answers = list(predictor.predict([{"tokens": tokens} for tokens in saved.table["tokens"].to_pylist()]))
    assert [answer["heads"]["intent"]["2"]["label"] for answer in answers] == saved.get_predicted("intent", 2)
    assert [answer["heads"]["slots"]["2"]["tags"] for answer in answers] == saved.get_predicted("slots", 2)
    confidences = [answer["heads"]["intent"]["1"]["confidence"] for answer in answers]
    np.testing.assert_allclose(confidences, saved.get_confidence("intent", 1), atol=5e-3)
    for answer in answers:
        assert sum(answer["heads"]["intent"]["2"]["probabilities"].values()) == pytest.approx(1, abs=1e-3)


def test_a_tuned_threshold_is_taken_home(folder, backbone):
    """Where three entities of five were overlooked, the likeliest answer is none at all."""
    rows = [{**row, "slots": ["O"] * 7} if number % 5 < 3 else row for number, row in enumerate(build_commands())]
    write_rows(folder / "train.jsonl", rows)
    heads = {"slots": {"kind": "tagging", "column": "slots", "threshold": "tuned"}}
    report, events = execute(folder, backbone, heads=heads)
    [note] = [event for event in events if event["kind"] == "note" and event["code"] == "threshold_tuned"]
    assert note["params"]["after"] == pytest.approx(report["validation"]["slots"]["entity_f1"], abs=1e-4)
    assert note["params"]["after"] > note["params"]["before"]
    saved = load_predictions(folder / "run" / "predictions" / "test.parquet")
    answers = list(
        load_predictor(folder / "run").predict([{"tokens": tokens} for tokens in saved.table["tokens"].to_pylist()])
    )
    assert [answer["heads"]["slots"]["2"]["tags"] for answer in answers] == saved.get_predicted("slots", 2)


def test_predictor_splits_plain_text(folder, backbone):
    execute(folder, backbone)
    (answer,) = load_predictor(folder / "run").predict([{"text": "turn the red light"}])
    assert answer["tokens"] == ["turn", "the", "red", "light"]
    assert len(answer["heads"]["slots"]["2"]["tags"]) == 4


@pytest.mark.parametrize("tuning", [tuning for tuning in TUNINGS if tuning != "frozen"])
def test_tuned_bundles_come_back(folder, backbone, tuning):
    settings = {"epochs": 2, "backbone_learning_rate": 0.01, "precision": "fp32"}
    report, _ = execute(
        folder, backbone, backbone={"name": str(backbone), "tuning": tuning, "layers": 2}, train=settings
    )
    kept = load_file(folder / "run" / "model" / "chain.safetensors")
    assert sum(value.numel() for value in kept.values()) >= report["parameters"]["trainable"]
    if tuning not in ("full", "norm"):
        assert all(is_added(name) for name in kept if name.startswith("upper."))
    saved = load_predictions(folder / "run" / "predictions" / "test.parquet")
    answers = list(load_predictor(folder / "run").predict([{"tokens": t} for t in saved.table["tokens"].to_pylist()]))
    assert [answer["heads"]["intent"]["2"]["label"] for answer in answers] == saved.get_predicted("intent", 2)
    confidences = [answer["heads"]["intent"]["2"]["confidence"] for answer in answers]
    np.testing.assert_allclose(confidences, saved.get_confidence("intent", 2), atol=5e-3)


def test_learned_loss_weights_are_told_and_kept(folder, backbone):
    _, events = execute(folder, backbone, train={"epochs": 2, "loss_weights": "uncertainty"})
    steps = [event for event in events if event["kind"] == "step"]
    assert set(steps[0]["weights"]) == {"intent@1", "intent@2", "slots@2", "score@2"}
    assert steps[0]["weights"] != steps[-1]["weights"]
    load_predictor(folder / "run")


def test_heads_and_input_are_inferred(folder, backbone):
    mapping = build_mapping(backbone, heads=None, input={})
    config = resolve_config(mapping)
    events = []
    execute_run(config, folder / "run", folder=folder, emit=events.append)
    written = load_yaml((folder / "run" / "config.yaml").read_text())
    assert written["input"]["tokens"] == "tokens"
    assert {name: head["kind"] for name, head in written["heads"].items()}["slots"] == "tagging"
    assert {event["code"] for event in events if event["kind"] == "note"} >= {"heads_inferred", "input_inferred"}


def test_stop_before_training_writes_no_model(folder, backbone):
    config = resolve_config(build_mapping(backbone))
    events = []
    report = execute_run(config, folder / "run", folder=folder, emit=events.append, read_control=lambda: "stop")
    assert report == {}
    assert events[-1] == {"kind": "done", "reason": "stopped", "report": {}, "seconds": events[-1]["seconds"]}
    with pytest.raises(RunError):
        load_predictor(folder / "run")


def test_truncated_texts_are_counted(folder, backbone):
    _, events = execute(folder, backbone, input={"tokens": "tokens", "max_length": 6})
    notes = {event["code"]: event["params"] for event in events if event["kind"] == "note"}
    assert notes["texts_truncated"]["rows"] == 150


def test_command_line_from_training_to_prediction(folder, backbone, capsys, monkeypatch):
    config = write_config(folder, backbone)
    run = str(folder / "out")
    assert main(["train", str(config), "--out", run, "--set", "train.epochs=2"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads((folder / "out" / "report.json").read_text())
    assert "epoch 2/2" in printed.err
    table = str(folder / "answers.parquet")
    assert main(["evaluate", run, str(folder / "test.jsonl"), "--out", table]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["test"]["intent"] == json.loads(printed.out)["test"]["intent"]
    assert pq.read_table(table).num_rows == 30
    assert main(["predict", run, str(folder / "test.jsonl")]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 30
    assert set(answers[0]["heads"]) == {"intent", "slots", "score"}
    assert main(["predict", run, str(folder / "test.jsonl"), "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 31
    assert "intent@2" in lines[0]


def test_stages_are_named_as_they_begin(folder, backbone, capsys):
    stages = [{"name": "short", "depth": 1, "epochs": 1}, {"name": "whole", "epochs": 2}]
    config = write_config(folder, backbone, stages=stages)
    assert main(["train", str(config), "--out", str(folder / "out")]) == 0
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith(("Stage", "short", "whole"))]
    assert lines[0] == "Stage 1, short: tasks, 1 epoch, 1 link"
    assert lines[1].startswith("short: epoch 1/3  intent@1 accuracy")
    assert lines[2] == "Stage 2, whole: tasks, 2 epochs, 2 links"
    assert lines[4].startswith("whole: epoch 3/3")
    assert json.loads(printed.out)["stages"][0]["best_epoch"] == 1


def test_standard_input(folder, backbone):
    execute(folder, backbone)
    done = subprocess.run(
        [sys.executable, "-m", "chain_core", "predict", str(folder / "run"), "-"],
        input='turn on the light\n\n{"tokens": ["stop", "music"]}\n', capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["tokens"] for line in done.stdout.splitlines()] == [
        ["turn", "on", "the", "light"], ["stop", "music"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trian": {}}, "train"),
        ({"chain": {"links": {"densty": 1}}}, "chain.links.densty"),
        ({"chain": {"depth": 40}}, "chain.depth"),
        ({"chain": {"depth": 2, "taps": [1, 9]}}, "chain.taps[1]"),
        ({"backbone": {"tuning": "lora", "rank": 0}}, "backbone.rank"),
        ({"backbone": {"name": "/no/folder"}}, "/no/folder"),
        ({"data": {"train": "nowhere.csv"}}, "nowhere.csv"),
        ({"input": {"tokens": "tokns"}}, "tokens"),
        ({"heads": {"x": {"kind": "classification", "column": "intnt"}}}, "intent"),
        ({"train": {"device": "cuda:77"}}, "train.device"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_status_2(folder, backbone, capsys, change, words):
    config = write_config(folder, backbone, **change)
    assert main(["train", str(config), "--out", str(folder / "out")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    last = printed.err.strip().splitlines()[-1]
    assert words in last
    assert "Traceback" not in printed.err


def test_missing_config_and_model(folder, capsys):
    assert main(["train", str(folder / "none.yaml")]) == 2
    assert main(["predict", str(folder)]) == 2
    assert main(["evaluate", str(folder), str(folder / "test.jsonl")]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_command_line_lists_and_clears_what_is_cached(folder, backbone, capsys):
    execute(folder, backbone)
    assert main(["cache"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert sorted((entry["kind"], entry["data"], entry["rows"]) for entry in listed["entries"]) == [
        ("rows", folder.name, 150), ("states", folder.name, 120), ("states", f"{folder.name}/test", 30),
    ]  # fmt: skip
    assert {entry["backbone"] for entry in listed["entries"]} == {"bert"}
    assert not any(entry["in_use"] for entry in listed["entries"])
    assert main(["cache", "--limit", "1.5"]) == 0
    assert json.loads(capsys.readouterr().out)["limit"] == 1_500_000_000
    assert main(["cache", "--clear"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == []
    assert main(["cache", "--limit", "-1"]) == 2


def test_the_limit_holds_after_a_run_which_is_told(folder, backbone):
    save_limit(100)
    _, events = execute(folder, backbone)
    notes = {event["code"]: event["params"] for event in events if event["kind"] == "note"}
    assert notes["cache_over_limit"]["needed"] > notes["cache_over_limit"]["limit"]
    assert list_entries() == []


def test_a_second_run_neither_tokenises_nor_runs_the_backbone(folder, backbone, monkeypatch):
    first, _ = execute(folder, backbone)

    def refuse(*args, **options):
        raise AssertionError("computed again")

    monkeypatch.setattr("chain_core.data.encoded_files.encode_chunks", refuse)
    monkeypatch.setattr("chain_core.training.hidden.load_lower", refuse)
    second, _ = execute(folder, backbone, name="again")
    assert first["test"] == second["test"]


EVERYTHING = {
    "depth": 4,
    "width": 32,
    "links": [
        {"kind": "conv", "kernel": 3},
        {"kind": "backbone", "tie": "backbone", "init": "backbone"},
        {"kind": "backbone", "tie": 2, "detach": True},
        {"kind": "attention", "init": "backbone", "density": 0.5},
    ],
}


@pytest.mark.parametrize("tuning", [{}, {"tuning": "full", "layers": 3}], ids=["frozen", "tuned"])
def test_chains_of_every_kind_train_are_reported_and_come_back(folder, backbone, tuning):
    heads = {
        "intent": {"kind": "classification", "column": "intent", "depths": [0, 2, 4], "mixture": True},
        "slots": {"kind": "tagging", "column": "slots", "depths": [1, 4], "share": True},
    }
    report, _ = execute(folder, backbone, chain=EVERYTHING, heads=heads, backbone={"name": str(backbone), **tuning})
    counts = report["parameters"]["per_link"]
    assert counts[2] == 2 * 32 + 32 * 32 + 32  # what it joins its tap with; the rest is link 2's
    assert counts[1] == counts[2] + 2 * (32 * 32 + 32)  # and two projections: the layer is the backbone's
    assert set(report["depths"]["test"]) == {"1", "4"}
    saved = load_predictions(folder / "run" / "predictions" / "test.parquet")
    answers = list(load_predictor(folder / "run").predict([{"tokens": t} for t in saved.table["tokens"].to_pylist()]))
    for answer, label in zip(answers, saved.get_predicted("intent", 4), strict=True):
        assert list(answer["heads"]["intent"]) == ["4"]
        assert answer["heads"]["intent"]["4"]["label"] == label
    assert [list(answer["heads"]["slots"]) for answer in answers[:1]] == [["1", "4"]]


def test_a_budget_is_spent_and_the_written_config_spends_the_same(folder, backbone):
    chain = {"depth": 2, "width": 32, "budget": "8k", "densities": "growing"}
    report, events = execute(folder, backbone, chain=chain)
    (note,) = [event for event in events if event.get("code") == "budget_spent"]
    assert sum(report["parameters"]["per_link"]) == note["params"]["parameters"] <= 8_000
    written = resolve_config(load_yaml((folder / "run" / "config.yaml").read_text()))
    assert written.chain.budget is None
    again = execute_run(written, folder / "again", folder=folder, emit=lambda event: None)
    assert again["parameters"] == report["parameters"]
    assert again["test"] == report["test"]


def test_several_data_sets_from_the_config_to_the_answers(folder, backbone, capsys):
    other = [
        {"question": "turn on", "reply": row["text"], "intent": f"other-{number % 2}"}
        for number, row in enumerate(build_commands(40))
    ]
    write_rows(folder / "pairs.jsonl", other)
    also = {"pairs": {"data": {"train": "pairs.jsonl", "test": 0.3}, "input": {"text": "question", "pair": "reply"}}}
    topic = {"kind": "classification", "column": "intent", "data": "pairs"}
    config = write_config(folder, backbone, also=also, heads={**HEADS, "topic": topic})
    run = folder / "out"
    assert main(["train", str(config), "--out", str(run)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["test"]) == {"intent", "slots", "score", "topic", "joint"}
    saved = load_predictions(run / "predictions" / "test.parquet")
    columns = saved.table.to_pydict()
    count = len(columns["row"]) - 30
    assert count > 8
    assert columns["tokens"][:30] == [row["tokens"] for row in build_commands(30)]
    assert columns["tokens"][30:] == [None] * count
    assert columns["pair"][:30] == [None] * 30
    assert set(columns["text"][30:]) == {"turn on"}
    assert columns["gold:intent"][30:] == [None] * count
    joint = compute_joint_share(
        {head: (saved.heads[head].kind, saved.get_gold(head), saved.get_predicted(head, saved.heads[head].depths[-1]))
         for head in ("intent", "slots", "topic")},
        {"intent": "", "slots": "", "topic": "pairs"},
    )  # fmt: skip
    assert report["test"]["joint"] == {"exact_match": joint}
    assert main(["evaluate", str(run), str(folder / "pairs.jsonl")]) == 0
    assert set(json.loads(capsys.readouterr().out)["test"]) == {"topic", "joint"}
    assert main(["evaluate", str(run), str(folder / "test.jsonl")]) == 0
    assert set(json.loads(capsys.readouterr().out)["test"]) == {"intent", "slots", "score", "joint"}
    assert main(["predict", str(run), str(folder / "pairs.jsonl")]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {tuple(answer["heads"]) for answer in answers} == {("topic",)}
    assert answers[0]["pair"] == other[0]["reply"]
    written = resolve_config(load_yaml((run / "config.yaml").read_text()))
    assert written.also["pairs"].data.train == str(folder / "pairs.jsonl")


def test_a_chain_that_has_not_grown_answers_as_it_was_judged(folder, backbone):
    execute(folder, backbone, stages=[{"depth": 1, "epochs": 2}], chain={"depth": 2, "width": 32, "links": [
        {"kind": "attention"}, {"kind": "attention", "init": "random"},
    ]})  # fmt: skip
    saved = load_predictions(folder / "run" / "predictions" / "test.parquet")
    predictor = load_predictor(folder / "run")
    assert predictor.bundle.model.chain.active_depth == 1
    answers = list(predictor.predict([{"tokens": tokens} for tokens in saved.table["tokens"].to_pylist()]))
    assert [answer["heads"]["intent"]["2"]["label"] for answer in answers] == saved.get_predicted("intent", 2)


def test_tensorboard_files_stand_beside_the_run(folder, backbone, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as where it is not installed
    settings = {"epochs": 1, "batch_size": 16, "trackers": ["tensorboard", "mlflow"]}
    _, events = execute(folder, backbone, train=settings)
    assert list((folder / "run" / "tensorboard").glob("events.*"))
    notes = [event["params"]["tracker"] for event in events if event.get("code") == "tracker_missing"]
    assert notes == ["mlflow"]
    assert events[-1]["reason"] == "finished"
