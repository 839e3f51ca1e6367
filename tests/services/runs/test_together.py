"""Two processes that train one run, over gloo: the curve of one process, its figures, and nothing done twice."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from chain_core.training import pruning
from tests.services.resuming import assert_same_run, interrupt, read_log, run
from tests.services.runs.launching import start_two
from tests.services.runs.together import LEAST_BATCHES
from tests.tiny import WORDS, add_mask_token, build_commands, save_tiny_backbone, write_rows

POOLED = {
    "intent": {"kind": "classification", "column": "intent", "depths": [1, "last"], "dropout": 0},
    "score": {"kind": "regression", "column": "score", "dropout": 0},
}
TAGGING = {
    "intent": {"kind": "classification", "column": "intent", "dropout": 0},
    "slots": {"kind": "tagging", "column": "slots", "dropout": 0},
}
HEAVY = {name: {**head, "weight": 100} for name, head in TAGGING.items()}
"""Heads whose scaled gradient is too large for float16 in a run's first steps."""
TRAIN = {"epochs": 2, "batch_size": 16, "learning_rate": 5e-3, "backbone_learning_rate": 2e-3, "precision": "fp32"}
LORA = {"tuning": "lora", "rank": 4, "dropout": 0}
FINE, COARSE = (2e-5, 1e-4, 1e-3), (5e-3, 2e-2, 2e-2)
"""Of figures, absolutely and relatively, and of all weights together: sums of float32, and of float16, in another
order, over a dozen steps."""


def build(model: Path, /, *, backbone=None, train=None, heads=TAGGING, **sections) -> dict:
    return {
        "data": {"train": "train.jsonl", "validation": 0.25, "test": 0.2},
        "input": {"tokens": "tokens"},
        "chain": {"depth": 2, "width": 16},
        "heads": heads,
        "backbone": {"name": str(model), **(backbone or {})},
        "train": {**TRAIN, "device": "cpu", **(train or {})},
        **sections,
    }


WAYS = {
    "frozen, pooled heads": {"heads": POOLED},
    "frozen, few rows for two": {"train": {"batch_size": 3, "epochs": 1}},
    "test rows in a file": {"data": {"train": "train.jsonl", "validation": 0.25, "test": "test.jsonl"}},
    "a threshold": {"heads": {**TAGGING, "slots": {**TAGGING["slots"], "threshold": "tuned"}}},
    "lora, in parts": {"backbone": LORA, "train": {"accumulate": 3}},
    "full, with all that is added": {
        "backbone": {"tuning": "full", "layers": 1},
        "train": {"adversarial": 0.5, "l2_sp": 0.1, "r_drop": 1.0, "loss_weights": "uncertainty"},
    },
    "adalora": {"backbone": {"tuning": "adalora", "rank": 4, "final_rank": 2, "dropout": 0, "layers": 1}},
    "links first, then the layers": {
        "backbone": {"tuning": "full"},
        "stages": [{"trains": ["links", "heads"]}, {}],
    },
    "hidden words, then tasks": {
        "backbone": {"tuning": "full", "layers": 1},
        "heads": {**TAGGING, "words": {"kind": "masked_lm", "dropout": 0}},
        "stages": [{"objective": "masked_lm", "epochs": 1, "depth": 1}, {"epochs": 1}],
    },
    "sharded, in parts": {
        "backbone": {"tuning": "full"},
        "train": {"shard": "on", "batch_size": 3, "accumulate": 2, "epochs": 1, "r_drop": 1.0, "average": 0.5},
    },
    "sharded lora": {"backbone": {**LORA, "layers": 1}, "train": {"shard": "on", "adversarial": 0.5}},
    "weights averaged": {"backbone": LORA, "train": {"average": 0.3}},
    "links by muon, sharded": {"backbone": {"tuning": "full"}, "train": {"optimiser": "muon", "shard": "on"}},
    "easy rows left out": {"train": {"epochs": 4, "batch_size": 4, "prune": 0.9}},
    "in float16": {"train": {"precision": "fp16", "clip": 1.0}, "heads": HEAVY},
    "in float16, sharded": {
        "backbone": {"tuning": "full", "layers": 1},
        "train": {"precision": "fp16", "shard": "on"},
        "heads": HEAVY,
    },
    "memory of one runs short": {"backbone": LORA},
}  # fmt: skip
CHANGED = ("hidden words, then tasks", "sharded, in parts", "sharded lora")
"""Ways in which a run is left off, and taken up again by another number of processes."""
DROPOUT = {"heads": {name: {**head, "dropout": 0.3} for name, head in TAGGING.items()}, "backbone": LORA}


