"""Links: shapes, identity at birth, densities, and attention against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from chain_core.config import LINK_KINDS, LinkConfig
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.modeling.backbones.pretrained import load_layers
from chain_core.modeling.links.kinds import attend, build_link, pool_mean
from chain_core.modeling.links.link import Site


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    mask = torch.arange(7) < torch.tensor([[7], [3]])
    return torch.randn(2, 7, 64), mask


@pytest.fixture(scope="session")
def site(backbones):
    """The second layer of a BERT of width 32."""
    return Site(layer=load_layers(read_facts(str(backbones["bert"])), [2])[2])


@pytest.mark.parametrize("kind", LINK_KINDS)
def test_identity_adds_nothing_at_first_but_learns(kind, inputs, site):
    x, mask = inputs
    link = build_link(64, LinkConfig(kind=kind), site).eval()
    assert torch.equal(link(x, mask), torch.zeros_like(x))
    link(x, mask).square().sum().backward()
    (link(x, mask) * torch.randn_like(x)).sum().backward()
    assert any(output.weight.grad.abs().sum() > 0 for output in link.get_outputs())


@pytest.mark.parametrize("kind", LINK_KINDS)
def test_random_adds_something_of_the_same_shape(kind, inputs, site):
    x, mask = inputs
    change = build_link(64, LinkConfig(kind=kind, init="random"), site).eval()(x, mask)
    assert change.shape == x.shape
    assert change.abs().sum() > 0


@pytest.mark.parametrize("kind", LINK_KINDS)
def test_dropout_changes_what_a_link_adds_while_it_trains(kind, inputs, site):
    x, mask = inputs
    link = build_link(64, LinkConfig(kind=kind, init="random", dropout=0.5), site).train()
    assert not torch.equal(link(x, mask), link(x, mask))
    plain = build_link(64, LinkConfig(kind=kind, init="random", dropout=0.0), site).train()
    assert torch.equal(plain(x, mask), plain(x, mask))


@pytest.mark.parametrize("kind", LINK_KINDS)
def test_less_density_is_fewer_parameters(kind, site):
    sizes = [
        sum(p.numel() for p in build_link(256, LinkConfig(kind=kind, density=density), site).parameters())
        for density in (0.1, 0.5, 0.99, 1.0)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1] < sizes[3]


@pytest.mark.parametrize("kind", LINK_KINDS)
def test_freeze_leaves_nothing_to_train(kind, site):
    link = build_link(32, LinkConfig(kind=kind, strategy="freeze"), site)
    assert not any(p.requires_grad for p in link.parameters())


@pytest.mark.parametrize("kind", LINK_KINDS)
def test_padding_changes_nothing(kind, inputs, site):
    x, mask = inputs
    link = build_link(64, LinkConfig(kind=kind, init="random"), site).eval()
    alone = link(x[1:, :3], mask[1:, :3])
    torch.testing.assert_close(link(x, mask)[1:, :3], alone)


def test_attend_equals_torch(inputs):
    torch.manual_seed(1)
    query, key, value = (torch.randn(2, 3, 7, 16, requires_grad=True) for _ in range(3))
    mask = inputs[1]
    mine = attend(query, key, value, mask)
    torch.testing.assert_close(mine, F.scaled_dot_product_attention(query, key, value, mask[:, None, None, :]))
    gradients = torch.autograd.grad(mine.square().sum(), (query, key, value))
    reference = F.scaled_dot_product_attention(query, key, value, mask[:, None, None, :]).square().sum()
    for ours, theirs in zip(gradients, torch.autograd.grad(reference, (query, key, value)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_pool_mean_counts_kept_positions_alone(inputs):
    x, mask = inputs
    torch.testing.assert_close(pool_mean(x, mask)[1], x[1, :3].mean(0))
