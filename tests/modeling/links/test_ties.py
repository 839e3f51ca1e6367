"""One set of parameters, two uses: values, gradients, counts and bundles of tied links."""

from __future__ import annotations

import copy

import pytest
import torch
from safetensors.torch import load_file

from chain_core.config import resolve_config
from chain_core.data.schema import Task
from chain_core.modeling.backbones.backbone import find_layers
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.modeling.batch import Batch
from chain_core.modeling.bundle import WEIGHTS, load_bundle, save_bundle
from chain_core.modeling.chain import count_parameters
from chain_core.modeling.model import build_model
from chain_core.modeling.reads import find_owner

TASKS = (Task("a", "classification", "a", ("x", "y", "z")),)


def build(folder, links, *, backbone=None, **chain):
    config = resolve_config(
        {
            "data": {"train": "t"},
            "input": {"text": "w"},
            "backbone": {"name": str(folder), **(backbone or {})},
            "chain": {"depth": len(links), "width": 32, "links": links, **chain},
            "heads": {"a": {"kind": "classification", "column": "a"}},
        }
    )
    facts = read_facts(str(folder))
    return build_model(config, TASKS, facts).eval(), config, facts


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    mask = torch.arange(6) < torch.tensor([[6], [4]])
    ids = torch.randint(4, 20, (2, 6)) * mask
    hidden = {layer: torch.randn(2, 6, 32) for layer in range(5)}
    return Batch(None, mask, input_ids=ids, hidden=hidden)


@pytest.mark.parametrize("kind", ["bottleneck", "attention", "conv", "backbone"])
def test_a_tied_link_learns_as_two_copies_whose_gradients_add_up(backbones, inputs, kind):
    free = {"kind": kind, "init": "random", "dropout": 0.0}
    tied, _, _ = build(backbones["bert"], [free, free | {"tie": 1}], taps=[2, 2])
    apart, _, _ = build(backbones["bert"], [free, free], taps=[2, 2])
    with torch.no_grad():
        for index in (0, 1):
            for part in ("norm", "project", "link"):
                theirs = getattr(tied.chain.cells[index], part)
                getattr(apart.chain.cells[index], part).load_state_dict(theirs.state_dict())
        apart.chain.heads.load_state_dict(tied.chain.heads.state_dict())
    ours, theirs = tied(inputs)["a", 2], apart(inputs)["a", 2]
    torch.testing.assert_close(ours, theirs)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    first, second = (dict(apart.chain.cells[index].link.named_parameters()) for index in (0, 1))
    for name, parameter in tied.chain.cells[0].link.named_parameters():
        torch.testing.assert_close(parameter.grad, first[name].grad + second[name].grad, msg=name)
    for index in (0, 1):
        mine = tied.chain.cells[index].project.weight.grad
        torch.testing.assert_close(mine, apart.chain.cells[index].project.weight.grad)


def test_ties_are_counted_and_saved_once(backbones, tmp_path, inputs):
    links = [{"kind": "attention", "init": "random"}, {"kind": "attention", "tie": 1}, {"kind": "attention", "tie": 2}]
    model, config, facts = build(backbones["bert"], links)
    assert [find_owner(config, position) for position in (1, 2, 3)] == [1, 1, 1]
    counts = [count_parameters(cell) for cell in model.chain.cells]
    joining = 2 * 32 + 32 * 32 + 32
    assert counts[1:] == [joining, joining]
    assert sum(counts) + count_parameters(model.chain.heads) == count_parameters(model.chain)
    save_bundle(tmp_path / "model", model, config, TASKS, facts)
    loaded, *_ = load_bundle(tmp_path / "model")
    assert loaded.chain.cells[2].link is loaded.chain.cells[0].link
    assert torch.equal(model(inputs)["a", 3], loaded(inputs)["a", 3])


def test_a_tie_leaves_freezing_to_the_link_that_owns_the_parameters(backbones):
    free, frozen = {"kind": "bottleneck"}, {"kind": "bottleneck", "tie": 1, "strategy": "freeze"}
    model, _, _ = build(backbones["bert"], [free, frozen])
    assert all(p.requires_grad for p in model.chain.cells[0].parameters())
    assert not any(p.requires_grad for p in model.chain.cells[1].parameters())


@pytest.mark.parametrize("tuning", [{"tuning": "full"}, {"tuning": "lora", "dropout": 0.0}, {"tuning": "prefix"}])
def test_tied_to_a_tuned_layer_its_gradients_add_up(backbones, inputs, tuning):
    links = [{"kind": "backbone", "tie": "backbone", "init": "backbone", "dropout": 0.0}]
    model, _, _ = build(backbones["bert"], links, backbone={**tuning, "layers": 2}, taps=[3])
    layer = model.chain.cells[0].link._tied[0].layer
    assert layer is find_layers(model.upper.model, 2)[0]
    twin = copy.deepcopy(layer)
    inputs = Batch(None, inputs.mask, hidden={2: inputs.hidden[2]})
    model(inputs)["a", 1].square().sum().backward()
    both = {name: p.grad.clone() for name, p in layer.named_parameters() if p.requires_grad and p.grad is not None}
    assert both

    model.zero_grad()
    tied = model.chain.cells[0].link._tied[0]
    tied.layer = twin  # the same values, apart
    model(inputs)["a", 1].square().sum().backward()
    apart = dict(twin.named_parameters())
    for name, parameter in layer.named_parameters():
        if name in both:
            torch.testing.assert_close(both[name], parameter.grad + apart[name].grad, rtol=1e-4, atol=1e-6, msg=name)
            assert apart[name].grad.abs().sum() > 0 or parameter.grad.abs().sum() == 0


def test_tied_to_a_frozen_layer_keeps_it_out_of_the_bundle(backbones, tmp_path, inputs):
    links = [{"kind": "backbone", "tie": "backbone", "init": "backbone"}]
    model, config, facts = build(backbones["bert"], links)
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any("borrowed" in name for name in names)
    assert any("borrowed" in name for name in model.state_dict())
    save_bundle(tmp_path / "model", model, config, TASKS, facts)
    assert not any("layer." in name for name in load_file(tmp_path / "model" / WEIGHTS))
    loaded, *_ = load_bundle(tmp_path / "model")
    assert torch.equal(model(inputs)["a", 1], loaded(inputs)["a", 1])


def test_a_step_leaves_a_frozen_tied_layer_as_it_was(backbones, inputs):
    links = [{"kind": "backbone", "tie": "backbone", "init": "backbone"}]
    model, _, _ = build(backbones["bert"], links)
    model.train()
    before = copy.deepcopy(model.borrowed.state_dict())
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(inputs)["a", 1].sum().backward()
    optimiser.step()
    assert all(torch.equal(value, before[name]) for name, value in model.borrowed.state_dict().items())


@pytest.mark.parametrize("tie", [None, "backbone"])
def test_growing_by_a_backbone_link_changes_nothing_at_first(backbones, inputs, tie):
    first = {"kind": "backbone", "init": "backbone"}
    links = [first, {"kind": "backbone", "tie": tie}]
    model, _, _ = build(backbones["gpt2"], links)
    model.chain.active_depth = 1
    before = model(inputs)["a", 2]
    model.chain.active_depth = 2
    assert torch.equal(model(inputs)["a", 2], before)
