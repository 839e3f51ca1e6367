"""Pulls of weights towards values that they should not forget: strength / 2 x the squared distance.

Towards the pretrained weights as in Li et al. 2018 (arXiv 1802.01483): every weight that is tuned itself, and of an
adapter what makes its change: LoRA's second factor, DoRA's magnitudes and AdaLoRA's singular values, which start at no
change, IA3's scales (1) and a prefix's keys and values as they began.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from chain_core.modeling.model import ChainModel


@dataclass(frozen=True)
class Anchor:
    """Where some parameters of a model should stay."""

    values: Mapping[str, Tensor]
    """Name in the model -> what it is pulled to, of its shape."""
    strength: float
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    """Of parameters that are pulled in part only: where, bool, of their shape."""


def compute_pull(model: nn.Module, anchors: Sequence[Anchor]) -> Tensor:
    """Sum over the anchors of strength / 2 x ||w - w_0||^2, of the parameters that are trained now."""
    parameters = dict(model.named_parameters())
    total = torch.zeros((), device=next(iter(parameters.values())).device)
    for anchor in anchors:
        for name, value in anchor.values.items():
            parameter = parameters[name]
            if parameter.requires_grad:
                squares = (parameter - value.to(parameter.device)).square()
                if name in anchor.parts:
                    squares = squares * anchor.parts[name]
                total = total + 0.5 * anchor.strength * squares.sum()
    return total


def build_pretrained_anchor(model: ChainModel, strength: float, device: torch.device) -> Anchor:
    """The pull of `train.l2_sp`."""
    return Anchor({name: value.to(device) for name, value in model.pretrained.items()}, strength)
