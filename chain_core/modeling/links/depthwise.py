"""A depthwise convolution along the positions, (B, T, D) -> (B, T, D), as a sum of shifted products on the CPU.

torch unrolls a depthwise convolution into matrix products there, one a feature: its backward pass took an eighth of a
training step, several times as long as the few passes over the states here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def look_along(states: Tensor, weight: Tensor, bias: Tensor, before: int) -> Tensor:
    """y_t = bias + sum over j < K of weight_j * x_{t + j - before}; zeros beyond the ends.

    States (B, T, D), weight (D, 1, K), bias (D,). On the CPU float32, elsewhere as torch's own convolution.
    """
    if states.device.type == "cpu":
        return _Along.apply(states, weight, bias, before)
    after = weight.shape[2] - 1 - before
    return F.conv1d(F.pad(states.transpose(1, 2), (before, after)), weight, bias, groups=len(weight)).transpose(1, 2)


class _Along(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor, before: int) -> Tensor:
        rows, positions = weight[:, 0].t().contiguous(), states.shape[1]  # (K, D)
        wide = F.pad(states.float(), (0, 0, before, len(rows) - 1 - before))
        ctx.save_for_backward(wide, rows)
        ctx.before, ctx.dtype = before, states.dtype
        seen = torch.addcmul(bias, wide[:, :positions], rows[0])
        for step in range(1, len(rows)):
            seen.addcmul_(wide[:, step : step + positions], rows[step])
        return seen

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        wide, rows = ctx.saved_tensors
        gradient, positions = gradient.float(), gradient.shape[1]
        for_states = torch.zeros_like(wide)
        for step, row in enumerate(rows):
            for_states[:, step : step + positions].addcmul_(gradient, row)
        for_rows = [(wide[:, step : step + positions] * gradient).sum((0, 1)) for step in range(len(rows))]
        return (
            for_states[:, ctx.before : ctx.before + positions].to(ctx.dtype),
            torch.stack(for_rows, 1)[:, None],
            gradient.sum((0, 1)),
            None,
        )
