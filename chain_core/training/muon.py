"""Muon: matrices move along the orthogonal matrix nearest to their gradient, other parameters as AdamW moves them.

A gradient's few large singular values outweigh all it says besides; an update whose singular values are all alike
teaches every direction at once, and so takes fewer steps (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon/). Scaled to the size of an AdamW update, it takes about the same learning
rates (Liu et al. 2025, arXiv 2502.16982).

Finding that matrix is most of its work, and what it is found of, the mean of many gradients, hardly changes from step
to step. So a matrix moves in every second step alone, twice as far; half of them in the one, half in the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95
RMS = 0.2
"""Of an AdamW update's elements, in learning rates."""
EVERY = 2
"""Steps of which a matrix moves in one, by that many at once: at 2 training ends as well as at 1, at 4 less so."""
_POLYNOMIALS = (
    (8.0934, -23.6204, 17.4462),
    (3.6366, -2.7219, 0.5365),
    (2.6613, -1.9772, 0.4526),
)
"""(a, b, c) of a x + b x³ + c x⁵: one after the other they bring singular values from 0.01 to 1 as near to 1 as three
such can, to within 0.27 of it (computed as in Amsel et al. 2025, arXiv 2505.16932)."""
_MARGIN = 1.01
"""By which a matrix is made smaller than its norm asks: rounding must not carry a singular value beyond 1."""


class Muon(torch.optim.AdamW):
    """Groups with `orthogonal` true hold matrices (R, C) that Muon moves; the others are AdamW's.

    `dtype`: that in which matrices are multiplied; in bfloat16 a processor without instructions for it takes fifty
    times as long (torch's own Muon knows nothing else).
    """

    def __init__(self, groups: Iterable[dict[str, Any]], dtype: torch.dtype = torch.float32) -> None:
        super().__init__(groups, fused=True)
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update of all parameters that have a gradient; what the closure gives, if there is one."""
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group["orthogonal"]]
        try:
            loss = super().step(closure)
        finally:
            self.param_groups = groups
        for group in groups:
            if group["orthogonal"]:
                self._move(group)
        return loss

    def _move(self, group: dict[str, Any]) -> None:
        for number, matrix in enumerate(group["params"]):
            if matrix.grad is None:
                continue
            state = self.state[matrix]
            if not state:  # as AdamW's, which reads the states of all groups back
                state["step"], state["exp_avg"] = torch.zeros(()), torch.zeros_like(matrix)
            state["step"] += 1
            state["exp_avg"].lerp_(matrix.grad, 1 - MOMENTUM)
            if (int(state["step"]) + number) % EVERY:
                continue
            ahead = matrix.grad.lerp(state["exp_avg"], MOMENTUM)  # Nesterov's
            update = orthogonalise(ahead, self._dtype)
            rate = group["lr"] * EVERY
            matrix.mul_(1 - rate * group["weight_decay"])
            matrix.add_(update, alpha=-rate * RMS * max(matrix.shape) ** 0.5)


def orthogonalise(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """(R, C) float32 -> about U Vᵀ of its singular value decomposition U S Vᵀ, float32; zeros stay zeros."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    if dtype == torch.float16:  # which may hold nothing of a gradient before it is scaled
        x = x / x.norm().clamp_min(torch.finfo(x.dtype).tiny)
    x = x.to(dtype)
    x = x / (x.norm() * _MARGIN).clamp_min(torch.finfo(dtype).tiny)
    for a, b, c in _POLYNOMIALS:
        gram = x @ x.mT
        x = _add_diagonal(gram @ _add_diagonal(c * gram, b), a) @ x
    return (x.mT if tall else x).to(matrix.dtype)


def _add_diagonal(square: Tensor, value: float) -> Tensor:
    """In place: cheaper than to have the product add what it multiplies."""
    square.diagonal().add_(value)
    return square
