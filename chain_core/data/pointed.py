"""Places in texts that labels point at, and where they are once the words around them have changed.

A place is (first, one after the last), in words of rows of tokens, else in characters; -1 where there is none. Its own
words stay what they are, side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from chain_core.data.changes import Changed

Places = Mapping[str, np.ndarray]
"""Head -> (N, 2 P): P places of each row."""


@dataclass(frozen=True)
class Extents:
    """Where each of S flat words begins in its row, and one after its end, (S,) each."""

    begins: np.ndarray
    ends: np.ndarray


def count_within(offsets: np.ndarray) -> Extents:
    """The extents of words that are themselves what is counted."""
    begins = np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], np.diff(offsets))
    return Extents(begins, begins + 1)


def find_pointed(places: Places, offsets: np.ndarray, words: Extents) -> dict[str, np.ndarray]:
    """Head -> which words belong to each of its places, (P, S) bool; rows' words are those between offsets (M+1,)."""
    counts = np.diff(offsets)
    found = {}
    for head, ends in places.items():
        spread = np.repeat(ends, counts, axis=0)  # (S, 2 P)
        first, last = spread[:, 0::2].T, spread[:, 1::2].T
        found[head] = (first >= 0) & (words.begins < last) & (words.ends > first)
    return found


def move_places(
    places: Places, pointed: Mapping[str, np.ndarray], before: Extents, changed: Changed, after: Extents
) -> dict[str, np.ndarray]:
    """The places of the changed rows, (M, 2 P); `pointed` is what `find_pointed` gave of the rows before."""
    owners = np.repeat(np.arange(len(changed.offsets) - 1), np.diff(changed.offsets))
    moved = {}
    for head, ends in places.items():
        moved[head] = np.full_like(ends, -1)
        for number, words in enumerate(pointed[head]):
            inside = np.flatnonzero(words[changed.origins])
            rows, firsts = np.unique(owners[inside], return_index=True)
            lasts = np.append(firsts[1:], len(inside)) - 1
            first, last = inside[firsts], inside[lasts]
            skipped = ends[rows, 2 * number] - before.begins[changed.origins[first]]
            left = before.ends[changed.origins[last]] - ends[rows, 2 * number + 1]
            moved[head][rows, 2 * number] = after.begins[first] + skipped.clip(min=0)
            moved[head][rows, 2 * number + 1] = after.ends[last] - left.clip(min=0)
    return moved