def make_distinct(rows: list[dict]) -> list[dict]:
    """No row reads as another one, which would not be computed again."""
    words = [(WORDS[number % len(WORDS)], WORDS[number // len(WORDS)]) for number in range(len(rows))]
    return [
        {**row, "tokens": [row["tokens"][0], *pair, *row["tokens"][3:]]} for row, pair in zip(rows, words, strict=True)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What two processes have done, in one launch, and one process beside them."""
    folder = tmp_path_factory.mktemp("together")
    model = add_mask_token(save_tiny_backbone(folder / "bert", layers=2))
    # The backbone's own dropout would differ from process to process.
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "hidden_dropout_prob": 0.0}))
    rows = make_distinct(build_commands(84))
    write_rows(folder / "train.jsonl", rows[:63])
    write_rows(folder / "test.jsonl", rows[63:])
    jobs = [{"name": way, "config": build(model, **options)} for way, options in WAYS.items()]
    jobs[-1]["fail"] = "memory"
    few = jobs[1]  # paused before half of its features are computed, then taken up again
    jobs[1:2] = [{**few, "word": "pause", "rows": 10}, {**few, "resume": True}]
    dropout = build(model, **DROPOUT)
    sharded = build(model, **{**DROPOUT, "train": {"shard": "on"}})
    jobs += [
        {"name": "untouched", "config": dropout},
        {"name": "paused", "config": dropout, "word": "pause", "after": 3},
        {"name": "paused", "config": dropout, "resume": True},
        {"name": "sharded", "config": sharded},
        {"name": "sharded and paused", "config": sharded, "word": "pause", "after": 2},
        {"name": "sharded and paused", "config": sharded, "resume": True},
        {"name": "stopped", "config": dropout, "word": "stop", "after": 2},
        {"name": "no number", "config": build(model), "fail": "number"},
        {"name": "homes apart", "config": build(model), "home": "apart"},
        {"name": "after that", "config": build(model, train={"device": "cuda:0"})},
    ]
    for way in CHANGED:
        config = build(model, **WAYS[way])
        jobs.append({"name": f"by two, then one/{way}", "config": config, "word": "pause", "after": 3})
        jobs.append({"name": f"by one, then two/{way}", "config": config, "resume": True})
    (folder / "jobs.json").write_text(json.dumps(jobs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAIN_HOME", str(folder / "home-alone"))
        patch.setattr(pruning, "LEAST_BATCHES", LEAST_BATCHES)
        for way in CHANGED:
            interrupt(folder, build(model, **WAYS[way]), f"by one, then two/{way}", steps=3)
        for process in start_two("tests.services.runs.together", str(folder), home=folder / "home"):
            _, errors = process.communicate(timeout=200)
            assert process.returncode == 0, errors
        for way, options in WAYS.items():
            run(folder, build(model, **options), f"alone/{way}")
        for way in CHANGED:
            run(folder, build(model, **WAYS[way]), f"by two, then one/{way}", resume=True)
    return folder


def read_told(folder: Path) -> list[dict]:
    return [json.loads((folder / f"told-{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_train_as_one(folder, way):
    assert_like(folder / way, folder / "alone" / way, COARSE if "float16" in way else FINE)


@pytest.mark.parametrize("way", CHANGED)
@pytest.mark.parametrize(("before", "now"), [("two", "one"), ("one", "two")])
def test_another_number_of_processes_goes_on(folder, before, now, way):
    out = folder / f"by {before}, then {now}" / way
    resumed, *_ = [event for event in read_log(out) if event["kind"] == "resumed"]
    assert resumed["step"] == 3
    notes = {event["code"]: event["params"] for event in read_log(out) if event["kind"] == "note"}
    assert "checkpoint_unfit" not in notes
    assert notes["team_changed"] == ({"before": 2, "now": 1} if before == "two" else {"before": 1, "now": 2})
    assert_like(out, folder / "alone" / way)


def assert_like(out: Path, alone: Path, tolerance: tuple[float, float, float] = FINE) -> None:
    """The course, the weights and the predictions are those of one process, but for the last digits."""
    courses = [[event for event in read_log(place) if event["kind"] in ("step", "epoch")] for place in (out, alone)]
    assert [event["kind"] for event in courses[0]] == [event["kind"] for event in courses[1]]
    for ours, theirs in zip(*courses, strict=True):
        for name in ("loss", "losses", "gradient", "validation", "joint", "learning_rate"):
            assert ours.get(name) == close(theirs.get(name), *tolerance[:2]), (name, ours["step"])
    weights = [load_file(place / "model" / "chain.safetensors") for place in (out, alone)]
    assert weights[0].keys() == weights[1].keys()
    # Not one by one: where a gradient is nothing but rounding, Adam makes a step of it.
    flat = [torch.cat([part[name].flatten() for name in sorted(part)]) for part in weights]
    assert (flat[0] - flat[1]).norm() < tolerance[2] * flat[1].norm()
    for split in ("validation", "test"):
        tables = [pq.read_table(place / "predictions" / f"{split}.parquet") for place in (out, alone)]
        kept = [name for name in tables[0].column_names if not name.startswith(("conf:", "pred:score"))]
        assert tables[0].select(kept).equals(tables[1].select(kept))


def close(value, absolute: float, relative: float):
    """Equal, but for the last digits."""
    if isinstance(value, dict):
        return {name: close(inner, absolute, relative) for name, inner in value.items()}
    return pytest.approx(value, abs=absolute, rel=relative) if isinstance(value, float) else value


def test_each_row_is_computed_once_over_a_pause(folder):
    rows = [told["frozen, few rows for two"]["computed"] for told in read_told(folder)]
    assert sum(rows) == 63
    assert min(rows) > 20, "both take about half"
    homes = [
        {path.relative_to(home): path.read_bytes() for path in (home / "features").rglob("*.npy")}
        for home in (folder / "home", folder / "home-alone")
    ]
    assert len(homes[0]) > 3
    assert homes[0] == homes[1]
    assert not [*(folder / "home").rglob("*.draft"), *(folder / "home").rglob("*.partial")]


def test_the_main_process_alone_tells(folder):
    told = read_told(folder)
    assert all(job["events"] == 0 for job in told[1].values())
    [first] = [e for e in read_log(folder / "adalora") if e["kind"] == "note" and e["code"] == "team_trains"]
    assert first["params"] == {"processes": 2}


def test_a_pause_changes_nothing(folder):
    assert_same_run(folder / "untouched", folder / "paused")
    assert_same_run(folder / "sharded", folder / "sharded and paused")


def test_all_leave_together(folder):
    assert read_log(folder / "stopped")[-1]["reason"] == "stopped"
    assert [told["stopped"]["ended"] for told in read_told(folder)] == ["done", "done"]


def test_layers_are_shared_out_where_asked(folder):
    for told in read_told(folder):
        assert {name for name, job in told.items() if job["sharded"]} == {name for name in told if "sharded" in name}


def test_what_fails_in_one_is_said_in_all(folder):
    for told in read_told(folder):
        assert told["no number"]["ended"] == "loss_not_finite"
        assert told["homes apart"]["ended"] == "home_not_shared"
        assert told["after that"]["ended"] == "device_of_many"
    notes = [event for event in read_log(folder / "memory of one runs short") if event["kind"] == "note"]
    assert {"code": "memory_short", "params": {"parts": 2, "rows": 4}}.items() <= {
        key: value for note in notes if note["code"] == "memory_short" for key, value in note.items()
    }.items()
