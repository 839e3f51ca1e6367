"""Inner widths of links. Pure arithmetic, without torch: the plan counts with it what the modules build."""

from __future__ import annotations

HEAD_SIZE = 64
"""Most features of one attention head."""
HEAD_STEP = 8
"""Heads are a multiple of this many features wide, so that products over them run at full speed."""
FEED_FORWARD = 2
"""Width of an attention link's feed-forward part, in inner widths."""
LEXICAL_WIDTH = 64
"""Features of the lexical tap's embeddings."""


def compute_inner(width: int, density: float) -> int:
    """The inner width of a bottleneck or conv link: density x width, at least 1."""
    return max(1, round(density * width))


def compute_rank(rows: int, columns: int, density: float) -> int:
    """The rank at which two factors hold at most density x the parameters of a (rows, columns) matrix; at least 1."""
    return max(1, int(density * rows * columns / (rows + columns)))


def compute_attention_sizes(width: int, density: float) -> tuple[int, int]:
    """(features of one attention head, inner width): density x width, rounded up to whole heads of equal size."""
    step = HEAD_STEP if width % HEAD_STEP == 0 else 1
    features = max(1, round(density * width))
    heads = -(-features // HEAD_SIZE)
    size = step * -(-features // (heads * step))
    return size, size * heads
