"""`train --resume` where the run has finished: said in one sentence, and nothing is touched."""

from __future__ import annotations

import json

import pytest
import yaml

from chain_core.cli.main import main
from chain_core.services.runs.checkpoint_names import find_step
from chain_core.services.runs.finished import is_finished
from tests.tiny import build_commands, write_rows


def read_folder(out):
    """File -> its bytes and when it was written."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.rglob("*") if path.is_file()}


@pytest.fixture
def train(tmp_path, backbone):
    """The command on a small file that leaves heads and densities open; its status."""
    write_rows(tmp_path / "train.jsonl", build_commands(40))
    mapping = {
        "data": {"train": "train.jsonl", "validation": 0.25},
        "backbone": {"name": str(backbone)},
        "chain": {"depth": 1, "width": 16, "budget": 5000},
        "train": {"epochs": 1, "precision": "fp32", "device": "cpu"},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(mapping))

    def call(*arguments):
        return main(["train", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "out"), *arguments])

    return call


def test_a_finished_run_is_said_to_be_so(train, tmp_path, capsys):
    out = tmp_path / "out"
    assert not is_finished(out)
    assert train("--resume") == 0, "nothing there yet: it begins"
    report = json.loads(capsys.readouterr().out)
    assert find_step(out) is None, "nobody goes on with it"
    before = read_folder(out)
    assert train("--resume") == 0
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert f"The run in {out} has finished" in told.err
    assert "--out" in told.err
    assert json.loads(told.out) == report
    assert train("--resume", "--set", "train.seed=1") == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert "another config" in told.err
    assert not told.out
    assert read_folder(out) == before


@pytest.mark.parametrize("last", ["", '{"kind": "step"}', '{"kind": "done", "reason": "stopped"}', '{"kind": "do'])
def test_what_has_not_finished_can_go_on(tmp_path, last):
    (tmp_path / "report.json").write_text("{}")
    (tmp_path / "events.jsonl").write_text(f'{{"kind": "done", "reason": "finished"}}\n{last}')
    assert is_finished(tmp_path) == (last == "")
