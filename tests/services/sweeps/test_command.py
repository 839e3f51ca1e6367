"""`sweep` on the command line: a real tiny backbone, runs one after the other, resumed, pruned, told in words."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from chain_core.cli.main import main
from chain_core.services.runs import execute as executing
from tests.tiny import build_commands, save_tiny_backbone, write_rows

Sweep = Callable[..., int]


@pytest.fixture
def sweep(tmp_path: Path, backbone: Path) -> Sweep:
    write_rows(tmp_path / "train.jsonl", build_commands(60))
    mapping = {
        "name": "tiny", "data": {"train": "train.jsonl", "validation": 0.3}, "input": {"tokens": "tokens"},
        "backbone": {"name": str(backbone)}, "chain": {"depth": 1, "width": 16},
        "heads": {"intent": {"kind": "classification", "column": "intent"}},
        "train": {"epochs": 2, "batch_size": 16},
    }  # fmt: skip
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(mapping))

    def run(*arguments: str) -> int:
        return main(["sweep", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "out"), *arguments])

    return run


def read_json(tmp_path: Path) -> dict[str, Any]:
    return json.loads((tmp_path / "out" / "sweep.json").read_text())


def test_a_depth_sweep_reads_the_backbone_once(sweep: Sweep, tmp_path: Path, home: Path, monkeypatch: Any) -> None:
    from chain_core.modeling.backbones import features

    passes: list[list[int]] = []
    monkeypatch.setattr(features, "SPARE_ROWS", 0)
    before = features.run_passes
    monkeypatch.setattr(features, "run_passes", lambda *given: passes.append(sorted(given[2])) or before(*given))
    assert sweep("--axis", "chain.depth=0..4") == 0
    assert passes == [[1, 2, 3, 4]], "the first run keeps what the others read"
    assert [run["settings"]["chain.depth"] for run in read_json(tmp_path)["runs"]] == [0, 1, 2, 3, 4]


def test_a_table_and_a_file_of_all_runs(sweep: Sweep, tmp_path: Path, capsys: Any) -> None:
    axes = ("--axis", "chain.depth=0,1", "--axis", "train.seed=0,1")
    assert sweep(*axes, "--set", "train.epochs=1", "--set", "chain.budget=500k") == 0
    told = capsys.readouterr()
    assert "chain.budget changes nothing here: it takes chain.depth ≥ 1. (depth 0, seed 0;" in told.err
    lines = told.out.splitlines()
    assert lines[0].split()[:4] == ["run", "depth", "seed", "score"]
    assert len(lines) == 5
    assert sum(line.lstrip().startswith("*") for line in lines) == 2, "both seeds of the best depth"
    assert "Run 4 of 4: tiny · depth 1, seed 1" in told.err
    content = read_json(tmp_path)
    assert {run["state"] for run in content["runs"]} == {"finished"}
    assert all(run["trainable"] > 0 and run["seconds"] > 0 and run["validation"] for run in content["runs"])
    assert (tmp_path / "out" / content["runs"][3]["folder"] / "report.json").is_file()
    assert content["best"]["settings"].keys() == {"chain.depth"}


def test_what_has_ended_is_not_repeated(sweep: Sweep, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    """Ctrl-C in the third run, and the same command again."""
    real, begun = executing.execute_run, []

    def execute(config, out, *, emit, **options):
        begun.append(out.name)

        def tell(event):
            emit(event)
            if len(begun) == 3 and event["kind"] == "step":
                os.kill(os.getpid(), signal.SIGINT)

        return real(config, out, emit=tell, **options)

    monkeypatch.setattr(executing, "execute_run", execute)
    axes = ("--axis", "chain.depth=0,1,2,3")
    assert sweep(*axes) == 130
    assert "This goes on where it was" in capsys.readouterr().err
    monkeypatch.setattr(executing, "execute_run", lambda *given, **options: begun.append(given[1].name)
                        or real(*given, **options))  # fmt: skip
    assert sweep(*axes) == 0
    assert begun == ["000", "001", "002", "002", "003"]
    assert [run["state"] for run in read_json(tmp_path)["runs"]] == ["finished"] * 4
    assert sweep(*axes) == 0
    assert len(begun) == 5, "nothing is left to do"
    assert sweep("--axis", "chain.depth=0,1") == 2
    assert "holds another sweep" in capsys.readouterr().err


def test_what_can_be_trained_may_change_from_day_to_day(sweep: Sweep, tmp_path: Path, capsys: Any) -> None:
    """Backbones that come and go: each is trained once, and what was trained stays."""
    folders = {name: tmp_path / name for name in ("a", "b", "c")}

    def train() -> list[tuple[str, str]]:
        """Setting and state of each run so far."""
        axis = f"backbone.name={','.join(map(str, folders.values()))}"
        assert sweep("--axis", axis, "--skip", "--set", "train.epochs=1") == 0
        return [(Path(run["settings"]["backbone.name"]).name, run["state"]) for run in read_json(tmp_path)["runs"]]

    save_tiny_backbone(folders["b"])
    assert train() == [("b", "finished")]
    save_tiny_backbone(folders["a"], layers=2)  # whose layers are other ones
    assert train() == [("b", "finished"), ("a", "finished")]
    shutil.rmtree(folders["a"])
    save_tiny_backbone(folders["c"])
    assert train() == [("b", "finished"), ("a", "finished"), ("c", "finished")]
    assert "Run 3 of 3" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*/checkpoints"))


def test_a_search_goes_on_with_more_runs_and_prunes(sweep: Sweep, tmp_path: Path, monkeypatch: Any) -> None:
    real = executing.execute_run

    def execute(config, out, *, emit, **options):
        bad = out.name == "005"
        return real(config, out, emit=lambda event: emit(
            {**event, "score": -9.0} if bad and event["kind"] == "epoch" else event), **options)  # fmt: skip

    monkeypatch.setattr(executing, "execute_run", execute)
    options = ("--axis", "train.learning_rate=1e-4..1e-2:log", "--set", "train.epochs=4")
    assert sweep(*options, "--search", "5") == 0
    first = read_json(tmp_path)["runs"]
    assert sweep(*options, "--search", "7") == 0
    runs = read_json(tmp_path)["runs"]
    assert runs[:5] == first
    assert [run["state"] for run in runs] == [*["finished"] * 5, "pruned", "finished"]
    assert (tmp_path / "out" / "005" / "report.json").is_file()
    assert len({run["settings"]["train.learning_rate"] for run in runs}) == 7


def test_everything_that_is_wrong_at_once_before_anything_runs(sweep: Sweep, tmp_path: Path, capsys: Any) -> None:
    axes = ("--axis", "backbone.layers=2,9", "--axis", "train.learning_rate=0.001,0", "--set", "backbone.tuning=lora")
    assert sweep(*axes) == 2
    told = capsys.readouterr().err
    assert "backbone.layers" in told
    assert "train.learning_rate" in told
    assert "layers 9, learning_rate 0.001" in told
    assert not (tmp_path / "out").exists()
    assert sweep(*axes, "--skip", "--set", "train.epochs=1") == 0
    assert len(read_json(tmp_path)["runs"]) == 1
    for wrong in (["--axis", "chain.depth"], ["--axis", "chain.depth=0", "--search", "0"]):
        assert sweep(*wrong) == 2
        assert "Traceback" not in capsys.readouterr().err
