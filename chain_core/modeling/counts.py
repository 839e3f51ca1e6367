"""Exact numbers of parameters of links and heads, without building them. Pure arithmetic, no torch."""

from __future__ import annotations

from chain_core.config import HeadConfig, LinkConfig
from chain_core.modeling.sizes import FEED_FORWARD, compute_attention_sizes, compute_inner


def count_link(width: int, hidden_size: int, link: LinkConfig) -> int:
    """Parameters of one link with the projection of its tap. D: `width`, H: `hidden_size`."""
    joining = 2 * hidden_size + hidden_size * width + width  # norm, project
    if link.kind == "linear":
        inner = compute_inner(width, link.density)
        inside = width * inner + inner * width if link.density < 1 else width * width
        return joining + 2 * width + inside + width
    if link.kind == "bottleneck":
        inner = compute_inner(width, link.density)
        return joining + 2 * width + width * inner + inner + inner * width + width
    _, inner = compute_attention_sizes(width, link.density)
    attention = 3 * (width * inner + inner) + inner * width + width
    wide = FEED_FORWARD * inner
    feeding = width * wide + wide + wide * width + width
    return joining + 4 * width + attention + feeding


def count_head(width: int, classes: int, head: HeadConfig, *, positions: bool) -> int:
    """Parameters of one head at one depth. K: `classes`."""
    norm = 2 * width
    if head.kind == "tagging":
        return norm + width * classes + classes
    pooling = width + 1 if positions else 0
    size = 2 * width if positions else width
    return norm + pooling + size * max(classes, 1) + max(classes, 1)
