"""Ctrl-C on the command line: a pause that --resume goes on from; a second one ends at once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from chain_core.cli.main import main
from tests.services.resuming import assert_same_run, read_log
from tests.tiny import build_commands, write_rows

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path, backbone):
    write_rows(tmp_path / "train.jsonl", build_commands(60))
    mapping = {
        "name": "long",
        "data": {"train": str(tmp_path / "train.jsonl"), "validation": 0.25, "test": 0.2},
        "input": {"tokens": "tokens"},
        "backbone": {"name": str(backbone)},
        "chain": {"depth": 1, "width": 16},
        "heads": {"slots": {"kind": "tagging", "column": "slots"}},
        "train": {"epochs": 40, "batch_size": 4, "precision": "fp32", "device": "cpu"},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(mapping))
    return tmp_path


def begin(folder, *arguments):
    """The command in a process of its own, once it has trained some more steps."""
    log = folder / "out" / "events.jsonl"
    before = count_steps(log)
    command = [sys.executable, "-m", "chain_core", "train", str(folder / "run.yaml"), "--out", str(folder / "out")]
    process = subprocess.Popen(
        [*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        if count_steps(log) >= before + 5:
            return process
        time.sleep(0.01)
    raise AssertionError(process.communicate()[1])


def count_steps(log):
    return log.read_text().count('"kind": "step"') if log.exists() else 0


def test_interrupt_and_resume(folder, capsys):
    process = begin(folder)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert not out
    assert "Traceback" not in err
    said = re.search(r"Paused at step (\d+)\. To go on: (.*)", err)
    assert said, err
    assert "--resume" in said[2]
    assert "Ctrl-C again ends at once" in err

    config, run = str(folder / "run.yaml"), str(folder / "out")
    assert main(["train", config, "--out", run]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main(["train", config, "--out", run, "--resume"]) == 0
    told = capsys.readouterr()
    assert f"Going on from the checkpoint of step {said[1]}" in told.err
    assert '"validation"' in told.out
    assert main(["train", config, "--out", str(folder / "untouched")]) == 0
    assert_same_run(folder / "untouched", folder / "out")
    assert main(["train", config, "--out", run]) == 0, "a finished run may be trained again"


def test_a_second_interrupt_ends_at_once(folder):
    process = begin(folder, "--set", "train.adversarial=0.1", "--set", "train.checkpoint_steps=1")
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.001)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_kill_at_any_moment_and_resume(folder):
    """SIGKILL between, and in the midst of, checkpoints at every step."""
    arguments = ("--set", "train.checkpoint_steps=1", "--set", "train.epochs=6")
    for attempt in range(3):
        process = begin(folder, *arguments, *(["--resume"] if attempt else []))
        time.sleep(0.013 * attempt)
        process.kill()
        process.communicate()
    assert main(["train", str(folder / "run.yaml"), "--out", str(folder / "out"), *arguments, "--resume"]) == 0
    assert main(["train", str(folder / "run.yaml"), "--out", str(folder / "untouched"), *arguments]) == 0
    assert_same_run(folder / "untouched", folder / "out")
    steps = [event["step"] for event in read_log(folder / "out") if event["kind"] == "step"]
    assert steps == sorted(set(steps))


def test_interrupt_leaves_other_handlers_alone(folder):
    before = signal.getsignal(signal.SIGINT)
    assert main(["train", str(folder / "run.yaml"), "--out", str(folder / "out"), "--set", "train.epochs=1"]) == 0
    assert signal.getsignal(signal.SIGINT) is before
