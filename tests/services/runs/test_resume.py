"""A run that is left off and taken up again ends as if it never had been: bit for bit, in every way of training."""

from __future__ import annotations

import errno
import gc
import itertools
import json
import shutil
import weakref
from contextlib import suppress

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from chain_core.config import resolve_config
from chain_core.data.store import list_data_sets
from chain_core.errors import ResourceError, RunError
from chain_core.modeling.backbones import features
from chain_core.modeling.device import is_out_of_memory
from chain_core.modeling.model import ChainModel
from chain_core.paths import get_folder
from chain_core.services.runs.checkpoint_names import find_step
from chain_core.services.runs.execute import execute_run
from chain_core.storage.locks import hold_folder
from chain_core.training import pruning
from chain_core.training.control import Cancelled, Paused
from tests.services.resuming import (
    assert_same_run,
    count_calls,
    drop_times,
    interrupt,
    pause_at,
    read_log,
    run,
    run_with_pauses,
)
from tests.tiny import add_mask_token, build_commands, save_tiny_backbone, write_rows

HEADS = {
    "intent": {"kind": "classification", "column": "intent", "depths": [1, "last"]},
    "slots": {"kind": "tagging", "column": "slots"},
}
TRAIN = {"epochs": 2, "batch_size": 16, "learning_rate": 5e-3, "backbone_learning_rate": 5e-3, "precision": "fp32"}


@pytest.fixture
def folder(tmp_path):
    write_rows(tmp_path / "train.jsonl", build_commands(60))
    write_rows(tmp_path / "other.jsonl", [{**row, "mood": row["intent"]} for row in build_commands(24)])
    return tmp_path


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    return add_mask_token(save_tiny_backbone(tmp_path_factory.mktemp("resumed") / "bert", layers=2))


def build_mapping(model, /, backbone=None, train=None, **sections):
    return {
        "data": {"train": "train.jsonl", "validation": 0.25, "test": 0.2},
        "input": {"tokens": "tokens"},
        "chain": {"depth": 2, "width": 16},
        "heads": HEADS,
        "backbone": {"name": str(model), **(backbone or {})},
        "train": {**TRAIN, **(train or {})},
        **sections,
    }


