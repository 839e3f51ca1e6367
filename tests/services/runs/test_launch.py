"""The command line in two processes: what a user sees is said once, and nobody is left waiting."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.services.resuming import interrupt, read_log
from tests.services.runs.launching import ROOT, start_two
from tests.tiny import build_commands, write_rows


@pytest.fixture
def folder(tmp_path, backbone) -> Path:
    write_rows(tmp_path / "train.jsonl", build_commands(40))
    config = {
        "data": {"train": "train.jsonl", "test": 0.2},
        "input": {"text": "text"},
        "backbone": {"name": str(backbone)},
        "chain": {"depth": 1, "width": 16},
        "heads": {"intent": {"kind": "classification", "column": "intent"}},
        "train": {"epochs": 2, "device": "cpu"},
    }
    (tmp_path / "run.yaml").write_text(json.dumps(config))
    return tmp_path


def test_the_launcher_trains_one_run(folder, home):
    launcher = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    launcher += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", "chain_core"]
    done = subprocess.run(
        [sys.executable, *launcher, "train", str(folder / "run.yaml"), "--out", str(folder / "out")],
        env={**os.environ, "CHAIN_HOME": str(home)}, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((folder / "out" / "report.json").read_text())
    assert done.stderr.count("epoch 2/2") == 1
    assert done.stderr.count("2 processes train together") == 1
    assert read_log(folder / "out")[-1]["kind"] == "done"


def test_what_is_wrong_is_one_sentence(folder, home):
    wrong = ["--set", "heads.intent.column=nowhere"]
    processes = start_two(
        "chain_core", "train", str(folder / "run.yaml"), "--out", str(folder / "out"), *wrong, home=home
    )
    told = [process.communicate(timeout=100) for process in processes]
    assert [process.returncode for process in processes] == [2, 2]
    assert told[0][1].splitlines()[0] == "Reading the rows"
    assert len(told[0][1].splitlines()) == 2
    assert "nowhere" in told[0][1]
    assert told[1] == ("", "")


def test_memory_that_is_short_in_a_sharded_pass_ends_all_with_one_sentence(folder, home):
    wishes = ["backbone.tuning=full", "train.shard='on'", "train.accumulate=2"]
    processes = start_two(
        "tests.services.runs.short", "train", str(folder / "run.yaml"), "--out", str(folder / "out"),
        *(part for wish in wishes for part in ("--set", wish)), home=home,
    )  # fmt: skip
    told = [process.communicate(timeout=100) for process in processes]
    assert [process.returncode for process in processes] == [2, 2]
    assert told[0][1].splitlines()[-1].startswith("Process 2 of 2 ran out of memory")
    assert "train.accumulate to 4" in told[0][1].splitlines()[-1]
    assert "Traceback" not in told[0][1]
    assert told[1] == ("", "")


def test_a_process_that_is_killed_leaves_nobody_waiting(folder, home):
    config = json.loads((folder / "run.yaml").read_text())
    config["train"] |= {"epochs": 10000, "checkpoint_steps": 1}
    (folder / "run.yaml").write_text(json.dumps(config))
    processes = start_two("chain_core", "train", str(folder / "run.yaml"), "--out", str(folder / "out"), home=home)
    while not (folder / "out" / "events.jsonl").exists() or not any(
        e["kind"] == "checkpoint" for e in read_log(folder / "out")
    ):
        time.sleep(0.1)
        assert processes[0].poll() is None
    processes[1].kill()
    _, told = processes[0].communicate(timeout=60)
    processes[1].communicate()
    assert processes[0].returncode == 2
    assert told.splitlines()[-1].startswith("Another process of this run has ended")
    assert "Traceback" not in told
    events = interrupt(folder, config, "out", "stop", steps=1, resume=True)
    resumed, step = [next(event for event in events if event["kind"] == kind) for kind in ("resumed", "step")]
    assert step["step"] > resumed["step"] > 0, "one process goes on alone"
    [note] = [event for event in events if event["kind"] == "note" and event["code"] == "team_changed"]
    assert note["params"] == {"before": 2, "now": 1}
