"""Cells: a link with its tap, z_k = x_k + f_k(x_k, mask), where x_k joins the tap to the state before."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from chain_core.config import Config, LinkConfig
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.modeling.backbones.pretrained import PretrainedLayer
from chain_core.modeling.batch import Batch
from chain_core.modeling.device import to_working
from chain_core.modeling.links.kinds import build_link
from chain_core.modeling.links.link import Link, Site, build_basis
from chain_core.modeling.reads import find_copied_layers, find_owner


class Cell(nn.Module):
    """One link with its tap.

    `shared`: the earlier link's f_k that this one is tied to; its owner decides on its init, dropout and strategy.
    """

    link: Link
    """f_k."""

    def __init__(
        self, hidden_size: int, width: int, config: LinkConfig, site: Site, *, first: bool, shared: Link | None = None
    ) -> None:
        super().__init__()
        self.detach = config.detach
        self.norm = nn.LayerNorm(hidden_size)
        self.project = nn.Linear(hidden_size, width)
        if site.basis is not None:
            with torch.no_grad():
                self.project.weight.copy_(site.basis)
                nn.init.zeros_(self.project.bias)
        if config.init == "identity" and not first:
            nn.init.zeros_(self.project.weight)
            nn.init.zeros_(self.project.bias)
        if config.strategy == "freeze":
            self.requires_grad_(False)
        if shared is None:
            self.link = build_link(width, config, site)
        else:
            # Past the registration of modules, so that what is shared is counted and saved once.
            object.__setattr__(self, "link", shared)

    def join(self, state: Tensor | None, tapped: Tensor, extra: Tensor | None) -> Tensor:
        """x_k from z_{k-1} (B, T, D), h_t (B, T, H) and what is added besides (B, T, D)."""
        x = self.project(self.norm(to_working(tapped)))
        if extra is not None:
            x = x + extra
        if state is not None:
            x = x + (state.detach() if self.detach else state)
        return x

    def forward(self, state: Tensor | None, tapped: Tensor, extra: Tensor | None, batch: Batch) -> Tensor:
        x = self.join(state, tapped, extra)
        return x + self.link(x, batch.mask, batch.grid)


def build_cells(config: Config, facts: BackboneFacts, sources: Mapping[int, PretrainedLayer]) -> nn.ModuleList:
    """The links in order, each at its site. `sources`: a link's position -> the backbone layer that it needs.

    Where a link takes anything from the backbone, all taps are first projected onto one basis: what is taken fits it.
    """
    width, hidden_size = config.chain.width, facts.hidden_size
    basis = build_basis(width, hidden_size) if find_copied_layers(config, facts.num_layers) else None
    cells: list[Cell] = []
    for position in range(1, config.chain.depth + 1):
        owner = find_owner(config, position)
        site = Site(facts.causal, facts.grid, sources.get(position), basis)
        shared = cells[owner - 1].link if owner != position else None
        link = config.get_link(position)
        cells.append(Cell(hidden_size, width, link, site, first=position == 1, shared=shared))
    return nn.ModuleList(cells)
