"""Links: one residual module each, z_k = x_k + f_k(x_k, mask).

A link's inner width is `density` times its full width. With init `identity` the last product of f_k is zero, so the
link passes its input on unchanged at first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chain_core.config import LinkConfig
from chain_core.modeling.dropout import Dropout
from chain_core.modeling.sizes import FEED_FORWARD, compute_attention_sizes, compute_inner
from chain_core.registry import Registry

LINKS: Registry[type[Link]] = Registry("link kind")
SHORT = 128
"""Positions up to which attention is computed without the fused kernel on the CPU."""


class Link(nn.Module):
    """f_k: (B, T, D), mask (B, T) bool -> (B, T, D). `out` names the product that identity zeroes."""

    def __init__(self, width: int, config: LinkConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(config.dropout)

    def get_outputs(self) -> list[nn.Linear]:
        """The products whose results are added to the state."""
        raise NotImplementedError


@LINKS.register("linear")
class LinearLink(Link):
    """One product; below density 1 through an inner width of density x D."""

    def __init__(self, width: int, config: LinkConfig) -> None:
        super().__init__(width, config)
        inner = compute_inner(width, config.density)
        self.reduce = nn.Linear(width, inner, bias=False) if config.density < 1 else nn.Identity()
        self.out = nn.Linear(inner if config.density < 1 else width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.dropout(self.out(self.reduce(self.norm(x))))

    def get_outputs(self) -> list[nn.Linear]:
        return [self.out]


@LINKS.register("bottleneck")
class BottleneckLink(Link):
    """Two products with a GELU between them (Houlsby et al. 2019, arXiv 1902.00751); full inner width: D."""

    def __init__(self, width: int, config: LinkConfig) -> None:
        super().__init__(width, config)
        inner = compute_inner(width, config.density)
        self.into = nn.Linear(width, inner)
        self.out = nn.Linear(inner, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.out(self.dropout(F.gelu(self.into(self.norm(x)))))

    def get_outputs(self) -> list[nn.Linear]:
        return [self.out]


@LINKS.register("attention")
class AttentionLink(Link):
    """Self-attention over the positions, then a feed-forward part of twice the inner width, both pre-norm."""

    def __init__(self, width: int, config: LinkConfig) -> None:
        super().__init__(width, config)
        self.head_size, self.inner = compute_attention_sizes(width, config.density)
        self.query_key_value = nn.Linear(width, 3 * self.inner)
        self.out = nn.Linear(self.inner, width)
        self.norm_between = nn.LayerNorm(width)
        self.into = nn.Linear(width, FEED_FORWARD * self.inner)
        self.back = nn.Linear(FEED_FORWARD * self.inner, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, positions, _ = x.shape
        joined = self.query_key_value(self.norm(x)).view(batch, positions, 3, -1, self.head_size)
        query, key, value = joined.permute(2, 0, 3, 1, 4)  # each (B, heads, T, head size)
        mixed = attend(query, key, value, mask)
        attended = self.dropout(self.out(mixed.transpose(1, 2).reshape(batch, positions, self.inner)))
        fed = self.back(self.dropout(F.gelu(self.into(self.norm_between(x + attended)))))
        return attended + self.dropout(fed)

    def get_outputs(self) -> list[nn.Linear]:
        return [self.out, self.back]


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Scaled dot-product attention, (B, heads, T, size) each, over the positions that the mask (B, T) keeps.

    On the CPU and at short lengths as plain products: the fused kernel's backward pass took ten times as long there.
    """
    allowed = mask[:, None, None, :]
    if query.device.type != "cpu" or query.shape[2] > SHORT:
        return F.scaled_dot_product_attention(query, key, value, allowed)
    scores = (query * query.shape[3] ** -0.5) @ key.transpose(2, 3)
    return scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).softmax(3).to(value.dtype) @ value


def build_link(width: int, config: LinkConfig) -> Link:
    """A link of chain width D. Its parameters are frozen where the strategy says so."""
    link = LINKS.get(config.kind)(width, config)
    if config.init == "identity":
        for output in link.get_outputs():
            nn.init.zeros_(output.weight)
            nn.init.zeros_(output.bias)
    if config.strategy == "freeze":
        link.requires_grad_(False)
    return link


def pool_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean over the positions that `mask` keeps: (B, T, D), (B, T) -> (B, D)."""
    weights = mask.to(hidden.dtype)[:, :, None]
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=torch.finfo(hidden.dtype).tiny)
