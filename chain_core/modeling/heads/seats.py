"""Seats: which states a head reads. A head of its own at each depth, one shared by all, or one over their mixture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from chain_core.config import Config
from chain_core.data.schema import Task
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.modeling.batch import Batch
from chain_core.modeling.heads.head import Head, Place
from chain_core.modeling.heads.kinds import build_head
from chain_core.modeling.reads import needs_positions, pools_pair


class Mixture(nn.Module):
    """scale * sum over depths i of softmax(weights)_i * state_i (Peters et al. 2018, arXiv 1802.05365)."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(count))
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        shares = self.weights.softmax(0).unbind()
        mixed = torch.stack([share * state for share, state in zip(shares, states, strict=True)]).sum(0)
        return self.scale * mixed


class Seat(nn.Module):
    """One head at one depth or several.

    Where a head reads the backbone's states, (B, T, H), beside the chain's, (B, T, D), and these differ in width, a
    bridge leads from the one to the other.
    """

    def __init__(self, head: Head, positions: tuple[int, ...], *, mixed: bool, bridge: tuple[int, int] | None) -> None:
        """`positions`: ascending; `bridge`: (H, D) or None."""
        super().__init__()
        self.head = head
        self.positions = positions
        self.bridge = nn.Sequential(nn.LayerNorm(bridge[0]), nn.Linear(*bridge)) if bridge else None
        self.mixture = Mixture(len(positions)) if mixed else None

    @property
    def keys(self) -> tuple[tuple[str, int], ...]:
        """(head, depth) of each of its outputs: a mixture stands at its deepest."""
        answered = self.positions[-1:] if self.mixture is not None else self.positions
        return tuple((self.head.task.name, position) for position in answered)

    def forward(self, states: Mapping[int, Tensor], batch: Batch) -> list[Tensor]:
        """Logits in the order of `keys`."""
        read = [
            self.bridge(states[position]) if self.bridge is not None and position == 0 else states[position]
            for position in self.positions
        ]
        if self.mixture is not None:
            read = [self.mixture(read)]
        return [self.head(state, batch) for state in read]


def build_seats(
    config: Config, tasks: Sequence[Task], facts: BackboneFacts, embeddings: Tensor | None = None
) -> nn.ModuleList:
    """The seats of all heads, task by task. `embeddings`: (V, H), for heads that predict tokens."""
    assert config.heads is not None
    width, hidden_size = config.chain.width, facts.hidden_size
    positions = needs_positions(config)
    seats: list[Seat] = []
    for task in tasks:
        head = config.get_head(task.name, len(task.label_space))
        depths = config.get_depths(task.name)
        groups = (depths,) if head.share or head.mixture else tuple((depth,) for depth in depths)
        for group in groups:
            size = hidden_size if group == (0,) else width
            place = Place(
                size,
                positions=positions,
                pair=pools_pair(config, task.name),
                causal=facts.causal,
                embeddings=embeddings,
            )
            bridge = (hidden_size, width) if 0 in group and size != hidden_size else None
            mixed = head.mixture and len(group) > 1
            seats.append(Seat(build_head(task, head, place), group, mixed=mixed, bridge=bridge))
    return nn.ModuleList(seats)
