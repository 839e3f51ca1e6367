"""Dropout keeps the mean, the rate and the seed."""

from __future__ import annotations

import pytest
import torch

from chain_core.modeling.dropout import Dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_rate_and_mean(rate):
    torch.manual_seed(0)
    x = torch.ones(1001, 333)
    dropped = Dropout(rate)(x)
    assert abs((dropped == 0).float().mean().item() - rate) < 0.01
    assert abs(dropped.mean().item() - 1) < 0.02


def test_every_place_can_be_kept_and_dropped():
    torch.manual_seed(0)
    share = torch.stack([(Dropout(0.5)(torch.ones(64)) == 0).float() for _ in range(400)]).mean(0)
    assert share.min() > 0.35
    assert share.max() < 0.65


def test_seed_and_evaluation():
    x = torch.randn(8, 5)
    torch.manual_seed(3)
    first = Dropout(0.3)(x)
    torch.manual_seed(3)
    assert torch.equal(first, Dropout(0.3)(x))
    assert Dropout(0.3).eval()(x) is x


def test_gradient_flows_where_kept():
    torch.manual_seed(0)
    x = torch.ones(50, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
