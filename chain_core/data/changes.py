"""Words deleted, swapped with the next, replaced: all rows at once, on flat arrays, and every word knows its origin.

Deletion and swaps as in Wei and Zou 2019 (arXiv 1901.11196).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chain_core.config import AugmentConfig


@dataclass(frozen=True)
class Changed:
    """Flat words of M rows after their changes."""

    words: np.ndarray
    """(S,) object"""
    offsets: np.ndarray
    """(M+1,)"""
    origins: np.ndarray
    """(S,) the place that each word had among the flat words before."""


def change_words(
    words: np.ndarray,
    offsets: np.ndarray,
    entities: Sequence[np.ndarray],
    fixed: np.ndarray,
    config: AugmentConfig,
    replacements: Mapping[str, Sequence[str]],
    random: np.random.Generator,
) -> Changed:
    """Flat words (S,) of rows (M+1,) after deletion, swaps and replacement.

    `entities`: of each column of tags the number of the entity that a word belongs to, (S,), -1 for none; `fixed`: (S,)
    words that stay what they are, side by side.
    """
    owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    origins = _choose_kept(owners, fixed, config.delete, random)
    joined = [column[origins] for column in entities]
    origins = origins[_choose_order(owners[origins], joined, fixed[origins], config.swap, random)]
    changed = _replace(words[origins], fixed[origins], config.replace, replacements, random)
    counts = np.bincount(owners[origins], minlength=len(offsets) - 1)
    return Changed(changed, np.concatenate([[0], np.cumsum(counts)]), origins)


def _choose_kept(owners: np.ndarray, fixed: np.ndarray, probability: float, random: np.random.Generator) -> np.ndarray:
    """The places of the words that stay, ascending: of each row one at least."""
    drawn = random.random(len(owners))
    kept = fixed | (drawn >= probability)
    if len(owners):
        rows, first = np.unique(owners, return_index=True)
        best = np.maximum.reduceat(drawn, first)
        empty = ~np.logical_or.reduceat(kept, first)
        row = np.searchsorted(rows, owners)
        kept |= empty[row] & (drawn == best[row])
    return np.flatnonzero(kept)


def _choose_order(
    owners: np.ndarray,
    entities: Sequence[np.ndarray],
    fixed: np.ndarray,
    probability: float,
    random: np.random.Generator,
) -> np.ndarray:
    """An order of the words in which some have changed places with the next of their row.

    Both are of one entity, or neither is of one that has more words: so no entity is torn apart.
    """
    order = np.arange(len(owners))
    if len(owners) < 2:
        return order
    swaps = (owners[:-1] == owners[1:]) & (random.random(len(owners) - 1) < probability)
    swaps &= ~(fixed[:-1] | fixed[1:])
    for column in entities:
        joined = (owners[:-1] == owners[1:]) & (column[:-1] == column[1:]) & (column[:-1] >= 0)
        apart = ~np.concatenate([[False], joined[:-1]]) & ~np.concatenate([joined[1:], [False]])
        swaps &= joined | apart
    # Of swaps that follow each other every second: a word moves once.
    places = np.arange(len(swaps))
    begins = swaps & ~np.concatenate([[False], swaps[:-1]])
    since = places - np.maximum.accumulate(np.where(begins, places, 0))
    first = np.flatnonzero(swaps & (since % 2 == 0))
    order[first], order[first + 1] = first + 1, first
    return order


def _replace(
    words: np.ndarray,
    fixed: np.ndarray,
    probability: float,
    replacements: Mapping[str, Sequence[str]],
    random: np.random.Generator,
) -> np.ndarray:
    drawn, chosen = random.random(len(words)), random.random(len(words))
    changed = words.copy()
    for place in np.flatnonzero((drawn < probability) & ~fixed):
        options = replacements.get(words[place].lower())
        if options:
            changed[place] = match_case(words[place], options[int(chosen[place] * len(options))])
    return changed


def match_case(word: str, replacement: str) -> str:
    """The replacement with capitals where the word has them."""
    if word.isupper() and len(word) > 1:
        return replacement.upper()
    return replacement[:1].upper() + replacement[1:] if word[:1].isupper() else replacement


def split_replacements(changed: Changed) -> Changed:
    """Replacements of several words as so many words, all of the place that the one had."""
    counts = np.array([len(word.split()) if " " in word else 1 for word in changed.words], np.int64)
    if (counts == 1).all():
        return changed
    words = [part for word in changed.words for part in (word.split() if " " in word else (word,))]
    ends = np.concatenate([[0], np.cumsum(counts)])
    return Changed(np.array(words, object), ends[changed.offsets], np.repeat(changed.origins, counts))


def find_same(before: np.ndarray, offsets: np.ndarray, after: Changed) -> np.ndarray:
    """(M,) rows whose words are what they were."""
    same = np.diff(offsets) == np.diff(after.offsets)
    old, new = before[np.repeat(same, np.diff(offsets))], after.words[np.repeat(same, np.diff(after.offsets))]
    owners = np.repeat(np.arange(len(same)), np.diff(after.offsets))[np.repeat(same, np.diff(after.offsets))]
    same[owners[old != new]] = False
    return same
