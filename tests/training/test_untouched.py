"""Stages before a backbone's tuning: their states come from the cache and are those that the tuned layers would give.

Stated precision, relative to states that are computed: in fp32 losses agree within 0.2 %, as in `test_cached`.
"""

from __future__ import annotations

from itertools import product

import pyarrow as pa
import pytest
import torch

from chain_core.config import InputConfig, merge
from chain_core.data.text import Texts
from chain_core.modeling.backbones import features
from chain_core.reports.predictions import load_predictions
from chain_core.services.runs.execute import execute_run
from chain_core.storage.entries import save_limit
from chain_core.training import hidden
from chain_core.training.control import Paused, ask_nothing
from chain_core.training.evaluate import compute_answers
from chain_core.training.live import build_live_feed, open_bundle
from tests.tiny import FAMILIES
from tests.training.setup import CPU, FILES, PLAIN, finish, get_ready, get_staged, write_files

HEADS = {
    "intent": {"kind": "classification", "column": "intent", "depths": [0, "last"]},
    "slots": {"kind": "tagging", "column": "slots"},
}
LINKS_FIRST = [{"trains": ["links", "heads"], "epochs": 2}, {"epochs": 1}]
TUNINGS = ("full", "lora", "rslora", "dora", "adalora", "ia3", "norm")


def build_mapping(folder, commands, **sections):
    mapping = {
        "data": {"train": str(commands), "validation": 0.25},
        "heads": HEADS,
        "backbone": {"name": str(folder), "tuning": "full"},
        "chain": {"depth": 2, "taps": [1, 4]},
        "stages": LINKS_FIRST,
    }
    return merge(merge(PLAIN, mapping), sections)


def count_passes(model):
    """A list that grows with every pass through the tuned layers."""
    passes = []
    model.upper.register_forward_hook(lambda *given: passes.append(1))
    return passes


def compare(folder, commands, tmp_path, **over):
    """The losses of a leading stage, its states read from the cache and computed."""
    results = []
    for cached in (True, False):
        ready, feeds = get_staged(build_mapping(folder, commands, stages=LINKS_FIRST[:1], **over), tmp_path)
        passes = count_passes(ready.model)
        seen, _ = finish(ready.train(feeds=feeds if cached else {}))
        assert bool(passes) != cached
        results.append([event["loss"] for event in seen if event["kind"] == "step"])
    assert results[0] == pytest.approx(results[1], rel=2e-3)
    assert len(results[0]) > 4


CASES = [
    *(("bert", tuning, layers) for tuning, layers in product(TUNINGS, (2, None))),
    *((family, "full", layers) for family, layers in product(FAMILIES, (2, None)) if family != "bert"),
]
TIED = {"chain": {"links": {"kind": "backbone", "tie": "backbone"}}}
EMBEDDINGS = {"chain": {"taps": [0, 0]}, "heads": {"intent": {"depths": ["last"]}}}


@pytest.mark.parametrize(("family", "tuning", "layers"), CASES)
def test_training_is_as_if_states_were_computed(backbones, commands, tmp_path, family, tuning, layers):
    compare(backbones[family], commands, tmp_path, backbone={"tuning": tuning, "layers": layers, "rank": 4})


@pytest.mark.parametrize("over", [TIED, EMBEDDINGS, {"train": {"r_drop": 1.0, "l2_sp": 0.1}}])
def test_whatever_the_chain_reads(backbones, commands, tmp_path, over):
    compare(backbones["bert"], commands, tmp_path, **over)


def test_the_tuned_layers_are_asked_from_the_first_stage_that_trains_them(backbones, commands, tmp_path):
    ready, feeds = get_staged(build_mapping(backbones["bert"], commands), tmp_path)
    assert set(feeds) == {1}
    passes = count_passes(ready.model)
    asked = {1: 0, 2: 0}
    for event in ready.train(feeds=feeds):
        if event["kind"] == "epoch":
            asked[event["stage"]] += len(passes)
            passes.clear()
    assert asked[1] == 0
    assert asked[2] > 4


def test_a_whole_run_answers_by_its_tuned_layers(backbones, tmp_path):
    """Test rows stand in a file of their own, which no stage reads."""
    rows = write_files(tmp_path)
    ready = get_ready(build_mapping(backbones["bert"], "", data=FILES, backbone={"layers": 2}), tmp_path)
    report = execute_run(ready.material.config, tmp_path / "run", folder=tmp_path, emit=lambda event: None)
    assert [stage["epochs"] for stage in report["stages"]] == [2, 1]
    bundle = open_bundle(tmp_path / "run" / "model")
    feed = build_live_feed(bundle, Texts("tokens", pa.array([row["tokens"] for row in rows])), InputConfig())
    answers = compute_answers(bundle.model, feed, feed.splits["test"], CPU, torch.float32, labelled=False)
    said = load_predictions(tmp_path / "run" / "predictions" / "test.parquet")
    for key, values in answers.values.items():
        assert list(said.get_predicted(*key)) == list(values), key


