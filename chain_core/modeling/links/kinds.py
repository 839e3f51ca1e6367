"""Links of products and attention, and how a link of any kind is built.

A link's inner width is `density` times its full width. With init `identity` the last product of f_k is zero, so the
link passes its input on unchanged at first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chain_core.config import LinkConfig
from chain_core.modeling.dropout import Dropout
from chain_core.modeling.links.conv import ConvLink
from chain_core.modeling.links.copied import BackboneLink
from chain_core.modeling.links.inherit import INHERIT
from chain_core.modeling.links.link import Link, Site
from chain_core.modeling.links.matrices import read_matrices
from chain_core.modeling.links.sizes import FEED_FORWARD, compute_attention_sizes, compute_inner, compute_rank
from chain_core.registry import Registry

LINKS: Registry[type[Link]] = Registry("link kind")
LINKS.register("conv")(ConvLink)
LINKS.register("backbone")(BackboneLink)

SHORT = 128
"""Positions up to which attention is computed without the fused kernel on the CPU."""


@LINKS.register("linear")
class LinearLink(Link):
    """One product; below density 1 two, with density x D x D parameters."""

    def __init__(self, width: int, config: LinkConfig, site: Site) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(config.dropout)
        inner = compute_rank(width, width, config.density) if config.density < 1 else width
        self.reduce = nn.Linear(width, inner, bias=False) if config.density < 1 else nn.Identity()
        self.out = nn.Linear(inner, width)

    def forward(self, x: Tensor, mask: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        return self.dropout(self.out(self.reduce(self.norm(x))))

    def get_outputs(self) -> list[nn.Linear]:
        return [self.out]


@LINKS.register("bottleneck")
class BottleneckLink(Link):
    """Two products with a GELU between them (Houlsby et al. 2019, arXiv 1902.00751); full inner width: D."""

    def __init__(self, width: int, config: LinkConfig, site: Site) -> None:
        super().__init__()
        inner = compute_inner(width, config.density)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(config.dropout)
        self.into = nn.Linear(width, inner)
        self.out = nn.Linear(inner, width)

    def forward(self, x: Tensor, mask: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        return self.out(self.dropout(F.gelu(self.into(self.norm(x)))))

    def get_outputs(self) -> list[nn.Linear]:
        return [self.out]


@LINKS.register("attention")
class AttentionLink(Link):
    """Self-attention over the positions, then a feed-forward part of twice the inner width, both pre-norm."""

    def __init__(self, width: int, config: LinkConfig, site: Site) -> None:
        super().__init__()
        self.causal = site.causal
        self.head_size, self.inner = compute_attention_sizes(width, config.density)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(config.dropout)
        self.query_key_value = nn.Linear(width, 3 * self.inner)
        self.out = nn.Linear(self.inner, width)
        self.norm_between = nn.LayerNorm(width)
        self.into = nn.Linear(width, FEED_FORWARD * self.inner)
        self.back = nn.Linear(FEED_FORWARD * self.inner, width)

    def forward(self, x: Tensor, mask: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        batch, positions, _ = x.shape
        joined = self.query_key_value(self.norm(x)).view(batch, positions, 3, -1, self.head_size)
        query, key, value = joined.permute(2, 0, 3, 1, 4)  # each (B, heads, T, head size)
        mixed = attend(query, key, value, mask, causal=self.causal)
        attended = self.dropout(self.out(mixed.transpose(1, 2).reshape(batch, positions, self.inner)))
        fed = self.back(self.dropout(F.gelu(self.into(self.norm_between(x + attended)))))
        return attended + self.dropout(fed)

    def get_outputs(self) -> list[nn.Linear]:
        return [self.out, self.back]


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, *, causal: bool = False) -> Tensor:
    """Scaled dot-product attention, (B, heads, T, size) each, over the positions that the mask (B, T) keeps.

    `causal`: of these, over a position itself and those before it. On the CPU and at short lengths as plain products:
    the fused kernel's backward pass took ten times as long there.
    """
    allowed = mask[:, None, None, :]
    if causal:
        positions = query.shape[2]
        allowed = allowed & torch.ones(positions, positions, dtype=torch.bool, device=mask.device).tril()
    if query.device.type != "cpu" or query.shape[2] > SHORT:
        return F.scaled_dot_product_attention(query, key, value, allowed)
    scores = (query * query.shape[3] ** -0.5) @ key.transpose(2, 3)
    return scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).softmax(3).to(value.dtype) @ value


def build_link(width: int, config: LinkConfig, site: Site | None = None) -> Link:
    """A link of chain width D at its site. Its parameters are frozen where the strategy says so."""
    link = LINKS.get(config.kind)(width, config, site or Site())
    if config.init == "identity":
        for output in link.get_outputs():
            nn.init.zeros_(output.weight)
            nn.init.zeros_(output.bias)
    if config.init == "backbone" and config.kind in INHERIT:
        assert site is not None
        assert site.layer is not None
        assert site.basis is not None
        INHERIT[config.kind](link, read_matrices(site.layer), site.basis)
    if config.strategy == "freeze":
        link.requires_grad_(False)
    return link


def pool_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean over the positions that `mask` keeps: (B, T, D), (B, T) -> (B, D)."""
    weights = mask.to(hidden.dtype)[:, :, None]
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=torch.finfo(hidden.dtype).tiny)


def pool_last(hidden: Tensor, mask: Tensor) -> Tensor:
    """The last position that `mask` keeps: (B, T, D), (B, T) -> (B, D); zeros for a row without any."""
    steps = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    last = (mask * steps).argmax(1)
    return hidden[torch.arange(len(hidden), device=mask.device), last] * mask.any(1)[:, None].to(hidden.dtype)
