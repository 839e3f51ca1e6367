"""A step along the gradient in what the trained part reads: FGM (Miyato et al. 2017, arXiv 1605.07725).

Where the backbone is tuned whole that is its embeddings, else the cached states, of all layers that are read together.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from chain_core.modeling.batch import Batch
from chain_core.modeling.model import ChainModel


def build_shifts(model: ChainModel, batch: Batch) -> dict[int, Tensor]:
    """Layer -> zeros (B, T, H) that take up the gradient of the layer's states."""
    if batch.hidden:
        shapes = {layer: states.shape for layer, states in batch.hidden.items()}
    else:
        assert model.upper is not None
        shapes = {0: torch.Size((*batch.mask.shape, model.upper.model.config.hidden_size))}  # type: ignore[union-attr, arg-type]
    return {layer: torch.zeros(shape, device=batch.mask.device, requires_grad=True) for layer, shape in shapes.items()}


def find_worst_shifts(shifts: Mapping[int, Tensor], mask: Tensor, length: float) -> dict[int, Tensor]:
    """Each row's shift of norm `length` along its gradient, all layers and positions together; none at padding."""
    gradients = {layer: shift.grad * mask[:, :, None] for layer, shift in shifts.items() if shift.grad is not None}
    squares = [gradient.square().sum((1, 2)) for gradient in gradients.values()]
    if not squares:
        return {}
    norms = torch.stack(squares).sum(0).sqrt().clamp(min=1e-12)[:, None, None]
    return {layer: length * gradient / norms for layer, gradient in gradients.items()}
