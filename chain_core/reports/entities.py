"""Entities in tags, found and counted as seqeval does in its default mode, in one pass.

seqeval itself walks over every tag once for each average: after each epoch, at several depths, that would be felt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

Scores = tuple[float, float, float]
"""precision, recall, F1"""


@dataclass(frozen=True)
class EntityCounts:
    """Of each type in `labels`, sorted: entities that are right, predicted, and in gold."""

    labels: tuple[str, ...]
    right: np.ndarray
    predicted: np.ndarray
    gold: np.ndarray


def find_entities(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """(type, first word, last word) of each entity, by seqeval's rules, odd tags included.

    An entity ends where the type changes, and begins anew at B- and S- and after E- and S-.
    """
    found: list[tuple[str, int, int]] = []
    before, before_kind, start = "O", "", 0
    for i, tag in enumerate((*tags, "O")):
        mark, kind = split_tag(tag)
        if mark == "O" == before:
            before_kind = kind
            continue
        changed = kind != before_kind
        if before in "ES" or (before in "BI" and mark in "BSO") or (before not in "O." and changed):
            found.append((before_kind, start, i - 1))
        if mark in "BS" or (mark in "EI" and before in "OES") or (mark not in "O." and changed):
            start = i
        before, before_kind = mark, kind
    return found


@cache
def split_tag(tag: str) -> tuple[str, str]:
    """`B-city` -> ("B", "city"); what begins with O stands outside of any entity."""
    return tag[:1] or "O", tag[1:].split("-", maxsplit=1)[-1] or "_"


def count_entities(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> EntityCounts:
    """Entities of equally long rows; one is right where its type, first and last word are."""
    right: Counter[str] = Counter()
    guessed: Counter[str] = Counter()
    true: Counter[str] = Counter()
    for tags, other in zip(gold, predicted, strict=True):
        entities = find_entities(tags)
        true.update(name for name, _, _ in entities)
        if tags == other:
            right.update(name for name, _, _ in entities)
            guessed.update(name for name, _, _ in entities)
            continue
        others = find_entities(other)
        guessed.update(name for name, _, _ in others)
        right.update(name for name, _, _ in set(entities) & set(others))
    labels = tuple(sorted({*true, *guessed}))
    return EntityCounts(labels, *(np.array([c[x] for x in labels], np.int64) for c in (right, guessed, true)))


def score_classes(counts: EntityCounts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """precision, recall and F1 of each type; 0 where undefined."""
    precision = _divide(counts.right, counts.predicted)
    recall = _divide(counts.right, counts.gold)
    return precision, recall, _divide(2 * precision * recall, precision + recall)


def score_average(counts: EntityCounts, average: str) -> Scores:
    """Over all entities ("micro"), or all types, each alike ("macro") or by its entities in gold ("weighted")."""
    if average == "micro":
        sums = EntityCounts(("",), *(part.sum(keepdims=True) for part in (counts.right, counts.predicted, counts.gold)))
        precision, recall, f1 = score_classes(sums)
        return float(precision[0]), float(recall[0]), float(f1[0])
    weights = counts.gold if average == "weighted" else np.ones(len(counts.labels))
    if not weights.sum():
        return 0.0, 0.0, 0.0
    p, r, f = (float(np.average(part, weights=weights)) for part in score_classes(counts))
    return p, r, f


def _divide(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    return np.divide(over, under, out=np.zeros(len(under)), where=under > 0)
