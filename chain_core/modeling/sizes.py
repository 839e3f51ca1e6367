"""Inner widths of links. Pure arithmetic, without torch: the plan counts with it what the modules build."""

from __future__ import annotations

HEAD_SIZE = 64
"""Features of one attention head."""
FEED_FORWARD = 2
"""Width of an attention link's feed-forward part, in inner widths."""
LEXICAL_WIDTH = 64
"""Features of the lexical tap's embeddings."""


def compute_inner(width: int, density: float) -> int:
    """The inner width of a linear or bottleneck link: density x width, at least 1."""
    return max(1, round(density * width))


def compute_attention_sizes(width: int, density: float) -> tuple[int, int]:
    """(features of one attention head, inner width): the inner width is a whole number of heads."""
    size = min(HEAD_SIZE, width)
    return size, size * max(1, round(density * width / size))
