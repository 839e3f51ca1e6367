"""Rows that are encoded: joined, cut apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chain_core.data.encode import FLAT, Encoded, build_lexical_table, join_flat, make_offsets


def join_encoded(parts: Sequence[Encoded]) -> Encoded:
    """Several data sets' rows, one after the other."""
    if len(parts) == 1:
        return parts[0]
    paired = any(len(part.segments) for part in parts)
    flat: dict[str, list[np.ndarray]] = {name: [] for name in FLAT}
    words = 0
    for part in parts:
        for name in flat:
            flat[name].append(getattr(part, name))
        flat["lexical"][-1] = np.where(part.lexical > 0, part.lexical + words, 0)
        if paired and not len(part.segments):
            flat["segments"][-1] = np.zeros(len(part.input_ids), np.int8)
        words += len(part.lexical_table) - 1
    joined: dict[str, Any] = {name: join_flat(flat[name], dtype) for name, dtype in FLAT.items()}
    return Encoded(
        **joined,
        offsets=make_offsets([part.lengths for part in parts]),
        word_offsets=make_offsets([np.diff(part.word_offsets) for part in parts]),
        lexical_table=join_flat([parts[0].lexical_table, *(part.lexical_table[1:] for part in parts[1:])], np.int32),
        truncated=sum(part.truncated for part in parts),
    )


def slice_inputs(encoded: Encoded, start: int, stop: int) -> Encoded:
    """What a backbone reads of the rows from `start` to before `stop`, not copied."""
    if (start, stop) == (0, encoded.rows):
        return encoded
    offsets = encoded.offsets[start : stop + 1]
    tokens = slice(int(offsets[0]), int(offsets[-1]))
    unused: dict[str, Any] = {name: np.empty(0, dtype) for name, dtype in FLAT.items()}
    return Encoded(
        **unused | {"input_ids": encoded.input_ids[tokens], "token_type_ids": encoded.token_type_ids[tokens]},
        offsets=offsets - offsets[0],
        word_offsets=np.zeros(stop - start + 1, np.int64),
        lexical_table=build_lexical_table([]),
        truncated=0,
    )
