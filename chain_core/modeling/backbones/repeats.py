"""Rows that a backbone reads the same."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from chain_core.data.encode import Encoded

TYPE_BITS = 24
"""Above which a token's type stands where rows are compared: no vocabulary has so many tokens."""
LARGEST_SEARCH = 100_000_000
"""Tokens of all rows up to which equal ones are looked for: distinct rows are held in memory for that."""
LARGEST_GROUP = 65_536
"""Positions of rows that are alike: of width 384, 50 MB a layer."""


def find_equal(encoded: Encoded) -> np.ndarray:
    """(N,) int64: for each row the first one of which a backbone reads the same; of very many rows each by itself.

    Where many are alike, some are the first of no more than LARGEST_GROUP positions each: what is computed of one is
    held in memory for all of them.
    """
    if len(encoded.input_ids) > LARGEST_SEARCH:
        return np.arange(encoded.rows)
    read = np.ascontiguousarray(encoded.input_ids)
    if encoded.token_type_ids.any():
        read = read | encoded.token_type_ids.astype(np.int32) << TYPE_BITS
    offsets = encoded.offsets * read.itemsize
    rows = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), encoded.rows, [None, pa.py_buffer(offsets), pa.py_buffer(read)]
    )
    numbers = rows.dictionary_encode().indices.to_numpy()
    return cut_groups(np.unique(numbers, return_index=True)[1][numbers], encoded.lengths)


def cut_groups(first: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(N,) as `find_equal`, with groups of at most LARGEST_GROUP positions, or one row."""
    order = np.argsort(first, kind="stable")
    begins = np.searchsorted(first[order], first[order])
    ranks = np.arange(len(first)) - begins
    largest = np.maximum(LARGEST_GROUP // np.maximum(lengths[order], 1), 1)
    cut = np.empty_like(first)
    cut[order] = order[begins + ranks // largest * largest]
    return cut
