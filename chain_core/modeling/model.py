"""A backbone and its chain as one model that learns and predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from chain_core.config import Config
from chain_core.data.schema import Task
from chain_core.modeling.backbones.backbone import (
    Backbone,
    build_lower,
    build_upper,
    count_tuned,
    find_layers,
    get_input_embeddings,
    load_backbone,
    load_input_embeddings,
)
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.modeling.backbones.pretrained import PretrainedLayer, load_layers
from chain_core.modeling.backbones.tuning import copy_pretrained
from chain_core.modeling.batch import Batch
from chain_core.modeling.chain import Chain
from chain_core.modeling.reads import TOKEN_KINDS, find_copied_layers, find_layers_read


class ChainModel(nn.Module):
    """The part of a run that is trained: the backbone's tuned upper half, if any, and the chain.

    Its batches bring the frozen half's states (`batch.hidden`), or token ids where no half is frozen; or those of all
    layers that the chain reads, and then the upper half is not asked.
    """

    def __init__(self, config: Config, tasks: Sequence[Task], facts: BackboneFacts) -> None:
        super().__init__()
        self.base = facts.num_layers - count_tuned(config.backbone, facts)
        """The layer at which the frozen half ends."""
        self.reads = find_layers_read(config, facts.num_layers)
        self.upper: Backbone | None = None
        if self.base < facts.num_layers:
            self.upper = build_upper(load_backbone(facts, trained=True), facts, self.base, config.backbone)
        copied = copy_pretrained(self.upper) if self.upper is not None and config.train.l2_sp else {}
        self.pretrained = {f"upper.{name}": value for name, value in copied.items()}
        """The tuned weights as they were before any training, where `train.l2_sp` pulls towards them."""
        sources, frozen = _find_sources(config, facts, self.upper, self.base)
        self.sharded = False
        """Whether the tuned layers are shared out among processes, see `modeling.sharding`."""
        self.borrowed = nn.ModuleList(frozen)
        """Frozen layers that links are tied to: they come from the backbone again, and no bundle keeps them."""
        embeddings = _find_embeddings(tasks, facts, self.upper, self.base)
        self.chain = Chain(config, tasks, facts, sources=sources, embeddings=embeddings)
        self.log_variances: nn.ParameterDict | None = None
        """s = log(sigma^2) of each head at each depth, where the losses' weights are learned."""
        if config.train.loss_weights == "uncertainty":
            self.log_variances = nn.ParameterDict(
                {name_weight(*key): nn.Parameter(torch.zeros(())) for key in self.chain.keys}
            )

        self._tuned = frozenset(name for name, value in self.named_parameters() if value.requires_grad)

    @property
    def settled(self) -> bool:
        """Whether these weights have the form that the config asks for: not while AdaLoRA still prunes its ranks."""
        return self.upper is None or self.upper.ranks is None or self.upper.ranks.settled

    @property
    def cached_layers(self) -> tuple[int, ...]:
        """The frozen half's layers whose states a batch must bring, ascending; none where it brings token ids."""
        if self.base == 0:
            return ()
        below = {layer for layer in self.reads if layer <= self.base}
        return tuple(sorted(below | ({self.base} if self.upper is not None else set())))

    def forward(self, batch: Batch, shifts: Mapping[int, Tensor] | None = None) -> dict[tuple[str, int], Tensor]:
        """Logits of every head at every depth.

        `shifts`: layer -> (B, T, H) to be added to that layer's cached states, at 0 to the embeddings where the batch
        brings token ids.
        """
        shifts = shifts or {}
        hidden = {
            layer: states.float() + shifts[layer] if layer in shifts else states
            for layer, states in batch.hidden.items()
        }
        if self.upper is not None and not hidden.keys() >= {*self.reads}:
            given = hidden[self.base].float() if self.base else None
            shift = None if self.base else shifts.get(0)
            hidden |= self.upper(batch.mask, batch.input_ids, batch.token_type_ids, given, shift)
        return self.chain(hidden, batch)

    def get_saved(self) -> dict[str, Tensor]:
        """What a bundle must keep: everything but the backbone's untouched weights."""
        return {
            name: value
            for name, value in self.state_dict().items()
            if name in self._tuned or not name.startswith(("upper.", "borrowed."))
        }


def name_weight(head: str, depth: int) -> str:
    """What the learned weight of a head at a depth is called: names of parameters hold no dots."""
    return f"{head}@{depth}".replace(".", "/")


def _find_sources(
    config: Config, facts: BackboneFacts, upper: Backbone | None, base: int
) -> tuple[dict[int, PretrainedLayer], list[PretrainedLayer]]:
    """Position of each link that needs a layer of the backbone -> that layer; and the frozen ones that ties lead to.

    A link that is tied to a tuned layer gets the tuned one itself: its parameters then learn from both uses.
    """
    numbers = find_copied_layers(config, facts.num_layers)
    tied = {position for position in numbers if config.get_link(position).tie == "backbone"}
    tuned = {position for position in tied if numbers[position] > base}
    loaded = load_layers(facts, (number for position, number in numbers.items() if position not in tuned))
    sources = {position: loaded[number] for position, number in numbers.items() if position not in tuned}
    if upper is not None:
        layers = find_layers(upper.model, facts.num_layers - base)
        for position in tuned:
            layer = layers[numbers[position] - base - 1]
            sources[position] = PretrainedLayer(upper.model, layer, causal=facts.causal)
    return sources, [loaded[number] for number in sorted({numbers[position] for position in tied - tuned})]


def _find_embeddings(tasks: Sequence[Task], facts: BackboneFacts, upper: Backbone | None, base: int) -> Tensor | None:
    """(V, H) for heads that predict tokens: the model's own parameter where it has them, else their values."""
    if not any(task.kind in TOKEN_KINDS for task in tasks):
        return None
    return get_input_embeddings(upper.model) if upper is not None and not base else load_input_embeddings(facts)


def load_lower(facts: BackboneFacts, base: int) -> Backbone:
    """The frozen half of a backbone, up to and including layer `base`."""
    return build_lower(load_backbone(facts), facts, base)


def build_model(config: Config, tasks: Sequence[Task], facts: BackboneFacts) -> ChainModel:
    """The model of a run, its new parameters drawn from the run's seed."""
    torch.manual_seed(config.train.seed)
    return ChainModel(config, tasks, facts)