WAYS = {
    "frozen": {},
    "top layers in full": {"backbone": {"tuning": "full", "layers": 1}},
    "lora": {"backbone": {"tuning": "lora", "rank": 4}},
    "lora in float16": {
        "backbone": {"tuning": "lora", "rank": 4},
        "train": {"precision": "fp16", "clip": None, "average": 0.3},
    },
    "adalora": {"backbone": {"tuning": "adalora", "rank": 4, "final_rank": 2, "layers": 1}, "train": {"epochs": 4}},
    "stages that grow and mask": {
        "backbone": {"tuning": "full", "layers": 1},
        "stages": [
            {"objective": "masked_lm", "epochs": 1, "depth": 1},
            {"epochs": 1, "depth": 1, "trains": ["links", "heads"]},
            {"epochs": 2},
        ],
    },
    "links first, then the layers": {
        "backbone": {"tuning": "full"},
        "stages": [{"trains": ["links", "heads"], "epochs": 2}, {"epochs": 2}],
    },
    "agreement, perturbation and a pull": {
        "backbone": {"tuning": "full", "layers": 1},
        "train": {"r_drop": 1.0, "adversarial": 0.5, "l2_sp": 0.01, "loss_weights": "uncertainty"},
    },
    "several sets": {
        "also": {"other": {"data": {"train": "other.jsonl"}, "input": {"tokens": "tokens"}}},
        "heads": {**HEADS, "mood": {"kind": "classification", "column": "mood", "data": "other"}},
        "train": {"sampling": "temperature", "loss_weights": "uncertainty"},
    },
    "ties, copies of layers and prefixes": {
        "backbone": {"tuning": "prefix", "layers": 1, "prefix_length": 4},
        "chain": {"depth": 3, "width": 32, "links": [
            {"kind": "backbone", "tie": "backbone"}, {"kind": "conv"}, {"kind": "conv", "tie": 2},
        ]},
    },
    "weights averaged": {"backbone": {"tuning": "full", "layers": 1}, "train": {"average": 0.3, "epochs": 3}},
    "links by muon": {"backbone": {"tuning": "full", "layers": 1}, "train": {"optimiser": "muon", "epochs": 3}},
    "a threshold": {"heads": {**HEADS, "slots": {**HEADS["slots"], "threshold": "tuned"}}},
    "test rows in a file": {"data": {"train": "train.jsonl", "validation": 0.25, "test": "other.jsonl"}},
    "early": {"train": {"epochs": 12, "patience": 1, "metric": "intent/accuracy"}},
    "copies of rows, in parts": {"augment": {"copies": 1}, "train": {"accumulate": 3}},
    "easy rows left out": {"train": {"epochs": 5, "batch_size": 4, "prune": 0.9}},
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_pauses_at_random_change_nothing(folder, encoder, way, monkeypatch):
    monkeypatch.setattr(pruning, "LEAST_BATCHES", 1)
    mapping = build_mapping(encoder, **WAYS[way])
    calls = count_calls(folder, mapping, "untouched")
    random = np.random.default_rng(len(way))
    pauses = run_with_pauses(folder, mapping, "paused", iter(random.integers(0, max(calls // 2, 3), 4).tolist()))
    assert pauses >= 2
    assert_same_run(folder / "untouched", folder / "paused")
    assert find_step(folder / "paused"), "whoever has it executed may not have recorded its end yet"


def test_a_pause_at_every_place_changes_nothing(folder, encoder):
    mapping = build_mapping(encoder, train={"epochs": 2, "batch_size": 32})
    calls = count_calls(folder, mapping, "untouched")
    for call in range(calls):
        with pytest.raises(Paused):
            run(folder, mapping, f"paused-{call}", read_control=pause_at(call))
        run(folder, mapping, f"paused-{call}", resume=True)
        assert_same_run(folder / "untouched", folder / f"paused-{call}")


def test_a_checkpoint_every_step_keeps_the_last_two(folder, encoder):
    mapping = build_mapping(encoder, train={"checkpoint_steps": 1})
    events = interrupt(folder, mapping, "left")
    assert [event["step"] for event in events if event["kind"] == "checkpoint"] == [1, 2, 3, 3]
    assert sorted(path.name for path in (folder / "left" / "checkpoints").iterdir()) == [
        "step-00000003", "step-00000003-2",
    ]  # fmt: skip


@pytest.mark.parametrize("harm", ["cut", "flipped", "missing", "state"])
def test_a_damaged_checkpoint_is_skipped_for_the_one_before(folder, encoder, harm):
    mapping = build_mapping(encoder, train={"checkpoint_steps": 2})
    run(folder, mapping, "untouched")
    interrupt(folder, mapping, "left")
    newest = folder / "left" / "checkpoints" / "step-00000003"
    weights = newest / ("state.json" if harm == "state" else "weights.safetensors")
    content = bytearray(weights.read_bytes())
    if harm == "flipped":
        content[-1] ^= 1
    weights.write_bytes(content if harm == "flipped" else content[:-10])
    if harm == "missing":
        weights.unlink()
    (newest.parent / ".step-00000004.abc.draft").mkdir()
    events = run(folder, mapping, "left", resume=True)
    assert (events[0]["kind"], events[0]["step"]) == ("resumed", 2)
    assert_same_run(folder / "untouched", folder / "left")


def test_events_go_on_where_the_checkpoint_left_off(folder, encoder):
    """What was told after the checkpoint is told again, and a line that a crash has torn is gone."""
    mapping = build_mapping(encoder, train={"checkpoint_steps": 2})
    run(folder, mapping, "untouched")
    interrupt(folder, mapping, "left")
    checkpoints = sorted((folder / "left" / "checkpoints").iterdir())
    shutil.rmtree(checkpoints[-1])
    told = len(read_log(folder / "left"))
    with (folder / "left" / "events.jsonl").open("a") as log:
        log.write('{"kind": "step", "st')
    events = run(folder, mapping, "left", resume=True)
    assert (events[0]["kind"], events[0]["step"]) == ("resumed", 2)
    assert events[0]["events"] < told
    log = read_log(folder / "left")
    assert log[events[0]["events"] :] == json.loads(json.dumps(events))
    assert_same_run(folder / "untouched", folder / "left")
    seconds = [event["seconds"] for event in log]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("change", ["config", "data"])
def test_a_checkpoint_of_something_else_starts_over(folder, encoder, change):
    mapping = build_mapping(encoder)
    interrupt(folder, mapping, "left")
    if change == "config":
        mapping = build_mapping(encoder, train={"learning_rate": 1e-3})
    else:
        write_rows(folder / "train.jsonl", build_commands(60)[::-1])
    run(folder, mapping, "untouched")
    events = run(folder, mapping, "left", resume=True)
    assert [e["events"] for e in events if e["kind"] == "resumed"][-1] == 0
    assert "checkpoint_unfit" in [e["code"] for e in events if e["kind"] == "note"]
    log = read_log(folder / "left")
    assert log[0]["kind"] == "resumed"
    epochs = [
        [event for event in read_log(folder / name) if event["kind"] == "epoch"] for name in ("untouched", "left")
    ]
    assert drop_times(epochs[0]) == drop_times(epochs[1])


def test_what_does_not_change_learning_may_change(folder, encoder):
    mapping = build_mapping(encoder)
    run(folder, mapping, "untouched")
    interrupt(folder, mapping, "left")
    renamed = {**build_mapping(encoder, train={"checkpoint_steps": 5, "trackers": ["tensorboard"]}), "name": "renamed"}
    events = run(folder, renamed, "left", resume=True)
    assert (events[0]["kind"], events[0]["step"]) == ("resumed", 3)


def test_a_run_that_fails_while_evaluating_does_not_train_again(folder, encoder, monkeypatch):
    mapping = build_mapping(encoder)
    run(folder, mapping, "untouched")

    def fail(*args, **options):
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr("chain_core.services.runs.execute.save_predictions", fail)
        with pytest.raises(OSError, match="gone"):
            run(folder, mapping, "left")
    events = run(folder, mapping, "left", resume=True)
    assert not [event for event in events if event["kind"] in ("step", "epoch")]
    assert_same_run(folder / "untouched", folder / "left")


@pytest.mark.parametrize("tuning", ["adalora", "full"])
def test_a_run_that_fails_between_stages_goes_on_with_the_next(folder, encoder, tuning):
    stages = [{"epochs": 2}, {"epochs": 1, "trains": ["heads"]}, {"epochs": 2, "objective": "masked_lm"}, {"epochs": 2}]
    mapping = build_mapping(
        encoder, backbone={"tuning": tuning, "rank": 4, "final_rank": 2, "layers": 1}, stages=stages
    )
    run(folder, mapping, "untouched")
    for number in (2, 3, 4):

        def emit(event, number=number):
            if event["kind"] == "stage" and event["stage"] == number:
                raise RuntimeError("a fault")

        options = {"folder": folder, "emit": emit, "resume": number > 2}
        with pytest.raises(RuntimeError, match="a fault"):
            execute_run(resolve_config(mapping), folder / "left", **options)
    events = run(folder, mapping, "left", resume=True)
    assert {event["stage"] for event in events if event["kind"] == "step"} == {4}
    assert_same_run(folder / "untouched", folder / "left")


def test_a_stopped_run_can_be_taken_up_again(folder, encoder):
    mapping = build_mapping(encoder)
    run(folder, mapping, "untouched")
    events = interrupt(folder, mapping, "left", "stop")
    assert events[-1]["reason"] == "stopped"
    run(folder, mapping, "left", resume=True)
    assert_same_run(folder / "untouched", folder / "left")


@pytest.mark.parametrize("word", ["stop", "pause"])
def test_test_rows_are_read_after_a_stop_and_over_a_pause(folder, encoder, word, monkeypatch):
    """What asks for it while they are read: a stop has been heeded, a pause goes on from where it was."""
    monkeypatch.setattr(features, "TOKENS_PER_BATCH", 16)
    mapping = build_mapping(encoder, data={"train": "train.jsonl", "validation": 0.25, "test": "other.jsonl"})
    run(folder, mapping, "untouched")
    shutil.rmtree(get_folder("features"))
    events: list[dict] = []

    def read():
        return (
            word if sum(event.get("phase") == "features" and event["kind"] == "phase" for event in events) > 1 else ""
        )

    with suppress(Paused):
        run(folder, mapping, "left", events, read_control=read)
    trained = [event for event in events if event["kind"] == "epoch"]
    assert len(trained) == 2
    assert (events[-1]["kind"] == "done") == (word == "stop")
    if word == "pause":
        assert not [event for event in run(folder, mapping, "left", resume=True) if event["kind"] == "step"]
    assert_same_run(folder / "untouched", folder / "left")


def test_a_cancelled_run_ends_at_once(folder, encoder):
    events = interrupt(folder, build_mapping(encoder), "left", "cancel")
    assert sum(event["kind"] == "step" for event in events) == 3
    assert events[-1]["kind"] == "step"
    assert not (folder / "left" / "report.json").exists()


def test_a_disk_that_is_full_when_a_pause_needs_it(folder, encoder, monkeypatch):
    def refuse(*args, **options):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", refuse)
        with pytest.raises(ResourceError) as caught:
            interrupt(folder, build_mapping(encoder), "full")
        assert caught.value.code == "disk_full"
        assert not list((folder / "full" / "checkpoints").iterdir()), "no draft takes up what is left"
        with pytest.raises(ResourceError) as caught:
            run(folder, build_mapping(encoder), "full at the end")
    assert caught.value.code == "disk_full"


def test_a_full_disk_costs_a_checkpoint_not_the_run(folder, encoder, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("chain_core.services.runs.checkpoints.save_checkpoint", refuse)
    events = run(folder, build_mapping(encoder, train={"checkpoint_steps": 1}), "full")
    assert [e["code"] for e in events if e["kind"] == "note"].count("checkpoint_failed") == 1
    assert events[-1]["kind"] == "done"


SHORT = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: not enough memory: you tried to allocate"),
    MemoryError(),
)


def exhaust(monkeypatch, rows, error):
    """Passes over more rows than that fail, as where memory is full."""
    real = ChainModel.forward

    def forward(self, batch, *args, **options):
        if len(batch.rows) > rows:
            raise error
        return real(self, batch, *args, **options)

    monkeypatch.setattr(ChainModel, "forward", forward)


@pytest.mark.parametrize("error", SHORT, ids=lambda error: type(error).__name__)
def test_short_memory_is_known(error):
    assert is_out_of_memory(error)


def test_short_memory_makes_smaller_parts(folder, encoder, monkeypatch):
    mapping = build_mapping(encoder)
    run(folder, mapping, "untouched")
    with monkeypatch.context() as patch:
        exhaust(patch, 5, SHORT[0])
        events = run(folder, mapping, "short")
    notes = [event for event in events if event["kind"] == "note" and event["code"] == "memory_short"]
    assert [note["params"] for note in notes] == [{"parts": 2, "rows": 8}, {"parts": 4, "rows": 4}]
    counts = [[e["step"] for e in read_log(folder / name) if e["kind"] == "step"] for name in ("untouched", "short")]
    assert counts[0] == counts[1], "no step is lost"


def test_smaller_parts_stay_after_a_pause(folder, encoder, monkeypatch):
    mapping = build_mapping(encoder)
    with monkeypatch.context() as patch:
        exhaust(patch, 5, SHORT[0])
        interrupt(folder, mapping, "short")
        events = run(folder, mapping, "short", resume=True)
    assert not [event for event in events if event["kind"] == "note" and event["code"] == "memory_short"]


def test_memory_short_of_a_single_row_is_a_sentence(folder, encoder, monkeypatch):
    exhaust(monkeypatch, 0, SHORT[0])
    with pytest.raises(ResourceError, match="memory"):
        run(folder, build_mapping(encoder), "short")


def test_other_errors_stay_what_they_are(folder, encoder, monkeypatch):
    exhaust(monkeypatch, 0, RuntimeError("shapes do not meet"))
    with pytest.raises(RuntimeError, match="shapes"):
        run(folder, build_mapping(encoder), "broken")


def test_the_time_makes_a_checkpoint_due(folder, encoder):
    mapping = build_mapping(encoder, train={"checkpoint_minutes": 1e-9})
    events = interrupt(folder, mapping, "often")
    assert [event["step"] for event in events if event["kind"] == "checkpoint"] == [1, 2, 3, 3]
    never = build_mapping(encoder, train={"checkpoint_minutes": None})
    events = interrupt(folder, never, "never", "cancel")
    assert not [event for event in events if event["kind"] == "checkpoint"]


def test_a_paused_run_leaves_no_model_in_memory(folder, encoder, monkeypatch):
    mapping = build_mapping(encoder, backbone={"tuning": "full"})
    calls = count_calls(folder, mapping, "untouched")
    built = []
    real = ChainModel.__init__

    def build(self, *args):
        real(self, *args)
        built.append(weakref.ref(self))

    monkeypatch.setattr(ChainModel, "__init__", build)
    with pytest.raises(Paused) as caught:
        run(folder, mapping, "left", read_control=pause_at(calls - 4))
    gc.collect()
    assert [model() for model in built] == [None], f"{caught.value!r} holds on to it"


def test_reading_can_be_interrupted(folder, encoder):
    """A table that is read for the first time leaves nothing half done behind."""
    write_rows(folder / "train.jsonl", build_commands(30_000))
    calls = itertools.count()
    asked = []

    def read():
        asked.append(next(calls))
        return "cancel" if len(asked) > 1 else ""

    with pytest.raises(Cancelled):
        run(folder, build_mapping(encoder), "left", read_control=read)
    assert not list_data_sets()


def test_two_processes_never_write_one_folder(folder, encoder, monkeypatch):
    monkeypatch.setattr("chain_core.services.runs.execute.PATIENCE", 0.2)
    with hold_folder(folder / "taken", 1), pytest.raises(RunError) as caught:
        run(folder, build_mapping(encoder), "taken")
    assert caught.value.code == "run_folder_busy"
    assert run(folder, build_mapping(encoder), "taken")[-1]["kind"] == "done"


def test_a_stop_of_a_paused_run_reports_on_what_it_has(folder, encoder):
    """However early it is asked for: rows are read and features computed again, then it ends with its best weights."""
    mapping = build_mapping(encoder, train={"epochs": 30})
    events = interrupt(folder, mapping, "left", steps=8)
    assert max(event["epoch"] for event in events if event["kind"] == "epoch") >= 2
    events = run(folder, mapping, "left", resume=True, read_control=lambda: "stop")
    assert events[-1]["reason"] == "stopped"
    assert events[-1]["report"]["test"]["intent"]
    assert sum(event["kind"] == "step" for event in events) <= 1
    assert (folder / "left" / "model").is_dir()
