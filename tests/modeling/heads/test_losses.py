"""Focal losses against plain references, with class weights and label smoothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from chain_core.modeling.heads.losses import compute_binary_cross_entropy, compute_cross_entropy

WEIGHTS = torch.tensor([0.5, 2.0, 1.0])


def compute_reference(logits, labels, weights, smoothing: float, focal: float):
    total, share = torch.zeros(()), torch.zeros(())
    for row, label in zip(logits, labels, strict=True):
        if label < 0:
            continue
        chances = torch.softmax(row, 0)
        kinds = len(row)
        plain = -(1 - smoothing) * weights[label] * chances[label].log()
        plain = plain - smoothing / kinds * (weights * chances.log()).sum()
        total = total + (1 - chances[label]) ** focal * plain
        share = share + weights[label]
    return total / share


@pytest.mark.parametrize("focal", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [torch.ones(3), WEIGHTS], ids=["even", "weighted"])
def test_cross_entropy(focal, smoothing, weights) -> None:
    labels = torch.tensor([0, 2, -1, 1, 1])
    inputs = [torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2)]
    loss = compute_cross_entropy(inputs[0], labels, weights, smoothing, focal)
    expected = compute_reference(inputs[1], labels, weights, smoothing, focal)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, inputs[0]), torch.autograd.grad(expected, inputs[1]))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_tiny_exponent_is_cross_entropy(smoothing) -> None:
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, -1, 0, 1])
    plain = F.cross_entropy(logits, labels, WEIGHTS, ignore_index=-1, label_smoothing=smoothing)
    torch.testing.assert_close(compute_cross_entropy(logits, labels, WEIGHTS, smoothing, 0.0), plain)
    torch.testing.assert_close(compute_cross_entropy(logits, labels, WEIGHTS, smoothing, 1e-9), plain)


@pytest.mark.parametrize("focal", [0.0, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_binary_cross_entropy(focal, smoothing) -> None:
    labels = torch.tensor([[1.0, 0.0], [math.nan, math.nan], [0.0, 1.0]])
    weights = torch.tensor([3.0, 0.5])
    logits = torch.randn(3, 2)
    terms = []
    for row in (0, 2):
        for k in range(2):
            chance = torch.sigmoid(logits[row, k])
            target = labels[row, k] * (1 - smoothing) + smoothing / 2
            plain = -(weights[k] * target * chance.log() + (1 - target) * (1 - chance).log())
            right = chance if labels[row, k] == 1 else 1 - chance
            terms.append((1 - right) ** focal * plain)
    loss = compute_binary_cross_entropy(logits, labels, weights, smoothing, focal)
    torch.testing.assert_close(loss, torch.stack(terms).mean())


@pytest.mark.parametrize("focal", [0.3, 2.0])
def test_sure_examples_give_finite_gradients(focal) -> None:
    logits = torch.tensor([[80.0, -80.0, 0.0]], requires_grad=True)
    compute_cross_entropy(logits, torch.tensor([0]), torch.ones(3), 0.1, focal).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
