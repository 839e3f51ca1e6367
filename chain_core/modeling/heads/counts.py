"""Exact numbers of parameters of heads, without building them. Pure arithmetic, no torch."""

from __future__ import annotations

from chain_core.config import HeadConfig
from chain_core.modeling.reads import TOKEN_KINDS


def count_head(
    width: int, classes: int, head: HeadConfig, *, positions: bool, pair: bool = False, hidden_size: int = 0
) -> int:
    """Parameters of one head at one depth. K: `classes`; `pair`: each text of a pair is pooled by itself.

    Heads that predict tokens: K is the vocabulary, whose embeddings of `hidden_size` features are the backbone's.
    """
    norm = 2 * width
    if head.kind in TOKEN_KINDS:
        return norm + width * hidden_size + 3 * hidden_size + classes
    if head.kind == "tagging":
        chained = classes * classes + 2 * classes if head.crf == "on" else 0
        return norm + width * classes + classes + chained
    if head.kind == "span":
        return norm + 3 * width + 3
    if head.kind == "relation":
        return norm + 3 * width * classes + classes
    pooling = width + 1 if positions else 0
    size = 8 * width if pair else 2 * width if positions else width
    return norm + pooling + size * max(classes, 1) + max(classes, 1)
