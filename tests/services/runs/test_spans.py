"""Runs that look for spans, from the rows to the answers: question answering, and relations by marks and by columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chain_core.cli.main import main
from chain_core.config import resolve_config
from chain_core.errors import DataError
from chain_core.reports.examples import compute_examples, filter_examples, list_labels
from chain_core.reports.frames import compute_answer_misses, compute_class_report
from chain_core.reports.page import render_page
from chain_core.reports.predictions import load_predictions
from chain_core.reports.wording import build_say
from chain_core.services.runs.execute import execute_run
from chain_core.services.runs.predictor import evaluate_file, load_predictor
from tests.tiny import write_rows

COLOURS, PLACES = ("red", "green", "warm", "cold"), ("kitchen", "hall")


def build_rows(count: int = 96) -> list[dict[str, Any]]:
    """Rows with an answer (every sixth none, every tenth unlabelled) and a relation: the order of its spans."""
    rows = []
    for number in range(count):
        colour, place = COLOURS[number % 4], PLACES[number // 4 % 2]
        turned = number % 2 == 1
        first, second = f"<e1>{place}</e1>", f"<e2>{colour}</e2>"
        context = f"turn on the {colour} light in the {place}" if turned else f"the {place} a b {colour} music on"
        answer: Any = colour if number % 3 else [colour, f"the {colour}"]
        if number % 6 == 5:
            context, answer = f"turn on the light in the {place}", ""
        rows.append(
            {
                "question": "light day",
                "context": context,
                "answer": None if number % 10 == 9 else answer,
                "marked": f"{first} the {second}" if turned else f"{second} {first}",
                "tokens": [place, "the", colour] if turned else [colour, place],
                "first": [0, 1] if turned else [1, 2],
                "second": "2-3" if turned else "0-1",
                "relation": None if number % 10 == 9 else "turned" if turned else "straight",
            }
        )
    return rows


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("spans") / "rows.jsonl", build_rows())


HEADS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "answer": (
        {"text": "question", "pair": "context"},
        {"kind": "span", "column": "answer", "depths": [0, 2]},
    ),
    "marks": ({"text": "marked"}, {"kind": "relation", "column": "relation"}),
    "columns": ({"tokens": "tokens"}, {"kind": "relation", "column": "relation", "spans": ["first", "second"]}),
}


@pytest.fixture(scope="module")
def runs(table: Path, backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Name of HEADS -> the folder of a short run."""
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAIN_HOME", str(root / "home"))
        for name, (columns, head) in HEADS.items():
            config = {
                "name": name,
                "data": {"train": str(table), "validation": 0.2, "test": 0.2},
                "input": columns,
                "backbone": {"name": str(backbone)},
                "chain": {"depth": 2, "width": 32},
                "heads": {name: head},
                "train": {"epochs": 12, "batch_size": 16, "learning_rate": 3e-3},
            }
            execute_run(resolve_config(config), root / name, folder=root, emit=lambda event: None)
    return {name: root / name for name in HEADS}


def read_report(run: Path) -> dict[str, Any]:
    return json.loads((run / "report.json").read_text())


def test_answers_are_learned_and_reported(runs: dict[str, Path], table: Path) -> None:
    report = read_report(runs["answer"])
    assert report["test"]["answer"]["token_f1"] > 0.6
    assert set(report["test"]["answer"]) == {"token_f1", "exact_match"}
    assert set(report["depths"]["test"]) == {"0", "2"}
    predictions = load_predictions(runs["answer"] / "predictions" / "test.parquet")
    gold, said = predictions.get_gold("answer"), predictions.get_predicted("answer", 2)
    contexts = predictions.table.column("pair").to_pylist()
    assert [] in gold
    assert all(answer in context for answer, context in zip(said, contexts, strict=True))
    examples = compute_examples(predictions)
    wrong = filter_examples(examples, predictions, show="wrong")
    assert len(wrong) < len(examples)
    assert list_labels(examples, predictions, "answer") == []
    assert len(compute_class_report(predictions, "answer", 2)) == 0
    misses = compute_answer_misses(predictions, "answer", 0)
    assert misses["token_f1"].is_monotonic_increasing
    assert "token F1" in render_page(predictions, examples, build_say("en")).replace("Token", "token")
    again, _ = evaluate_file(runs["answer"], table)
    assert again["test"]["answer"]["token_f1"] > 0.6


def test_an_answer_is_cut_from_the_text_that_is_asked(runs: dict[str, Path]) -> None:
    predictor = load_predictor(runs["answer"])
    row = {"text": "light day", "pair": "the  HALL a b Green music on"}
    (answer,) = predictor.predict([row])
    said = answer["heads"]["answer"]["2"]
    assert said["answer"] in row["pair"]
    assert 0 < said["confidence"] <= 1


@pytest.mark.parametrize("name", ["marks", "columns"])
def test_relations_are_learned(runs: dict[str, Path], name: str) -> None:
    assert read_report(runs[name])["test"][name]["accuracy"] > 0.9
    predictions = load_predictions(runs[name] / "predictions" / "test.parquet")
    assert "<e1>" in predictions.table.column("text")[0].as_py()
    assert set(compute_class_report(predictions, name, 2)["part"]) >= {"class", "accuracy"}


def test_marks_and_columns_tell_the_same(runs: dict[str, Path]) -> None:
    predictor = load_predictor(runs["columns"])
    record = {"tokens": ["hall", "the", "red"], "first": "0-1", "second": [2, 3]}
    typed = {"text": "<e1>hall</e1> the <e2>red</e2>"}
    by_columns, by_marks = predictor.predict([predictor.pick(record), typed])
    assert by_columns == by_marks
    assert by_marks["text"] == typed["text"]
    assert by_marks["tokens"] == record["tokens"]
    assert by_marks["heads"]["columns"]["2"]["label"] == "turned"


@pytest.mark.parametrize("name", ["marks", "columns"])
def test_rows_without_spans_are_named(runs: dict[str, Path], name: str) -> None:
    predictor = load_predictor(runs[name])
    with pytest.raises(DataError) as caught:
        list(predictor.predict([{"text": "<e1>hall</e1> <e2>red</e2>"}, {"text": "hall red"}]))
    assert (caught.value.code, caught.value.params["row"]) == ("row_without_spans", 2)


def test_the_command_line_answers(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write_rows(tmp_path / "new.jsonl", [{"question": "light day", "context": "the hall a b red music on"}])
    assert main(["predict", str(runs["answer"]), str(rows), "--format", "csv"]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert "answer@2" in header
    assert "the hall a b red music on" in line


def test_what_was_cut_off_teaches_nothing(table: Path, backbone: Path, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    columns, head = HEADS["answer"]
    config = {
        "data": {"train": str(table)},
        "input": {**columns, "max_length": 9},
        "backbone": {"name": str(backbone)},
        "chain": {"depth": 1, "width": 16},
        "heads": {"answer": {**head, "depths": ["last"]}},
        "train": {"epochs": 1},
    }
    execute_run(resolve_config(config), tmp_path / "run", folder=tmp_path, emit=events.append)
    cut = next(event for event in events if event.get("code") == "spans_cut")
    assert cut["params"]["rows"] > 0
