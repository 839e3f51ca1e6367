"""Prefix tuning: learned keys and values in front of each tuned layer's own (Li and Liang 2021, arXiv 2101.00190).

peft's prefixes go in through a cache of past keys, which encoders of several families do not read. Here they go in
where every family multiplies queries and keys: transformers lets a model's attention function be chosen, and the one
below puts a layer's prefix in front. So nothing else changes: positions, masks and the number of states stay, a cached
lower half stays valid, and decoders see their prefix from every position.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chain_core.errors import BackboneError
from chain_core.modeling.backbones.catalogue import BackboneFacts

ATTENTION = "chain_prefix"
_PROBE_WORDS = 8
_seen: ContextVar[dict[nn.Module, tuple[Tensor, Tensor]] | None] = ContextVar("seen", default=None)


class Prefix(nn.Module):
    """One layer's learned keys and values, each (heads, P, features of a head)."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.keys = nn.Parameter(keys)
        self.values = nn.Parameter(values)


def add_prefixes(model: Any, tuned: list[nn.Module], facts: BackboneFacts, length: int) -> None:
    """A prefix of `length` positions for each tuned layer, from what the layer itself makes of random words.

    Raises BackboneError for a family whose attention cannot be given one.
    """
    _register()
    model.set_attn_implementation(ATTENTION)
    made = _probe(model, facts, length)
    for layer in tuned:
        inside = [module for module in layer.modules() if module in made]
        if len(inside) != 1:
            raise BackboneError("tuning_unsupported", tuning="prefix", model_type=facts.model_type)
        keys, values = made[inside[0]]
        inside[0].prefix = Prefix(keys, values)


def _probe(model: nn.Module, facts: BackboneFacts, length: int) -> dict[nn.Module, tuple[Tensor, Tensor]]:
    """Attention module -> keys and values of `length` random words, each (heads, length, features)."""
    rows = -(-length // _PROBE_WORDS)
    ids = torch.randint(facts.vocab_size, (rows, _PROBE_WORDS))
    was_training = model.training
    token = _seen.set({})
    try:
        with torch.no_grad():
            model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids))
        seen = _seen.get() or {}
    finally:
        _seen.reset(token)
        model.train(was_training)
    return {module: (_line_up(keys, length), _line_up(values, length)) for module, (keys, values) in seen.items()}


def _line_up(states: Tensor, length: int) -> Tensor:
    """(rows, heads, T, features) -> (heads, length, features)."""
    return states.transpose(0, 1).flatten(1, 2)[:, :length].clone()


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention with the module's prefix, if it has one: queries (B, heads, T, features) -> (B, T, heads, features).

    `attention_mask` is added to the scores, (B, 1, T, T); a prefix is seen from everywhere.
    """
    if (seen := _seen.get()) is not None:
        seen[module] = (key.detach(), value.detach())
    prefix = getattr(module, "prefix", None)
    if prefix is not None:
        key, value = _join(prefix.keys, key), _join(prefix.values, value)
        if attention_mask is not None:
            attention_mask = F.pad(attention_mask, (prefix.keys.shape[1], 0))
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    if query.device.type == "cuda":
        mask = None if attention_mask is None else attention_mask.to(query.dtype)
        mixed = F.scaled_dot_product_attention(query, key, value, mask, dropout, scale=scaling)
    else:
        # The fused kernel's backward pass is the slower one on a CPU.
        scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
        scores = scores if attention_mask is None else scores + attention_mask
        mixed = F.dropout(scores.softmax(-1), dropout, module.training).to(value.dtype) @ value
    return mixed.transpose(1, 2).contiguous(), None


def _join(prefix: Tensor, own: Tensor) -> Tensor:
    return torch.cat([prefix.to(own.dtype).expand(len(own), -1, -1, -1), own], 2)


def _register() -> None:
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    AttentionInterface.register(ATTENTION, attend)
    AttentionMaskInterface.register(ATTENTION, eager_mask)
