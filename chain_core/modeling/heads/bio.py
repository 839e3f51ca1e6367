"""BIO-valid decoding: the likeliest sequence of tags in which no I- stands without its B- or I- before it.

Viterbi over per-word scores with forbidden steps and no learned transitions, for all rows of a batch at once. Only I-
tags restrict what comes before them, and only to two tags, so a step costs O(K), not O(K²).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BioRules:
    """Of K tags: which are I-, and the number of each one's B-."""

    inside: np.ndarray
    """Numbers of the I- tags, (M,)."""
    begin: np.ndarray
    """For each of them, its B-'s number, or its own where the label space lacks that B-, (M,)."""
    outside: int
    """Number of O, or 0 where the label space has none."""


def build_bio_rules(label_space: Sequence[str]) -> BioRules:
    """The rules of a label space; tags that are neither O, B- nor I- are free."""
    numbers = {tag: number for number, tag in enumerate(label_space)}
    inside = [number for tag, number in numbers.items() if tag.startswith("I-")]
    begin = [numbers.get("B-" + label_space[number][2:], number) for number in inside]
    return BioRules(np.array(inside, np.int64), np.array(begin, np.int64), numbers.get("O", 0))


def decode_bio(scores: np.ndarray, mask: np.ndarray, rules: BioRules) -> np.ndarray:
    """(B, W, K) log-probabilities, (B, W) mask -> (B, W) int64 tags; where masked, O."""
    batch, words, kinds = scores.shape
    if not words:
        return np.zeros((batch, 0), np.int64)
    if not len(rules.inside):
        return np.where(mask, scores.argmax(2), rules.outside)
    # A word without a piece can only be O, and nothing may go on inside across it.
    forced = np.where(np.arange(kinds) == rules.outside, 0.0, -np.inf)
    scores = np.where(mask[:, :, None], scores.astype(np.float64), forced)
    rows = np.arange(batch)
    best = scores[:, 0].copy()
    # A sequence may not begin inside, unless the label space has no other way to name the type.
    best[:, rules.inside[rules.begin != rules.inside]] = -np.inf
    back = np.zeros(scores.shape, np.int32)
    for word in range(1, words):
        top = best.argmax(1)
        previous = np.repeat(best[rows, top][:, None], kinds, 1)
        back[:, word] = top[:, None]
        inside, begin = best[:, rules.inside], best[:, rules.begin]
        previous[:, rules.inside] = np.maximum(inside, begin)
        back[:, word, rules.inside] = np.where(inside >= begin, rules.inside, rules.begin)
        best = previous + scores[:, word]
    tags = np.empty((batch, words), np.int64)
    tags[:, -1] = best.argmax(1)
    for word in range(words - 1, 0, -1):
        tags[:, word - 1] = back[rows, word, tags[:, word]]
    return tags
