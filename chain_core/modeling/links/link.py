"""What every link is: a residual module, z_k = x_k + f_k(x_k, mask), and what it must know of its surroundings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chain_core.modeling.backbones.pretrained import PretrainedLayer


@dataclass(frozen=True)
class Site:
    """Where a link stands."""

    causal: bool = False
    """Whether a position may know only those before it: the backbone is a decoder."""
    grid: bool = False
    """Whether positions form a grid, as an image's patches do."""
    layer: PretrainedLayer | None = None
    """The backbone layer that the link taps, where it copies it, begins from it or is tied to it."""
    basis: Tensor | None = None
    """(D, H): how the chain's D features lie in the backbone's H; its rows or its columns are orthonormal."""


class Link(nn.Module):
    """f_k: (B, T, D), mask (B, T) bool -> (B, T, D). `grid`: (h, w) where the last h x w positions form one."""

    def forward(self, x: Tensor, mask: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        raise NotImplementedError

    def get_outputs(self) -> list[nn.Linear]:
        """The products whose results are added to the state: init `identity` zeroes them."""
        raise NotImplementedError


def build_basis(width: int, hidden_size: int) -> Tensor:
    """(D, H) with orthonormal rows where D <= H, else orthonormal columns; the identity where D = H.

    The chain's first state lies in this basis, so that what is taken from the backbone's layers fits it.
    """
    if width == hidden_size:
        return torch.eye(width)
    return nn.init.orthogonal_(torch.empty(width, hidden_size))
