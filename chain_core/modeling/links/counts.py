"""Exact numbers of parameters of a chain's links, without building them. Pure arithmetic, no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from chain_core.config import Config, LinkConfig
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.modeling.backbones.shapes import BackboneShapes, Shape
from chain_core.modeling.links.sizes import FEED_FORWARD, compute_attention_sizes, compute_inner, compute_rank
from chain_core.modeling.reads import choose_taps, find_owner, name_layer


@dataclass(frozen=True)
class LinkCount:
    """One link with the projection of its tap."""

    parameters: int
    """Its own: what it shares with an earlier link or with the backbone is counted there."""
    trainable: int
    used: int
    """What a position passes through, shared or not."""


def count_links(config: Config, facts: BackboneFacts, shapes: BackboneShapes) -> tuple[LinkCount, ...]:
    """Of link 1 … depth. Raises ConfigError for a tap that the backbone does not have."""
    width, hidden_size = config.chain.width, facts.hidden_size
    taps = choose_taps(config.chain, facts.num_layers)
    joining = 2 * hidden_size + hidden_size * width + width  # norm, project
    counts = []
    for position in range(1, config.chain.depth + 1):
        owner = find_owner(config, position)
        layer = shapes.layers[name_layer(taps[owner - 1]) - 1]
        link = config.get_link(owner)
        inside = _count_inside(width, hidden_size, link, layer, grid=facts.grid)
        own = joining + (inside if owner == position else 0)
        trains = config.get_link(position).strategy == "train"
        used = joining + inside + (_count_layer(layer, 1.0) if link.tie == "backbone" else 0)
        counts.append(LinkCount(own, own if trains else 0, used))
    return tuple(counts)


def _count_inside(width: int, hidden_size: int, link: LinkConfig, layer: Mapping[str, Shape], *, grid: bool) -> int:
    """Of f_k alone. D: `width`, H: `hidden_size`."""
    norm, inner = 2 * width, compute_inner(width, link.density)
    if link.kind == "linear":
        rank = compute_rank(width, width, link.density)
        return norm + (2 * width * rank if link.density < 1 else width * width) + width
    if link.kind == "bottleneck":
        return norm + _count_products(width, inner)
    if link.kind == "conv":
        kernel = link.kernel**2 if grid else link.kernel
        return norm + width * kernel + width + _count_products(width, inner)
    if link.kind == "backbone":
        between = 2 * width * hidden_size + width + hidden_size
        return between + (0 if link.tie == "backbone" else _count_layer(layer, link.density))
    _, inner = compute_attention_sizes(width, link.density)
    attention = 3 * (width * inner + inner) + inner * width + width
    return 2 * norm + attention + _count_products(width, FEED_FORWARD * inner)


def _count_products(width: int, inner: int) -> int:
    return width * inner + inner + inner * width + width


def _count_layer(layer: Mapping[str, Shape], density: float) -> int:
    """Of a copied layer, below density 1 with two factors in place of each matrix."""
    return sum(
        compute_rank(shape[0], shape[1], density) * sum(shape) if len(shape) == 2 and density < 1 else math.prod(shape)
        for shape in layer.values()
    )
