"""Backbone links: what a copied layer does, for every family."""

from __future__ import annotations

import pytest
import torch

from chain_core.config import LinkConfig
from chain_core.modeling.backbones.backbone import load_backbone
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.modeling.backbones.pretrained import load_layers
from chain_core.modeling.links.copied import Factored, factor_matrices
from chain_core.modeling.links.kinds import build_link
from chain_core.modeling.links.link import Site, build_basis
from tests.tiny import FAMILIES, VOCABULARY, save_tiny_vit

ALL = (*FAMILIES, "vit")


@pytest.fixture(scope="module")
def folders(backbones, tmp_path_factory):
    return {**backbones, "vit": save_tiny_vit(tmp_path_factory.mktemp("vit"))}


def load_layer(folders, family, number=2):
    return load_layers(read_facts(str(folders[family])), [number])[number]


@pytest.mark.parametrize("family", ALL)
@pytest.mark.parametrize("number", [1, 3])
def test_a_layer_alone_does_what_it_does_in_its_model(folders, family, number):
    facts = read_facts(str(folders[family]))
    model = load_backbone(facts).eval()
    torch.manual_seed(0)
    mask = torch.arange(7) < torch.tensor([[7], [4]])
    if family == "vit":
        inputs = {"pixel_values": torch.randn(2, 3, 6, 4)}
    else:
        inputs = {"input_ids": torch.randint(4, len(VOCABULARY), (2, 7)), "attention_mask": mask.long()}
    with torch.no_grad():
        states = model(**inputs, output_hidden_states=True).hidden_states
        kept = mask if family != "vit" else torch.ones(2, states[0].shape[1], dtype=torch.bool)
        given = load_layer(folders, family, number)(states[number - 1], kept)
    torch.testing.assert_close(given[kept], states[number][kept], rtol=1e-4, atol=1e-5)


@pytest.fixture
def inputs():
    torch.manual_seed(2)
    return torch.randn(2, 6, 32), torch.arange(6) < torch.tensor([[6], [4]])


@pytest.mark.parametrize("family", ALL)
def test_as_wide_as_the_backbone_it_begins_as_the_layers_change(folders, inputs, family):
    (x, mask), layer = inputs, load_layer(folders, family)
    link = build_link(32, LinkConfig(kind="backbone", init="backbone"), Site(layer=layer)).eval()
    torch.testing.assert_close(link(x, mask), layer(x, mask) - x)
    assert all(parameter.requires_grad for parameter in link.parameters())
    assert not any(parameter.requires_grad for parameter in layer.parameters())


def test_in_another_width_it_sees_the_layer_through_the_basis(folders, inputs):
    layer, mask = load_layer(folders, "gpt2"), inputs[1]
    for width in (16, 48):
        basis = build_basis(width, 32)
        link = build_link(width, LinkConfig(kind="backbone", init="backbone"), Site(layer=layer, basis=basis)).eval()
        x = torch.randn(2, 6, width)
        entering = x @ basis
        torch.testing.assert_close(link(x, mask), (layer(entering, mask) - entering) @ basis.T)


@pytest.mark.parametrize("family", ALL)
def test_random_begins_anew_and_a_copy_leaves_the_layer_alone(folders, inputs, family):
    layer = load_layer(folders, family)
    link = build_link(32, LinkConfig(kind="backbone", init="random"), Site(layer=layer))
    pretrained = dict(layer.layer.named_parameters())
    for name, parameter in link.layer.layer.named_parameters():
        if parameter.ndim > 1:
            assert not torch.equal(parameter, pretrained[name])
            assert 0.01 < parameter.std() < 0.03
        else:
            assert (parameter == (0 if name.endswith("bias") else 1)).all()
    link(*inputs).sum().backward()
    assert all(parameter.grad is None for parameter in layer.parameters())


@pytest.mark.parametrize("family", ALL)
def test_density_keeps_the_best_approximation(folders, family):
    layer, share = load_layer(folders, family), 0.4
    thin = build_link(32, LinkConfig(kind="backbone", density=share), Site(layer=layer)).layer.layer
    whole = dict(layer.layer.named_modules())
    replaced = {name: module for name, module in thin.named_modules() if isinstance(module, Factored)}
    assert len(replaced) >= 4
    for name, module in replaced.items():
        weight = whole[name].weight.detach()
        weight = weight if isinstance(whole[name], torch.nn.Linear) else weight.T
        product = module.out.weight @ module.reduce.weight
        count = module.out.weight.numel() + module.reduce.weight.numel()
        assert share * weight.numel() - sum(weight.shape) < count <= share * weight.numel()
        lost = torch.linalg.svdvals(weight)[len(module.reduce.weight) :]
        torch.testing.assert_close((product - weight).norm(), lost.norm(), rtol=1e-3, atol=1e-4)
        x = torch.randn(3, weight.shape[1])
        bias = whole[name].bias if whole[name].bias is not None else 0
        torch.testing.assert_close(module(x), x @ product.T + bias, rtol=1e-4, atol=1e-5)


def test_two_factors_of_full_rank_lose_nothing(folders, inputs):
    x, mask = inputs
    layer, thin = load_layer(folders, "bert"), load_layer(folders, "bert").copy()
    for module in list(thin.layer.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.Linear):
                setattr(module, name, Factored(child.weight.detach(), child.bias, min(child.weight.shape)))
    torch.testing.assert_close(thin(x, mask), layer(x, mask), rtol=1e-4, atol=1e-5)


def test_factors_replace_every_matrix(folders):
    layer = load_layer(folders, "gpt2").copy()
    factor_matrices(layer.layer, 0.5)
    assert not any(type(module).__name__ == "Conv1D" for module in layer.layer.modules())


@pytest.mark.parametrize("family", ALL)
def test_gradients_are_those_of_the_layer(folders, inputs, family):
    (x, mask), layer = inputs, load_layer(folders, family)
    link = build_link(32, LinkConfig(kind="backbone", init="backbone", dropout=0.0), Site(layer=layer)).train()
    first, second = x.clone().requires_grad_(), x.clone().requires_grad_()
    link(first, mask)[mask].square().sum().backward()
    layer.layer.requires_grad_(True)
    (layer(second, mask) - second)[mask].square().sum().backward()
    torch.testing.assert_close(first.grad, second.grad, rtol=1e-4, atol=1e-5)
    theirs = dict(layer.layer.named_parameters())
    for name, parameter in link.layer.layer.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs[name].grad, rtol=1e-4, atol=1e-5)


def test_dropout_is_the_links_own(folders, inputs):
    layer = load_layer(folders, "bert")
    still = build_link(32, LinkConfig(kind="backbone", init="backbone", dropout=0.0), Site(layer=layer)).train()
    assert torch.equal(still(*inputs), still(*inputs))
    lively = build_link(32, LinkConfig(kind="backbone", init="backbone", dropout=0.5), Site(layer=layer)).train()
    assert not torch.equal(lively(*inputs), lively(*inputs))


@pytest.mark.parametrize("family", ALL)
def test_half_precision_is_close(folders, inputs, family):
    (x, mask), layer = inputs, load_layer(folders, family)
    link = build_link(32, LinkConfig(kind="backbone", init="backbone"), Site(layer=layer)).eval()
    with torch.no_grad():
        whole = link(x, mask)[mask]
        with torch.autocast("cpu", torch.bfloat16):
            half = link(x.half(), mask)[mask]
    assert (half.float() - whole).norm() < 0.05 * whole.norm() + 0.05
