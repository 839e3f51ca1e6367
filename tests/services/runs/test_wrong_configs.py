"""A wrong config fails before a run exists: the page and the run say the same, and a folder keeps what it held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chain_core.cli.main import main
from chain_core.config import dump_mapping, resolve_config
from chain_core.errors import ChainError
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.services.drafts.checks import complete_draft, inspect_draft
from chain_core.services.runs.execute import execute_run
from tests.tiny import build_commands, save_tiny_backbone, save_tiny_translator, write_rows

HEADS = {"intent": {"kind": "classification", "column": "intent"}}


def build_mapping(model: Path, /, **sections: Any) -> dict[str, Any]:
    return {
        "data": {"train": "train.jsonl", "validation": 0.25},
        "input": {"text": "text"},
        "chain": {"depth": 2, "width": 32},
        "heads": HEADS,
        "train": {"epochs": 1, "learning_rate": 5e-3},
        **sections,
        "backbone": {"name": str(model), **sections.get("backbone", {})},
    }


@pytest.fixture(scope="module")
def folder(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tuned run that is finished, with rows, texts and models of all sorts beside it."""
    folder = tmp_path_factory.mktemp("wrong")
    write_rows(folder / "train.jsonl", build_commands())
    write_rows(folder / "bare.jsonl", [{"words": f"turn on {number}", "score": 0.5} for number in range(9)])
    write_rows(folder / "gone.jsonl", build_commands())
    save_tiny_translator(folder / "there")
    save_tiny_backbone(folder / "opt", "opt")
    (folder / "back").mkdir()
    for name, train in (("run", "train.jsonl"), ("lost", "gone.jsonl")):
        tuned = build_mapping(backbone, backbone={"tuning": "lora", "rank": 4, "layers": 1}, data={"train": train})
        execute_run(resolve_config(tuned), folder / name, folder=folder, emit=lambda event: None)
    (folder / "gone.jsonl").unlink()
    return folder


def read_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


ALSO = {"more": {"data": {"train": "train.jsonl"}, "input": {"text": "text", "max_length": 8000}}}
TUNED = {"tuning": "lora", "rank": 4, "layers": 1}
UNJUDGED = {"train": "train.jsonl", "validation": "bare.jsonl"}
WRONG: list[tuple[str, str, dict[str, Any]]] = [
    ("chain.taps[0]", "tap_beyond", {"chain": {"depth": 2, "width": 32, "taps": [9, 9]}}),
    ("input.max_length", "must_be_at_most", {"input": {"text": "text", "max_length": 600}}),
    (
        "also.more.input.max_length",
        "must_be_at_most",
        {"also": ALSO, "heads": {**HEADS, "other": {"kind": "regression", "column": "score", "data": "more"}}},
    ),
    ("also.more.data", "file_missing", {"also": {"more": {"data": {"train": "no.csv"}}}, "heads": None}),
    ("backbone.layers", "must_be_at_most", {"backbone": {"tuning": "full", "layers": 9}}),
    ("stages[0].data", "column_missing", {"stages": [{"objective": "next_sentence", "data": "bare.jsonl"}, {}]}),
    ("stages[0].data", "data_set_unknown", {"stages": [{"objective": "next_sentence", "data": "zzz"}, {}]}),
    (
        "augment.back_translation",
        "translation_missing",
        {"augment": {"copies": 1, "back_translation": ["there", "back"]}},
    ),
    ("chain.width", "start_width", {"start": {"run": "run"}, "backbone": TUNED, "chain": {"depth": 2, "width": 16}}),
    ("backbone.tuning", "start_tuning", {"start": {"run": "run"}}),
    ("backbone.tuning", "start_tuning", {"start": {"run": "run"}, "backbone": {**TUNED, "rank": 8}}),
    ("backbone.tuning", "start_tuning", {"start": {"run": "run"}, "backbone": {**TUNED, "targets": ["query"]}}),
    (
        "start.replay",
        "start_no_heads",
        {
            "start": {"run": "run", "replay": 0.5},
            "backbone": TUNED,
            "heads": {"intent": {"kind": "regression", "column": "score"}},
        },
    ),
    ("start.replay", "data_set_unknown", {"start": {"run": "lost", "replay": 0.5}, "backbone": TUNED}),
    ("heads.a", "column_missing", {"heads": {"a": {"kind": "classification", "column": "intend"}}}),
    ("data", "split_value", {"data": {"train": "train.jsonl", "split": "intent"}}),
    ("train.metric", "metric_unlabelled", {"data": UNJUDGED, "train": {"metric": "intent/accuracy"}}),
    ("train.metric", "metric_unlabelled", {"data": UNJUDGED, "train": {"metric": "joint/exact_match"}}),
    ("start.run", "start_missing", {"start": {"run": "nowhere"}}),
]


@pytest.mark.parametrize(("path", "code", "sections"), WRONG, ids=[f"{path}-{code}" for path, code, _ in WRONG])
def test_the_page_and_the_run_say_what_is_wrong_and_nothing_is_lost(
    folder: Path, backbone: Path, path: str, code: str, sections: dict[str, Any]
) -> None:
    mapping = build_mapping(backbone, **sections)
    found = inspect_draft(complete_draft(mapping, folder), folder, read_facts(str(backbone))).problems
    before = read_files(folder)
    with pytest.raises(ChainError) as caught:
        execute_run(resolve_config(mapping), folder / "run", folder=folder, emit=lambda event: None)
    assert read_files(folder) == before
    assert str(caught.value).startswith(f"{path}: ")
    assert caught.value.code.startswith(code)
    assert str(caught.value) in [
        str(problem.error) for problem in found if problem.path in (path, path.partition(".")[0])
    ]


def test_a_start_with_the_same_tuning_is_no_problem(folder: Path, backbone: Path) -> None:
    for tuning in (TUNED, {**TUNED, "targets": ["query", "key", "value", "dense"]}, {**TUNED, "tuning": "rslora"}):
        mapping = build_mapping(backbone, start={"run": "run", "replay": 0.5}, backbone=tuning)
        assert inspect_draft(mapping, folder, read_facts(str(backbone))).problems == ()


def test_a_start_needs_the_same_backbone(folder: Path) -> None:
    mapping = build_mapping(folder / "opt", start={"run": "run"})
    (problem,) = inspect_draft(mapping, folder, read_facts(str(folder / "opt"))).problems
    assert (problem.path, problem.error.code) == ("start.run", "start_backbone")


def test_a_wrong_config_leaves_no_folder_behind(
    folder: Path, backbone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    (folder / "run.yaml").write_text(dump_mapping(build_mapping(backbone)))
    assert main(["train", "run.yaml", "--out", "new", "--set", "input.max_length=600"]) == 2
    assert "input.max_length: 600 is out of range" in capsys.readouterr().err
    assert not (folder / "new").exists()