def test_one_pass_gives_what_every_stage_reads(backbones, commands, tmp_path, monkeypatch):
    passes, before = [], features.run_passes

    def run(lower, encoded, layers, *given):
        passes.append((lower.stop, sorted(layers)))
        return before(lower, encoded, layers, *given)

    monkeypatch.setattr(features, "run_passes", run)
    monkeypatch.setattr(features, "SPARE_ROWS", 0)
    low = {"chain": {"depth": 2, "taps": [0, 2]}, "heads": {"intent": {"depths": ["last"]}}}
    get_staged(build_mapping(backbones["bert"], commands, backbone={"layers": 3}), tmp_path)
    assert passes == [(4, [1, 4])]
    get_staged(build_mapping(backbones["bert"], commands, backbone={"layers": None}), tmp_path)
    assert passes == [(4, [1, 4])], "what another run has computed is found again"
    get_staged(build_mapping(backbones["bert"], commands, **low, backbone={"tuning": "frozen"}, stages=None), tmp_path)
    assert passes[1:] == [(2, [0, 2])], "no layer above those that are read"


def test_states_are_computed_in_every_step_where_there_is_no_room(backbones, commands, tmp_path):
    save_limit(1000)
    told = []
    ready = get_ready(build_mapping(backbones["bert"], commands), tmp_path, tell=told.append)
    assert [event["code"] for event in told if event["kind"] == "note"] == ["stage_uncached"]
    assert not ready.feed.untouched
    passes = count_passes(ready.model)
    finish(ready.train(feeds=ready.get_builder(told.append).build_stages(ready.feed)))
    assert passes


def test_test_rows_take_no_room_that_only_leading_stages_need(backbones, tmp_path, monkeypatch):
    """Of a backbone tuned whole, nothing of them is ever cached."""
    write_files(tmp_path)
    asked = []

    def compute(*given, later, **options):
        asked.append(later)
        return features.compute_features(*given, later=later, **options)

    monkeypatch.setattr(hidden, "compute_features", compute)
    get_ready(build_mapping(backbones["bert"], "", data=FILES), tmp_path)
    ready = get_ready(build_mapping(backbones["bert"], "", data=FILES, backbone={"layers": 2}), tmp_path)
    assert asked[0] == 0
    assert asked[1] == sum(part.count(pooled=False) for part in ready.feed.parts if part.later) * 2, "layers 1 and 2"


def test_a_run_goes_on_behind_its_leading_stages_without_their_states(backbones, tmp_path, monkeypatch):
    write_files(tmp_path)
    stages = [{"trains": ["links", "heads"]}, {"epochs": 3}]
    train = {"checkpoint_steps": 1}
    config = get_ready(build_mapping(backbones["bert"], "", data=FILES, stages=stages, train=train), tmp_path)[0].config
    seen, asked = [], []

    def run(out, *, resume=False, read_control=ask_nothing):
        return execute_run(config, out, folder=tmp_path, emit=seen.append, read_control=read_control, resume=resume)

    whole = run(tmp_path / "whole")
    seen.clear()
    with pytest.raises(Paused):
        run(tmp_path / "parts", read_control=lambda: "pause" if any(e.get("epoch") == 2 for e in seen) else "")
    monkeypatch.setattr(hidden, "compute_features", lambda *given, **options: asked.append(given) or {})
    report = run(tmp_path / "parts", resume=True)
    assert all(given[2] == () for given in asked), "no layer is asked for"
    assert next(event["step"] for event in seen if event["kind"] == "resumed") > 4
    assert report["validation"] == whole["validation"]


@pytest.mark.parametrize("objective", ["causal_lm", "next_sentence"])
def test_texts_of_a_stages_own(backbones, commands, tmp_path, objective):
    (tmp_path / "more.txt").write_text("\n".join("turn the red light" if n % 2 else "play in hall" for n in range(40)))
    family = "gpt2" if objective == "causal_lm" else "bert"
    first = {"objective": objective, "data": "more.txt", "trains": ["links", "heads"]}
    mapping = build_mapping(backbones[family], commands, stages=[first, *LINKS_FIRST], heads={"slots": None})
    del mapping["heads"]["slots"]
    mapping["input"] = {"text": "text"}
    ready, feeds = get_staged(mapping, tmp_path)
    assert set(feeds) == {1, 2}
    passes = count_passes(ready.model)
    for event in ready.train(feeds=feeds):
        assert bool(passes) == (event.get("stage") == 3 and event["kind"] != "stage")
    assert passes
    alone, _ = get_staged(merge(mapping, {"stages": [first, {}]}), tmp_path)
    assert not alone.feed.untouched, "no stage reads the run's own rows so"
