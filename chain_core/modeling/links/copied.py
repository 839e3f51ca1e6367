"""Backbone links: a copy of the layer that the link taps, weights included, between two projections."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chain_core.config import LinkConfig
from chain_core.modeling.backbones.pretrained import PretrainedLayer
from chain_core.modeling.dropout import Dropout
from chain_core.modeling.links.link import Link, Site, build_basis
from chain_core.modeling.links.sizes import compute_rank


class BackboneLink(Link):
    """f(x) = out(layer(u) - u) with u = into(x): what the layer changes, brought to the chain's width and back.

    `into` begins as the chain's basis, the identity where D = H. With init `backbone` so does `out`: where D = H the
    link then does what the layer does. Below density 1 each matrix of the copy gives way to the two factors of its
    best approximation. Tied to the backbone, the layer is the tapped one itself: it belongs to the backbone, and the
    density has no meaning.
    """

    def __init__(self, width: int, config: LinkConfig, site: Site) -> None:
        super().__init__()
        assert site.layer is not None, "a backbone link needs the layer that it taps"
        hidden_size = site.layer.config.hidden_size
        self.into = nn.Linear(width, hidden_size)
        self.out = nn.Linear(hidden_size, width)
        self.dropout = Dropout(config.dropout)
        basis = site.basis if site.basis is not None else build_basis(width, hidden_size)
        with torch.no_grad():
            for linear, weight in ((self.into, basis.T), (self.out, basis)):
                linear.weight.copy_(weight)
                nn.init.zeros_(linear.bias)
        if config.tie == "backbone":
            self.layer = None
            self._tied = (site.layer,)  # in a tuple: no module of this one
            return
        self.layer = site.layer.copy().requires_grad_(True)
        if config.init == "random":
            self.layer.reset()
        if config.density < 1:
            factor_matrices(self.layer.layer, config.density)

    def forward(self, x: Tensor, mask: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        layer: PretrainedLayer = self._tied[0] if self.layer is None else self.layer
        entering = self.into(x)
        return self.out(self.dropout(layer(entering, mask) - entering))

    def get_outputs(self) -> list[nn.Linear]:
        return [self.out]


class Factored(nn.Module):
    """A product of low rank in place of a matrix: (…, in) -> (…, out)."""

    def __init__(self, weight: Tensor, bias: Tensor | None, rank: int) -> None:
        """`weight`: (out, in). The best approximation of its rank (Eckart and Young 1936)."""
        super().__init__()
        self.reduce = nn.Linear(weight.shape[1], rank, bias=False)
        self.out = nn.Linear(rank, weight.shape[0], bias=bias is not None)
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
        roots = values[:rank].sqrt()
        with torch.no_grad():
            self.reduce.weight.copy_(roots[:, None] * right[:rank])
            self.out.weight.copy_(left[:, :rank] * roots)
            if bias is not None:
                self.out.bias.copy_(bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.reduce(x))


def factor_matrices(module: nn.Module, density: float) -> None:
    """Put two factors with `density` times its parameters in place of each linear layer inside a module."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear) or type(child).__name__ == "Conv1D":
            weight = child.weight if isinstance(child, nn.Linear) else child.weight.T
            assert isinstance(weight, Tensor)
            rank = compute_rank(weight.shape[0], weight.shape[1], density)
            setattr(module, name, Factored(weight.detach(), child.bias, rank))  # type: ignore[arg-type]
        else:
            factor_matrices(child, density)
