"""A backbone and its chain as one model that learns and predicts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from chain_core.config import Config
from chain_core.data.schema import Task
from chain_core.modeling.backbones import Backbone, build_lower, build_upper, count_tuned, load_backbone
from chain_core.modeling.batch import Batch
from chain_core.modeling.catalogue import BackboneFacts
from chain_core.modeling.chain import Chain
from chain_core.modeling.reads import find_layers_read


class ChainModel(nn.Module):
    """The part of a run that is trained: the backbone's tuned upper half, if any, and the chain.

    Its batches bring the frozen half's states (`batch.hidden`), or token ids where no half is frozen.
    """

    def __init__(self, config: Config, tasks: Sequence[Task], facts: BackboneFacts) -> None:
        super().__init__()
        self.base = facts.num_layers - count_tuned(config.backbone, facts)
        """The layer at which the frozen half ends."""
        self.reads = find_layers_read(config, facts.num_layers)
        self.upper: Backbone | None = None
        if self.base < facts.num_layers:
            self.upper = build_upper(load_backbone(facts, trained=True), facts, self.base, config.backbone)
        self.chain = Chain(config, tasks, facts)

    @property
    def cached_layers(self) -> tuple[int, ...]:
        """The frozen half's layers whose states a batch must bring, ascending; none where it brings token ids."""
        if self.base == 0:
            return ()
        below = {layer for layer in self.reads if layer <= self.base}
        return tuple(sorted(below | ({self.base} if self.upper is not None else set())))

    def forward(self, batch: Batch) -> dict[tuple[str, int], Tensor]:
        """Logits of every head at every depth."""
        hidden = dict(batch.hidden)
        if self.upper is not None:
            given = hidden[self.base].float() if self.base else None
            hidden |= self.upper(batch.mask, batch.input_ids, batch.token_type_ids, given)
        return self.chain(hidden, batch)

    def get_saved(self) -> dict[str, Tensor]:
        """What a bundle must keep: everything but the backbone's untouched weights."""
        kept = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        return {
            name: value for name, value in self.state_dict().items() if name in kept or not name.startswith("upper.")
        }


def load_lower(facts: BackboneFacts, base: int) -> Backbone:
    """The frozen half of a backbone, up to and including layer `base`."""
    return build_lower(load_backbone(facts), facts, base)


def build_model(config: Config, tasks: Sequence[Task], facts: BackboneFacts) -> ChainModel:
    """The model of a run, its new parameters drawn from the run's seed."""
    torch.manual_seed(config.train.seed)
    return ChainModel(config, tasks, facts)
