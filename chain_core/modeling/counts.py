"""Exact numbers of parameters of heads, without building them. Pure arithmetic, no torch."""

from __future__ import annotations

from chain_core.config import HeadConfig


def count_head(width: int, classes: int, head: HeadConfig, *, positions: bool) -> int:
    """Parameters of one head at one depth. K: `classes`."""
    norm = 2 * width
    if head.kind == "tagging":
        return norm + width * classes + classes
    pooling = width + 1 if positions else 0
    size = 2 * width if positions else width
    return norm + pooling + size * max(classes, 1) + max(classes, 1)
