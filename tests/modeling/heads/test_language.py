"""Heads without labels against the plain formula, and their tie to the backbone's embeddings."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from chain_core.config import resolve_config
from chain_core.data.task import SENTENCE_LABELS, Task
from chain_core.modeling.backbones.backbone import get_input_embeddings, load_input_embeddings
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.modeling.backbones.shapes import read_shapes
from chain_core.modeling.batch import Batch
from chain_core.modeling.chain import count_parameters
from chain_core.modeling.heads.counts import count_head
from chain_core.modeling.heads.head import Place
from chain_core.modeling.heads.language import POSITIONS_AT_ONCE, MaskedHead
from chain_core.modeling.model import build_model
from chain_core.modeling.plan import compute_plan

CONFIG = resolve_config({"data": {"train": "x"}, "heads": {"lm": {"kind": "causal_lm"}}})
HEAD = CONFIG.heads["lm"]
TASK = Task("lm", "masked_lm", "")


def build_head(width=16, vocabulary=50, size=24, **settings):
    torch.manual_seed(0)
    table = torch.randn(vocabulary, size)
    return MaskedHead(TASK, replace_head(**settings), Place(width, embeddings=table)), table


def replace_head(**settings):
    return HEAD.model_copy(update={"dropout": 0.0, **settings})


def make_batch(labels):
    mask = torch.ones(labels.shape, dtype=torch.bool)
    return Batch(torch.arange(len(labels)).numpy(), mask, labels={"lm": labels})


def compute_plainly(head, table, states, labels):
    """The loss by the formula, over all positions at once."""
    x = F.layer_norm(states, (states.shape[2],), head.norm.weight, head.norm.bias)
    x = x @ head.into.weight.T + head.into.bias
    x = F.layer_norm(x, (x.shape[2],), head.norm_out.weight, head.norm_out.bias)
    logits = x @ table.T + head.bias
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-1)


@pytest.mark.parametrize("rows", [3, 300])
def test_loss_and_gradients_are_those_of_the_formula(rows):
    head, table = build_head()
    assert rows * 7 > POSITIONS_AT_ONCE or rows == 3
    states = torch.randn(rows, 7, 16, requires_grad=True)
    labels = torch.randint(0, 50, (rows, 7)).masked_fill(torch.rand(rows, 7) < 0.3, -1)
    batch = make_batch(labels)
    loss = head.compute_loss(head(states, batch), labels, batch)
    gradients = torch.autograd.grad(loss, [states, *head.parameters()])
    plain = compute_plainly(head, table, states, labels)
    expected = torch.autograd.grad(plain, [states, *head.parameters()])
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5)
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_nothing_masked_costs_nothing():
    head, _ = build_head()
    states = torch.randn(2, 3, 16, requires_grad=True)
    labels = torch.full((2, 3), -1)
    batch = make_batch(labels)
    loss = head.compute_loss(head(states, batch), labels, batch)
    loss.backward()
    assert loss.item() == 0
    assert head.count_right(head(states, batch), labels) == 0


def test_right_guesses_are_counted():
    head, _ = build_head()
    states = torch.randn(4, 5, 16)
    labels = torch.full((4, 5), -1)
    labels[:, 2] = 7
    with torch.no_grad():
        head.bias[7] = 1e4
    batch = make_batch(labels)
    assert head.count_right(head(states, batch), labels) == head.count_known(labels, batch) == 4


def build(folder, /, **sections):
    mapping = {
        "data": {"train": "x"}, "input": {"text": "t"}, "chain": {"depth": 1, "width": 16},
        "heads": {"masked_lm": {"kind": "masked_lm"}, "next_sentence": {"kind": "next_sentence"}},
        "stages": [{"objective": "masked_lm"}, {"objective": "next_sentence"}], **sections,
        "backbone": {"name": str(folder), **sections.get("backbone", {})},
    }  # fmt: skip
    config = resolve_config(mapping)
    tasks = (Task("masked_lm", "masked_lm", ""), Task("next_sentence", "next_sentence", "", SENTENCE_LABELS))
    return config, build_model(config, tasks, read_facts(str(folder)))


def test_embeddings_are_the_backbones_and_no_parameter_of_the_head(backbone):
    config, model = build(backbone)
    head = model.chain.get_head("masked_lm", 1)
    facts = read_facts(str(backbone))
    assert torch.equal(head.embeddings, load_input_embeddings(facts))
    assert not any("table" in name for name in model.get_saved())
    for name in ("masked_lm", "next_sentence"):
        own, classes = model.chain.get_head(name, 1), {"masked_lm": facts.vocab_size, "next_sentence": 2}[name]
        counted = count_head(
            16, classes, config.heads[name], positions=True, pair=name == "next_sentence", hidden_size=32
        )
        assert count_parameters(own) == counted, name
    plan = compute_plan(config, facts, read_shapes(facts.folder, facts.num_layers), {})
    planned = {part.name: part.parameters for part in plan.parts if part.kind == "head"}
    assert planned == {name: count_parameters(model.chain.get_head(name, 1)) for name in planned}


def test_a_tuned_table_is_the_same_parameter(backbone):
    _, model = build(backbone, backbone={"tuning": "full"})
    head = model.chain.get_head("masked_lm", 1)
    assert head.embeddings is get_input_embeddings(model.upper.model)
    names = [name for name, _ in model.named_parameters()]
    assert sum("word_embeddings" in name for name in names) == 1
    labels = torch.full((2, 3), -1)
    labels[0, 1] = 5
    batch = replace(make_batch(labels), labels={"masked_lm": labels}, input_ids=torch.ones(2, 3, dtype=torch.int64))
    model.chain.active_heads = frozenset({"masked_lm"})
    (logits,) = model(batch).values()
    head.compute_loss(logits, labels, batch).backward()
    assert head.embeddings.grad is not None
