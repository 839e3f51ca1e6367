"""The command line: rows from standard input, and what the file system refuses, each in one line."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import yaml

from chain_core.cli.main import main
from chain_core.cli.parts import slug
from chain_core.config import resolve_config
from chain_core.services.runs.execute import execute_run
from tests.tiny import build_commands, write_rows


@pytest.fixture(scope="module")
def run(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run that reads tokens."""
    folder = tmp_path_factory.mktemp("cli")
    write_rows(folder / "train.jsonl", build_commands(30))
    mapping = {
        "data": {"train": "train.jsonl", "validation": 0.2}, "input": {"tokens": "tokens"},
        "backbone": {"name": str(backbone)}, "chain": {"depth": 1, "width": 16},
        "heads": {"intent": {"kind": "classification", "column": "intent"}}, "train": {"epochs": 1},
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAIN_HOME", str(folder / "workspace"))
        execute_run(resolve_config(mapping), folder / "run", folder=folder, emit=lambda event: None)
    return folder / "run"


@pytest.fixture
def config(tmp_path: Path, backbone: Path) -> Path:
    write_rows(tmp_path / "train.jsonl", build_commands(30))
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"data": {"train": "train.jsonl"}, "backbone": {"name": str(backbone)}}))
    return path


def predict(monkeypatch: pytest.MonkeyPatch, run: Path, lines: bytes) -> int:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines), encoding="ascii"))
    return main(["predict", str(run), "-"])


def test_a_line_of_stdin_is_a_row_whatever_it_holds(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (
        '\ufeff{"text": "turn on"}\r\n'
        "one\u2028row\x0cwith\x85breaks\r\n"
        "\r\n"
        '{"text": "half a \\ud800 pair"}\n'
        '{"tokens": ["stop", "\\udfff"], "more\\ud800": {"\\ud800": 1}}\n'
        '{"tokens": "play music"}'
    )
    assert predict(monkeypatch, run, lines.encode()) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.split("\n") if line]
    assert [answer["tokens"] for answer in answers] == [
        ["turn", "on"], ["one", "row", "with", "breaks"], ["half", "a", "?", "pair"], ["stop", "?"], ["play", "music"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (b"\xef\xbb\xbffine\n\n\xff\xfe\n", "Line 3 holds bytes"),
        (b'fine\n{"tokens": 5}', "line 2: The tokens of a row are neither text nor a list: “5”"),
        (b'{"tokens": {"a": 1}}', "line 1: The tokens"),
        (b'fine\n{"text": ' + b'{"a":' * 50_000, "Line 2 is not valid JSON"),
        (b'fine\n{"other": 5}', "line 2: A row lacks"),
        (b"\n\r\n", "no rows"),
    ],
)
def test_a_line_of_stdin_that_is_no_row_is_named(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lines: bytes, words: str
) -> None:
    assert predict(monkeypatch, run, lines) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_a_place_that_takes_no_folder_is_one_line(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.txt").write_text("mine")
    for out in ("report.txt", "report.txt/run", "x" * 300):
        for command in (["train", str(config)], ["sweep", str(config), "--axis", "chain.depth=0,1"]):
            assert main([*command, "--out", str(tmp_path / out)]) == 2
            assert capsys.readouterr().err.splitlines()[-1].startswith(f"Nothing can be written to {tmp_path / out}: ")
    assert (tmp_path / "report.txt").read_text() == "mine"


@pytest.mark.parametrize("out", ["here", "x" * 300, "file/predictions"])
def test_a_place_that_takes_no_predictions_is_said_before_a_row_is_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "file").write_text("")
    assert main(["evaluate", str(tmp_path / "no-run"), "rows.csv", "--out", str(tmp_path / out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Nothing can be written to {tmp_path}/{out.partition('/')[0]}")


def test_a_run_or_rows_that_cannot_be_there_are_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    away = str(tmp_path / ("x" * 300))
    for command in (["predict", away], ["predict", str(run), away], ["evaluate", str(run), away]):
        assert main(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert away in line


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("a/b: c", "a-b--c"),
        ("..", "run"),
        ("x" * 300, "x" * 200),
        ("链" * 86, "链" * 66),
        ("." * 300 + "x", "x"),
        ("half \ud800", "half"),
    ],
)
def test_any_name_is_a_folders_name(tmp_path: Path, name: str, folder: str) -> None:
    assert slug(name) == folder
    (tmp_path / slug(name)).mkdir()
