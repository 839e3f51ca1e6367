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

from chain_core.config import SELF_SUPERVISED, Config
from chain_core.data.schema import Task
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.modeling.backbones.pretrained import PretrainedLayer, load_layers
from chain_core.modeling.batch import Batch
from chain_core.modeling.cells import build_cells
from chain_core.modeling.device import to_working
from chain_core.modeling.heads.head import Head
from chain_core.modeling.heads.seats import Seat, build_seats
from chain_core.modeling.links.kinds import pool_last, pool_mean
from chain_core.modeling.links.lexical import LexicalTap
from chain_core.modeling.reads import choose_taps, find_copied_layers


class Chain(nn.Module):
    """Links and heads over the hidden states of a backbone."""

    def __init__(
        self,
        config: Config,
        tasks: Sequence[Task],
        facts: BackboneFacts,
        *,
        sources: Mapping[int, PretrainedLayer] | None = None,
        embeddings: Tensor | None = None,
    ) -> None:
        """`sources`: position of each link that needs a layer of the backbone -> that layer; None: loaded.

        `embeddings`: (V, H) the backbone's input embeddings, for heads that predict tokens.
        """
        super().__init__()
        self.num_layers = facts.num_layers
        self.taps = choose_taps(config.chain, facts.num_layers)
        self.active_depth = config.chain.depth
        """Links in use, the first of the chain; a head further on reads the deepest state there is."""
        self.cells = build_cells(config, facts, load_sources(config, facts) if sources is None else sources)
        dropout = config.get_link(1).dropout if config.chain.depth else 0.0
        self.lexical = LexicalTap(config.chain.width, dropout) if config.uses_lexical else None
        self.heads = build_seats(config, tasks, facts, embeddings)
        self.seats: tuple[Seat, ...] = tuple(self.heads)  # type: ignore[arg-type]
        self._head_of = {key: seat.head for seat in self.seats for key in seat.keys}
        self.keys: list[tuple[str, int]] = list(self._head_of)
        supervised = frozenset(task.name for task in tasks if task.kind not in SELF_SUPERVISED)
        self.answering_heads = supervised & config.get_taught()
        """The heads that predict a column and have been taught to: in a stage, or in the run that this one starts
        from."""
        self.active_heads = self.answering_heads
        """The heads that take part in a pass."""

    @property
    def active_keys(self) -> list[tuple[str, int]]:
        """(head, depth) of the heads that take part."""
        return [key for key in self.keys if key[0] in self.active_heads]

    def forward(self, hidden: Mapping[int, Tensor], batch: Batch) -> dict[tuple[str, int], Tensor]:
        """Logits of every active head at every depth, from layer -> (B, T, H)."""
        states = self.compute_states(hidden, batch)
        seats = [seat for seat in self.seats if seat.keys[0][0] in self.active_heads]
        return {key: logit for seat in seats for key, logit in zip(seat.keys, seat(states, batch), strict=True)}

    def compute_states(self, hidden: Mapping[int, Tensor], batch: Batch) -> dict[int, Tensor]:
        """z_k at every depth k, each (B, T, D); at 0 the backbone's last layer, where a head reads it.

        Beyond the active depth z_k is the deepest active state. Where no link is active, that is what link 1 joins:
        new links pass it on unchanged.
        """
        states: dict[int, Tensor] = {}
        if any(0 in seat.positions for seat in self.seats):
            states[0] = to_working(hidden[self.num_layers])
        state: Tensor | None = None
        for index, (cell, tap) in enumerate(zip(self.cells, self.taps, strict=True)):
            extra = self.lexical(batch.lexical) if self.lexical is not None and index == 0 else None
            if index < self.active_depth:
                state = cell(state, hidden[tap], extra, batch)
            elif state is None:
                state = cell.join(None, hidden[tap], extra)  # type: ignore[operator]
            states[index + 1] = state
        return states

    def get_tasks(self) -> dict[str, Task]:
        """Head name -> its task."""
        return {name: self.get_head(name, position).task for name, position in self.keys}

    def get_head(self, task: str, position: int) -> Head:
        """The head of one task at one depth."""
        return self._head_of[task, position]


def load_sources(config: Config, facts: BackboneFacts) -> dict[int, PretrainedLayer]:
    """Position of each link that needs a layer of the backbone -> that layer, pretrained and frozen."""
    numbers = find_copied_layers(config, facts.num_layers)
    layers = load_layers(facts, numbers.values())
    return {position: layers[number] for position, number in numbers.items()}


def count_parameters(module: nn.Module, *, trainable: bool = False) -> int:
    """Parameters of a module, shared ones once."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable)


@torch.no_grad()
def compute_pooled(states: Tensor, mask: Tensor, *, causal: bool = False) -> Tensor:
    """What is cached where nothing needs positions: (B, T, H), (B, T) -> (B, H).

    The mean over the positions, or of a decoder the last position, which alone knows the whole row.
    """
    return pool_last(states.float(), mask) if causal else pool_mean(states.float(), mask)
