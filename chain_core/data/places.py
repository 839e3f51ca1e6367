"""Where pieces stand: which text of a pair each is of, and which characters or words of it each covers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from chain_core.data.encode import Encoded


def find_segments(encodings: Any, total: int) -> np.ndarray:
    """Which text each piece is of, (S,) int8, -1 for special tokens."""
    numbers = (-1 if part is None else part for encoding in encodings for part in encoding.sequence_ids)
    return np.fromiter(numbers, np.int8, total)


def find_places(encodings: Any, inputs: Sequence[Any], kind: str, total: int) -> np.ndarray:
    """What each piece covers, (S, 2) int32: characters of its text without white space, or its word of a row."""
    if kind == "tokens":
        words = (-1 if word is None else word for encoding in encodings for word in encoding.word_ids)
        first = np.fromiter(words, np.int32, total)
        return np.stack([first, np.where(first < 0, -1, first + 1)], 1)
    places = [
        (-1, -1) if part is None else _strip(texts[part] if kind == "pair" else texts, begin, end)
        for encoding, texts in zip(encodings, inputs, strict=True)
        for part, (begin, end) in zip(encoding.sequence_ids, encoding.offsets, strict=True)
    ]
    return np.array(places, np.int32).reshape(total, 2)


def _strip(text: str, begin: int, end: int) -> tuple[int, int]:
    """A stretch of the text without white space at its ends, which some tokenizers count to their pieces."""
    while begin < end and text[begin].isspace():
        begin += 1
    while begin < end and text[end - 1].isspace():
        end -= 1
    return begin, end


def find_reach(encoded: Encoded, segment: int) -> np.ndarray:
    """(N,) int64: how far into a text (0: the first, 1: the second) its pieces reach, 0 where it has none."""
    reach = np.zeros(encoded.rows, np.int64)
    wanted = encoded.segments == segment if len(encoded.segments) else np.full(len(encoded.ends), segment == 0)
    rows = np.repeat(np.arange(encoded.rows), encoded.lengths)
    np.maximum.at(reach, rows[wanted], encoded.ends[wanted])
    return reach
