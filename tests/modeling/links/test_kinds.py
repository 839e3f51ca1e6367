"""Links: shapes, identity at birth, densities, and attention against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from chain_core.config import LINK_KINDS, LinkConfig
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.modeling.backbones.pretrained import load_layers
from chain_core.modeling.links.kinds import SHORT, attend, build_link, pool_mean
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


@pytest.mark.parametrize("positions", [7, SHORT + 4])
@pytest.mark.parametrize("causal", [False, True])
def test_attend_is_a_weighted_mean_of_what_may_be_seen(positions, causal):
    """Values and gradients, on both sides of the length at which the kernel changes."""
    torch.manual_seed(1)
    given = [torch.randn(2, 3, positions, 16, requires_grad=True) for _ in range(3)]
    mask = torch.arange(positions) < torch.tensor([[positions], [3]])

    def reference(query, key, value):
        scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / 16**0.5
        seen = mask[:, None, None, :].expand_as(scores)
        if causal:
            seen = seen & (torch.arange(positions)[:, None] >= torch.arange(positions))
        weights = scores.exp() * seen
        return torch.einsum("bhqk,bhkd->bhqd", weights / weights.sum(3, keepdim=True), value)

    assert_alike(attend(*given, mask, causal=causal), reference(*given), given)


def assert_alike(mine, theirs, parameters):
    """The same values, and the same gradients of a loss that weighs every value otherwise."""
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    weights = torch.linspace(-1, 1, mine.numel()).view_as(mine)
    for ours, other in zip(
        torch.autograd.grad((mine * weights).sum(), parameters),
        torch.autograd.grad((theirs * weights).sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(ours, other, rtol=1e-3, atol=1e-4)


def normalise(x, norm):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt() * norm.weight + norm.bias


def multiply(x, linear):
    product = torch.einsum("btd,ed->bte", x, linear.weight)
    return product if linear.bias is None else product + linear.bias


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def compute_linear(link, x, mask):
    states = normalise(x, link.norm)
    return multiply(multiply(states, link.reduce) if hasattr(link.reduce, "weight") else states, link.out)


def compute_bottleneck(link, x, mask):
    return multiply(gelu(multiply(normalise(x, link.norm), link.into)), link.out)


def compute_attention(link, x, mask):
    heads = link.inner // link.head_size
    states = normalise(x, link.norm)
    query, key, value = (
        part.view(*x.shape[:2], heads, link.head_size).transpose(1, 2)
        for part in multiply(states, link.query_key_value).chunk(3, -1)
    )
    mixed = F.scaled_dot_product_attention(query, key, value, mask[:, None, None, :]).transpose(1, 2)
    attended = multiply(mixed.reshape(*x.shape[:2], link.inner), link.out)
    return attended + multiply(gelu(multiply(normalise(x + attended, link.norm_between), link.into)), link.back)


REFERENCES = {"linear": compute_linear, "bottleneck": compute_bottleneck, "attention": compute_attention}


@pytest.mark.parametrize("density", [1.0, 0.5])
@pytest.mark.parametrize("kind", REFERENCES)
def test_a_link_is_what_its_formula_says(kind, density, inputs):
    x, mask = inputs
    link = build_link(64, LinkConfig(kind=kind, density=density, init="random"), Site()).eval()
    for norm in (module for module in link.modules() if isinstance(module, torch.nn.LayerNorm)):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    x.requires_grad_()
    assert_alike(link(x, mask), REFERENCES[kind](link, x, mask), [x, *link.parameters()])


def test_pool_mean_counts_kept_positions_alone(inputs):
    x, mask = inputs
    torch.testing.assert_close(pool_mean(x, mask)[1], x[1, :3].mean(0))
