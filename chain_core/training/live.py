"""A feed for rows that no cache knows: the frozen half runs as each batch is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from chain_core.config import InputConfig
from chain_core.data.encode import encode_texts
from chain_core.data.text import Texts
from chain_core.modeling.backbones.backbone import Backbone
from chain_core.modeling.backbones.catalogue import load_tokenizer
from chain_core.modeling.backbones.passes import fits_half, refuse_overflow
from chain_core.modeling.batch import Batch, build_batch
from chain_core.modeling.bundle import load_bundle
from chain_core.modeling.chain import compute_pooled
from chain_core.modeling.device import autocast, choose_device, choose_precision
from chain_core.modeling.model import ChainModel, load_lower
from chain_core.modeling.reads import needs_places, needs_positions
from chain_core.training.feed import Feed, encode_all_labels


@dataclass(frozen=True)
class LiveFeed(Feed):
    """A feed whose hidden states are computed, not read."""

    lower: Backbone | None = None
    layers: tuple[int, ...] = ()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32

    @property
    def lengths(self) -> np.ndarray:
        """Of the tokens, pooled or not: the backbone reads them here."""
        return self.encoded.lengths

    def build_batch(self, rows: np.ndarray, *, labelled: bool = True) -> Batch:
        batch = build_batch(self.encoded, rows, labels=self.labels if labelled else None, spans=self.spans)
        if self.lower is None:
            return batch
        return read_states(self.lower, batch, self.layers, self.device, self.dtype, pooled=self.pooled)


@torch.no_grad()
def read_states(
    lower: Backbone, batch: Batch, layers: Sequence[int], device: torch.device, dtype: torch.dtype, *, pooled: bool
) -> Batch:
    """The batch with the frozen half's states of these layers in place of its token ids, on the device.

    Raises ConfigError `states_overflow` where float16 cannot hold them.
    """
    there = batch.to(device)
    with autocast(device, dtype):
        states = lower(there.mask, there.input_ids, there.token_type_ids)
    if pooled:
        hidden = {layer: compute_pooled(states[layer], there.mask, causal=lower.causal)[:, None] for layer in layers}
        refuse_overflow(hidden.values(), dtype)
        there = replace(there, mask=torch.ones(len(batch.rows), 1, dtype=torch.bool, device=device))
    else:
        hidden = {layer: states[layer] for layer in layers}
        refuse_overflow((state[there.mask] for state in hidden.values()), dtype)
    kept = {layer: _round(state) for layer, state in hidden.items()}
    return replace(there, hidden=kept, input_ids=None, token_type_ids=None)


def _round(state: Tensor) -> Tensor:
    """As the cache keeps it, so that both give the same predictions."""
    return state.half() if fits_half(state) else state.float()


@dataclass(frozen=True)
class Bundle:
    """A loaded chain with all that it needs to answer."""

    model: ChainModel
    config: Any
    tasks: tuple[Any, ...]
    lower: Backbone | None
    tokenizer: Any
    max_length: int
    """Of the backbone's input, in tokens."""
    device: torch.device
    dtype: torch.dtype


def open_bundle(folder: Any, device: str = "auto") -> Bundle:
    """A bundle's model on a device, with its tokenizer and the backbone's frozen half."""
    model, config, tasks, facts = load_bundle(folder)
    place = choose_device(device)
    lower = load_lower(facts, model.base).to(place) if model.base else None
    dtype = choose_precision(config.train.precision, place)
    tokenizer = load_tokenizer(facts.folder)
    return Bundle(model.to(place), config, tasks, lower, tokenizer, facts.max_length, place, dtype)


def build_live_feed(
    bundle: Bundle, texts: Texts, columns: InputConfig, gold: Mapping[str, pa.Array] | None = None
) -> LiveFeed:
    """A feed over new rows of the data set that `columns` tell of, all of them in the split "test"."""
    config, length = bundle.config, columns.max_length or bundle.max_length
    encoded = encode_texts(texts, bundle.tokenizer, length, lexical=config.uses_lexical, places=needs_places(config))
    return LiveFeed(
        encoded=encoded,
        hidden={},
        pooled=not needs_positions(config),
        gold=gold or {},
        labels=encode_all_labels(gold, [task for task in bundle.tasks if task.name in gold]) if gold else {},
        splits={"test": np.arange(encoded.rows)},
        texts=texts,
        lower=bundle.lower,
        layers=bundle.model.cached_layers,
        device=bundle.device,
        dtype=bundle.dtype,
    )
