"""Convolution links against sums written out, along positions and on a grid."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from chain_core.config import LinkConfig
from chain_core.modeling.links.depthwise import look_along
from chain_core.modeling.links.kinds import build_link
from chain_core.modeling.links.link import Site


def build(kernel=3, density=1.0, **site):
    torch.manual_seed(0)
    return build_link(8, LinkConfig(kind="conv", kernel=kernel, density=density, init="random"), Site(**site)).eval()


def mix(link, seen):
    return F.linear(F.gelu(F.linear(seen, link.into.weight, link.into.bias)), link.out.weight, link.out.bias)


def normalise(link, x, mask):
    return F.layer_norm(x, (8,), link.norm.weight, link.norm.bias) * mask[:, :, None]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_along_positions(kernel, causal):
    link = build(kernel, causal=causal)
    x = torch.randn(2, 7, 8)
    mask = torch.arange(7) < torch.tensor([[7], [4]])
    states = normalise(link, x, mask)
    first = kernel - 1 if causal else kernel // 2
    seen = torch.zeros_like(x)
    for row in range(2):
        for position in range(7):
            for step in range(kernel):
                other = position + step - first
                if 0 <= other < 7:
                    seen[row, position] += link.near.weight[:, 0, step] * states[row, other]
    expected = mix(link, seen + link.near.bias)
    torch.testing.assert_close(link(x, mask), expected)
    given = torch.autograd.grad(link(x, mask)[mask].square().sum(), list(link.parameters()))
    for mine, theirs in zip(
        given, torch.autograd.grad(expected[mask].square().sum(), list(link.parameters())), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("leading", [0, 1, 2])
def test_on_a_grid_after_leading_tokens(leading):
    link = build(3, grid=True)
    x = torch.randn(2, leading + 6, 8)
    mask = torch.ones(2, leading + 6, dtype=torch.bool)
    states = normalise(link, x, mask)
    seen = torch.zeros_like(x)
    for row in range(2):
        for token in range(leading):
            seen[row, token] = link.near.weight[:, 0, 1, 1] * states[row, token]
        for down in range(3):
            for right in range(2):
                place = leading + 2 * down + right
                for up in (-1, 0, 1):
                    for left in (-1, 0, 1):
                        if 0 <= down + up < 3 and 0 <= right + left < 2:
                            other = leading + 2 * (down + up) + right + left
                            seen[row, place] += link.near.weight[:, 0, up + 1, left + 1] * states[row, other]
    expected, parameters = mix(link, seen + link.near.bias), list(link.parameters())
    torch.testing.assert_close(link(x, mask, (3, 2)), expected)
    given = torch.autograd.grad(link(x, mask, (3, 2)).square().sum(), parameters)
    for mine, theirs in zip(given, torch.autograd.grad(expected.square().sum(), parameters), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_inner_width_follows_density():
    assert build(density=0.5).into.weight.shape == (4, 8)


def test_along_positions_as_torch_has_it():
    """In bfloat16 as well, values and gradients."""
    torch.manual_seed(0)
    for dtype, close in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
        conv = torch.nn.Conv1d(6, 6, 4, groups=6)
        for before in range(4):
            states = torch.randn(3, 5, 6, dtype=dtype, requires_grad=True)
            assert conv.bias is not None
            mine = look_along(states, conv.weight, conv.bias, before)
            wide = F.pad(states.float().transpose(1, 2), (before, 3 - before))
            theirs = conv(wide).transpose(1, 2)
            torch.testing.assert_close(mine, theirs, rtol=close, atol=close)
            given = [states, conv.weight, conv.bias]
            weights = torch.randn(3, 5, 6)
            for one, other in zip(
                torch.autograd.grad((mine * weights).sum(), given),
                torch.autograd.grad((theirs * weights).sum(), given),
                strict=True,
            ):
                assert one.dtype == other.dtype
                torch.testing.assert_close(one, other, rtol=close, atol=close)
