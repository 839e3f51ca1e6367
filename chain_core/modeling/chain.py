"""The chain: links that carry a backbone's knowledge onward, and heads at their depths.

    z_0 = 0
    x_k = z_{k-1} + project_k(norm(h_{t_k}))
    z_k = x_k + f_k(x_k, mask)

Heads at depth 0 read the backbone's last layer. Nothing here knows a modality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from chain_core.config import Config, LinkConfig
from chain_core.data.schema import Task
from chain_core.modeling.batch import Batch
from chain_core.modeling.catalogue import BackboneFacts
from chain_core.modeling.heads import Head, Place, build_head
from chain_core.modeling.lexical import LexicalTap
from chain_core.modeling.link import Link, Site, build_basis
from chain_core.modeling.links import build_link, pool_mean
from chain_core.modeling.pretrained import PretrainedLayer, load_layers
from chain_core.modeling.reads import choose_taps, find_copied_layers, find_owner, needs_positions


class Cell(nn.Module):
    """One link with its tap: joins h_t to the state, then transforms it.

    `shared`: the earlier link's f_k that this one is tied to; its owner decides on its init, dropout and strategy.
    """

    link: Link

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

    def forward(self, state: Tensor | None, tapped: Tensor, extra: Tensor | None, batch: Batch) -> Tensor:
        x = self.project(self.norm(to_working(tapped)))
        if extra is not None:
            x = x + extra
        if state is not None:
            x = x + (state.detach() if self.detach else state)
        return x + self.link(x, batch.mask, batch.grid)


class Chain(nn.Module):
    """Links and heads over the hidden states of a backbone."""

    def __init__(
        self,
        config: Config,
        tasks: Sequence[Task],
        facts: BackboneFacts,
        layers: Mapping[int, PretrainedLayer] | None = None,
    ) -> None:
        """`layers`: those of the backbone's layers that links copy, begin from or are tied to; None: loaded."""
        super().__init__()
        hidden_size, num_layers = facts.hidden_size, facts.num_layers
        self.num_layers = num_layers
        self.taps = choose_taps(config.chain, num_layers)
        width, depth = config.chain.width, config.chain.depth
        links = [config.get_link(position) for position in range(1, depth + 1)]
        self.cells = _build_cells(config, facts, layers)
        self.lexical = LexicalTap(width, links[0].dropout) if config.uses_lexical else None
        self.keys: list[tuple[str, int]] = []
        heads: list[Head] = []
        positions = needs_positions(config)
        pairs = {name: bool(config.get_input(name).pair) for name in config.heads or {}}
        for task in tasks:
            for position in config.get_depths(task.name):
                self.keys.append((task.name, position))
                size = width if position else hidden_size
                assert config.heads is not None
                place = Place(size, positions=positions, pair=pairs[task.name], causal=facts.causal)
                heads.append(build_head(task, config.heads[task.name], place))
        self.heads = nn.ModuleList(heads)

    def forward(self, hidden: Mapping[int, Tensor], batch: Batch) -> dict[tuple[str, int], Tensor]:
        """Logits of every head at every depth, from layer -> (B, T, H)."""
        states = self.compute_states(hidden, batch)
        return {key: head(states[key[1]], batch) for key, head in zip(self.keys, self.heads, strict=True)}

    def compute_states(self, hidden: Mapping[int, Tensor], batch: Batch) -> dict[int, Tensor]:
        """z_k at every depth k, each (B, T, D); at 0 the backbone's last layer, where a head reads it."""
        states: dict[int, Tensor] = {}
        if any(position == 0 for _, position in self.keys):
            states[0] = to_working(hidden[self.num_layers])
        state: Tensor | None = None
        for index, (cell, tap) in enumerate(zip(self.cells, self.taps, strict=True)):
            extra = self.lexical(batch.lexical) if self.lexical is not None and index == 0 else None
            state = cell(state, hidden[tap], extra, batch)
            states[index + 1] = state
        return states

    def get_tasks(self) -> dict[str, Task]:
        """Head name -> its task."""
        return {name: self.get_head(name, position).task for name, position in self.keys}

    def get_head(self, task: str, position: int) -> Head:
        """The head of one task at one depth."""
        return self.heads[self.keys.index((task, position))]  # type: ignore[return-value]


def _build_cells(config: Config, facts: BackboneFacts, layers: Mapping[int, PretrainedLayer] | None) -> nn.ModuleList:
    """The links in order, each at its site, those that are tied with the f_k of the link that owns it."""
    copied = find_copied_layers(config, facts.num_layers)
    layers = load_layers(facts, copied.values()) if layers is None else layers
    basis = build_basis(config.chain.width, facts.hidden_size) if copied else None
    cells: list[Cell] = []
    for position in range(1, config.chain.depth + 1):
        owner = find_owner(config, position)
        layer = layers[copied[position]] if position in copied else None
        site = Site(facts.causal, facts.grid, layer, basis)
        shared = cells[owner - 1].link if owner != position else None
        link = config.get_link(position)
        cells.append(Cell(facts.hidden_size, config.chain.width, link, site, first=position == 1, shared=shared))
    return nn.ModuleList(cells)


def to_working(states: Tensor) -> Tensor:
    """Cached float16 states in the precision that this pass multiplies in."""
    device = states.device.type
    return states.to(torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32)


def count_parameters(module: nn.Module, *, trainable: bool = False) -> int:
    """Parameters of a module, shared ones once."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable)


@torch.no_grad()
def compute_mean_pooled(states: Tensor, mask: Tensor) -> Tensor:
    """What is cached where nothing needs positions: (B, T, H), (B, T) -> (B, H)."""
    return pool_mean(states.float(), mask)
