"""Convolution links: each position looks at its neighbours, feature by feature, then features mix.

Depthwise-separable (Chollet 2017, arXiv 1610.02357): a kernel for each feature over the positions, two-dimensional
where these form a grid, then two products with a GELU between them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chain_core.config import LinkConfig
from chain_core.modeling.dropout import Dropout
from chain_core.modeling.links.depthwise import look_along
from chain_core.modeling.links.link import Link, Site
from chain_core.modeling.links.sizes import compute_inner


class ConvLink(Link):
    """Full inner width: D. On a grid, tokens before it (a class token) see themselves alone."""

    def __init__(self, width: int, config: LinkConfig, site: Site) -> None:
        super().__init__()
        inner = compute_inner(width, config.density)
        kind = nn.Conv2d if site.grid else nn.Conv1d
        self.kernel, self.causal, self.on_grid = config.kernel, site.causal, site.grid
        self.norm = nn.LayerNorm(width)
        self.near = kind(width, width, config.kernel, groups=width)
        self.into = nn.Linear(width, inner)
        self.out = nn.Linear(inner, width)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        states = self.norm(x).masked_fill(~mask[:, :, None], 0.0)
        seen = self._look_around(states, grid) if self.on_grid else self._look_along(states)
        return self.out(self.dropout(F.gelu(self.into(seen))))

    def _look_along(self, states: Tensor) -> Tensor:
        before = self.kernel - 1 if self.causal else self.kernel // 2
        assert self.near.bias is not None
        return look_along(states, self.near.weight, self.near.bias, before)

    def _look_around(self, states: Tensor, grid: tuple[int, int] | None) -> Tensor:
        """As (B, D, h, w); what stands before the grid as images of one position each."""
        states = states.transpose(1, 2)
        height, wide = grid if grid is not None else (1, states.shape[2])
        batch, width, positions = states.shape
        before = positions - height * wide
        around = self.kernel // 2
        image = F.pad(states[:, :, before:].reshape(batch, width, height, wide), (around,) * 4)
        seen = self.near(image).flatten(2)
        if not before:
            return seen.transpose(1, 2)
        centre = self.near.weight[:, 0, around, around, None]  # (D, 1)
        assert self.near.bias is not None
        alone = states[:, :, :before] * centre + self.near.bias[:, None]
        return torch.cat([alone.to(seen.dtype), seen], 2).transpose(1, 2)

    def get_outputs(self) -> list[nn.Linear]:
        return [self.out]
