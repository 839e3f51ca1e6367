"""Chains: shapes, taps, heads at their depths, detaching, and models that learn."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from chain_core.config import ChainConfig, resolve_config
from chain_core.data.encode import encode_texts
from chain_core.data.schema import Task
from chain_core.data.text import Texts
from chain_core.errors import ConfigError
from chain_core.modeling.backbones.catalogue import load_tokenizer, read_facts
from chain_core.modeling.batch import build_batch
from chain_core.modeling.chain import count_parameters
from chain_core.modeling.heads.head import PairPool, Pool
from chain_core.modeling.model import build_model, load_lower
from chain_core.modeling.reads import choose_taps, find_layers_read, needs_positions

TASKS = (
    Task("intent", "classification", "intent", ("on", "off", "dim")),
    Task("slots", "tagging", "slots", ("O", "B-x", "I-x")),
)


def build_config(folder, **sections):
    heads = {
        "intent": {"kind": "classification", "column": "intent", "depths": [0, "last"]},
        "slots": {"kind": "tagging", "column": "slots", "depths": [1]},
    }
    base = {"data": {"train": "x"}, "heads": heads, "chain": {"depth": 2, "width": 32}}
    base["backbone"] = {"name": str(folder), **sections.pop("backbone", {})}
    return resolve_config({**base, **sections})


@pytest.fixture
def setting(backbones):
    facts = read_facts(str(backbones["bert"]))
    texts = Texts("tokens", pa.array([["turn", "on", "the", "light"], ["stop"], ["dab", "in", "hall"]]))
    return facts, encode_texts(texts, load_tokenizer(facts.folder), 16, lexical=True)


def compute_hidden(facts, encoded, model):
    batch = build_batch(encoded, np.arange(encoded.rows))
    lower = load_lower(facts, model.base)
    with torch.no_grad():
        return batch, {layer: lower(batch.mask, batch.input_ids)[layer] for layer in model.cached_layers}


@pytest.mark.parametrize(
    ("depth", "layers", "taps"),
    [
        (3, 6, (2, 4, 6)),
        (1, 6, (6,)),
        (6, 6, (1, 2, 3, 4, 5, 6)),
        (7, 6, (0, 1, 2, 3, 4, 5, 6)),
        (0, 6, ()),
        (2, 12, (6, 12)),
    ],
)
def test_taps_are_even_and_end_at_the_last_layer(depth, layers, taps):
    assert choose_taps(ChainConfig(depth=depth), layers) == taps


def test_tap_beyond_the_backbone():
    with pytest.raises(ConfigError) as caught:
        choose_taps(ChainConfig(depth=2, taps=(1, 9)), 6)
    assert caught.value.path == "chain.taps[1]"


def test_the_first_link_joins_what_the_lexical_tap_gives(setting):
    facts, encoded = setting
    model = build_model(build_config(facts.folder, chain={"depth": 2, "width": 32, "lexical": "on"}), TASKS, facts)
    batch, hidden = compute_hidden(facts, encoded, model)
    chain = model.chain.eval()
    for parameter in chain.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    first, tapped = chain.cells[0], hidden[chain.taps[0]]
    embedded = chain.lexical.embedding.weight[batch.lexical].sum(2)
    joined = first.project(first.norm(tapped)) + chain.lexical.project(embedded)
    states = chain.compute_states(hidden, batch)
    torch.testing.assert_close(states[1], joined + first.link(joined, batch.mask))
    again = chain.cells[1].project(chain.cells[1].norm(hidden[chain.taps[1]])) + states[1]
    torch.testing.assert_close(states[2], again + chain.cells[1].link(again, batch.mask))
    chain(hidden, batch)["intent", 2].square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in chain.lexical.parameters())


def test_logits_of_every_head_at_every_depth(setting):
    facts, encoded = setting
    model = build_model(build_config(facts.folder), TASKS, facts)
    batch, hidden = compute_hidden(facts, encoded, model)
    logits = model.chain(hidden, batch)
    assert {key: tuple(value.shape) for key, value in logits.items()} == {
        ("intent", 0): (3, 3),
        ("intent", 2): (3, 3),
        ("slots", 1): (3, 4, 3),
    }
    assert model.cached_layers == (2, 4)


def test_new_links_pass_the_state_on(setting):
    facts, encoded = setting
    model = build_model(build_config(facts.folder), TASKS, facts).eval()
    batch, hidden = compute_hidden(facts, encoded, model)
    states = model.chain.compute_states(hidden, batch)
    torch.testing.assert_close(states[1], states[2])
    assert states[1].abs().sum() > 0


@pytest.mark.parametrize(
    ("pooling", "second", "pool"),
    [("auto", "other", PairPool), ("pair", "other", PairPool), ("row", "other", Pool), ("auto", None, Pool)],
)
def test_pooling_is_as_the_config_says(setting, pooling, second, pool):
    facts, _ = setting
    heads = {"intent": {"kind": "classification", "column": "c", "pooling": pooling}}
    config = build_config(facts.folder, input={"text": "text", "pair": second}, heads=heads)
    model = build_model(config, TASKS[:1], facts)
    assert type(model.chain.get_head("intent", config.chain.depth).pool) is pool


def test_depth_zero_has_no_link(setting):
    facts, encoded = setting
    heads = {"slots": {"kind": "tagging", "column": "slots"}}
    model = build_model(build_config(facts.folder, chain={"depth": 0}, heads=heads), TASKS[1:], facts)
    assert len(model.chain.cells) == 0
    assert model.cached_layers == (4,)
    batch, hidden = compute_hidden(facts, encoded, model)
    assert list(model.chain(hidden, batch)) == [("slots", 0)]


@pytest.mark.parametrize("detach", [False, True])
def test_detach_stops_the_gradient(setting, detach):
    facts, encoded = setting
    chain = {"depth": 2, "width": 32, "links": {"kind": "bottleneck", "detach": detach, "init": "random"}}
    heads = {"intent": {"kind": "classification", "column": "intent"}}
    model = build_model(build_config(facts.folder, chain=chain, heads=heads), TASKS[:1], facts)
    batch, hidden = compute_hidden(facts, encoded, model)
    model.chain(hidden, batch)["intent", 2].sum().backward()
    first = [p.grad for p in model.chain.cells[0].parameters()]
    assert all(grad is None for grad in first) == detach


def test_pooled_where_nothing_needs_positions(setting):
    facts, _ = setting
    intent = {"intent": {"kind": "classification", "column": "intent"}}
    assert not needs_positions(build_config(facts.folder, heads=intent))
    assert needs_positions(build_config(facts.folder))
    assert needs_positions(build_config(facts.folder, heads=intent, chain={"links": {"kind": "attention"}}))
    assert needs_positions(build_config(facts.folder, heads=intent, backbone={"tuning": "lora"}))


def test_layers_read(setting):
    facts, _ = setting
    assert find_layers_read(build_config(facts.folder, chain={"depth": 2, "taps": [1, 2]}), 4) == (1, 2, 4)


@pytest.mark.parametrize("tuning", ["lora", "full"])
@pytest.mark.parametrize("layers", [1, None])
def test_tuned_models_start_from_the_cache_and_learn_above_it(setting, tuning, layers):
    facts, encoded = setting
    model = build_model(build_config(facts.folder, backbone={"tuning": tuning, "layers": layers}), TASKS, facts)
    assert model.base == (3 if layers else 0)
    batch = build_batch(encoded, np.arange(3))
    if layers:
        batch, hidden = compute_hidden(facts, encoded, model)
        batch = build_batch(encoded, np.arange(3), hidden={})
        batch = type(batch)(**{**batch.__dict__, "hidden": hidden})
    sum(value.square().sum() for value in model(batch).values()).backward()
    assert any(p.grad is not None and p.grad.abs().any() for p in model.upper.parameters())
    assert count_parameters(model, trainable=True) < count_parameters(model) or tuning == "full"


def test_same_seed_same_weights(setting):
    facts, _ = setting
    first, second = (build_model(build_config(facts.folder), TASKS, facts).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
