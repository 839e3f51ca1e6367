"""Rows that no cache knows: read like those of the run, in batches that fit."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
import torch

from chain_core.config import InputConfig, resolve_config
from chain_core.data.encode import Encoded, encode_texts
from chain_core.data.text import Texts
from chain_core.errors import ConfigError
from chain_core.modeling.backbones.catalogue import load_tokenizer, read_facts
from chain_core.modeling.backbones.passes import LARGEST_HALF
from chain_core.modeling.batch import build_batch
from chain_core.modeling.model import load_lower
from chain_core.services.runs import predictor as predictor_module
from chain_core.services.runs.execute import execute_run
from chain_core.services.runs.predictor import evaluate_file, load_predictor
from chain_core.training import feed as feed_module
from chain_core.training.live import build_live_feed, open_bundle, read_states
from tests.tiny import build_commands, save_tiny_backbone, write_rows

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(backbone, tmp_path_factory):
    """A run of two data sets of different longest inputs; its links work on pooled vectors."""
    folder = tmp_path_factory.mktemp("live")
    rows = build_commands()
    write_rows(folder / "short.jsonl", [{"text": row["text"], "intent": row["intent"]} for row in rows])
    write_rows(folder / "long.jsonl", [{"words": "the " * 20 + row["text"], "topic": row["intent"]} for row in rows])
    mapping = {
        "data": {"train": "short.jsonl", "validation": 0.25},
        "input": {"text": "text", "max_length": 8},
        "also": {"long": {"data": {"train": "long.jsonl", "validation": 0.25, "test": "long.jsonl"},
                          "input": {"text": "words", "max_length": 40}}},
        "backbone": {"name": str(backbone)},
        "chain": {"depth": 1, "width": 32},
        "heads": {"intent": {"kind": "classification", "column": "intent"},
                  "topic": {"kind": "classification", "column": "topic", "data": "long"}},
        "train": {"epochs": 6, "batch_size": 16, "learning_rate": 5e-3, "precision": "fp32"},
    }  # fmt: skip
    report = execute_run(resolve_config(mapping), folder / "run", folder=folder, emit=lambda event: None)
    return folder, report


def test_each_data_set_is_read_as_far_as_its_run_read_it(trained, monkeypatch):
    folder, report = trained
    lengths = []

    def watched(*given):
        feed = build_live_feed(*given)
        lengths.append(int(feed.encoded.lengths.max()))
        return feed

    monkeypatch.setattr(predictor_module, "build_live_feed", watched)
    again, _ = evaluate_file(folder / "run", folder / "long.jsonl")
    assert again["test"]["topic"] == report["test"]["topic"]
    predictor = load_predictor(folder / "run")
    for column in ("words", "text"):
        list(predictor.predict([predictor.pick({column: "the " * 60})]))
    assert lengths == [29, 40, 8]


def test_a_pass_is_as_large_as_its_tokens_though_vectors_are_all_that_is_kept(trained, monkeypatch):
    folder, _ = trained
    bundle = open_bundle(folder / "run" / "model")
    texts = Texts("text", pa.array(["stop", "turn on the light " * 6] * 30))
    feed = build_live_feed(bundle, texts, InputConfig(text="text"))
    assert feed.pooled
    assert feed.lengths.tolist() == feed.encoded.lengths.tolist()
    monkeypatch.setattr(feed_module, "EVALUATION_TOKENS", 100)
    batches = list(feed.split_evaluation(np.arange(60)))
    assert all(len(rows) * feed.encoded.lengths[rows].max() <= 100 for rows in batches)
    assert sorted(np.concatenate(batches).tolist()) == list(range(60))


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_states_too_large_for_halves_are_kept_whole(backbone, pooled, scale):
    facts = read_facts(str(backbone))
    lower = load_lower(facts, 4)
    lower.register_forward_hook(lambda module, given, states: {layer: state * scale for layer, state in states.items()})
    encoded: Encoded = encode_texts(Texts("text", pa.array(["turn on", "stop"])), load_tokenizer(facts.folder), 16)
    batch = read_states(lower, build_batch(encoded, np.arange(2)), (4,), CPU, torch.float32, pooled=pooled)
    state = batch.hidden[4]
    assert state.isfinite().all()
    assert state.dtype == (torch.float16 if scale == 1.0 else torch.float32)
    assert (state.abs().max() > LARGEST_HALF) == (scale > 1.0)


@pytest.mark.parametrize("pooled", [False, True])
def test_states_beyond_float16_are_refused_in_words_only(backbone, pooled):
    facts = read_facts(str(backbone))
    texts = Texts("text", pa.array(["turn on the light", "stop"]))
    encoded: Encoded = encode_texts(texts, load_tokenizer(facts.folder), 16)
    batch = build_batch(encoded, np.arange(2))

    def read(place):
        """With a state beyond float16's range in the second row."""
        lower = load_lower(facts, 4)

        def burst(module, given, states):
            states[4][1, place] = torch.inf
            return states

        lower.register_forward_hook(burst)
        return read_states(lower, batch, (4,), CPU, torch.float16, pooled=pooled)

    assert batch.mask[1].tolist()[-1] is False
    with pytest.raises(ConfigError) as caught:
        read(0)
    assert caught.value.code == "states_overflow"
    if not pooled:
        assert read(-1).hidden[4][batch.mask].isfinite().all()


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("kind", ["bottleneck", "attention"])
def test_a_text_without_a_token_has_an_answer(tmp_path, family, kind):
    """Decoders may put nothing around a text."""
    model = save_tiny_backbone(tmp_path / "bare", family)
    content = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    (model / "tokenizer.json").write_text(json.dumps({**content, "post_processor": None}), encoding="utf-8")
    rows = [{"text": row["text"] if number % 8 else "", "intent": row["intent"]} for number, row in
            enumerate(build_commands())]  # fmt: skip
    write_rows(tmp_path / "train.jsonl", rows)
    write_rows(tmp_path / "test.jsonl", [{"text": "", "intent": "stop-it"}, *rows[1:9]])
    mapping = {
        "data": {"train": "train.jsonl", "validation": 0.25, "test": "test.jsonl"},
        "input": {"text": "text"},
        "backbone": {"name": str(model)},
        "chain": {"depth": 1, "width": 32, "links": {"kind": kind}},
        "heads": {"intent": {"kind": "classification", "column": "intent"}},
        "train": {"epochs": 2, "batch_size": 16, "precision": "fp32"},
    }
    execute_run(resolve_config(mapping), tmp_path / "run", folder=tmp_path, emit=lambda event: None)
    predictor = load_predictor(tmp_path / "run")
    alone = list(predictor.predict([{"text": ""}]))
    beside = list(predictor.predict([{"text": "stop"}, {"text": ""}]))[1:]
    for (answer,) in (alone, beside):
        found = answer["heads"]["intent"]["1"]
        assert 0 < found["confidence"] <= 1
        assert found["probabilities"] == pytest.approx(alone[0]["heads"]["intent"]["1"]["probabilities"], abs=1e-3)


def test_a_row_without_a_word_has_no_tags(backbone, tmp_path):
    write_rows(tmp_path / "train.jsonl", build_commands())
    mapping = {
        "data": {"train": "train.jsonl", "validation": 0.25},
        "input": {"tokens": "tokens"},
        "backbone": {"name": str(backbone)},
        "chain": {"depth": 1, "width": 32},
        "heads": {"slots": {"kind": "tagging", "column": "slots"}},
        "train": {"epochs": 1, "batch_size": 16, "precision": "fp32"},
    }
    execute_run(resolve_config(mapping), tmp_path / "run", folder=tmp_path, emit=lambda event: None)
    predictor = load_predictor(tmp_path / "run")
    for rows in ([{"tokens": []}], [{"tokens": []}, {"tokens": ["stop"]}]):
        assert next(predictor.predict(rows))["heads"]["slots"]["1"]["tags"] == []
