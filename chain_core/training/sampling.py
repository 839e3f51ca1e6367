"""Which rows an epoch trains on, batch by batch: of like length, and from groups of rows as often as is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from chain_core.config import TrainConfig
from chain_core.training.feed import Labels, find_labelled

BUCKET_BATCHES = 50
"""Batches whose rows are sorted by length together: enough for little padding, few enough to keep the order random."""


def group_rows(labels: Mapping[str, Labels], rows: np.ndarray, settings: TrainConfig) -> list[np.ndarray]:
    """The rows by which heads' labels they bear, in their order; one group where that does not matter."""
    if settings.sampling == "proportional" or not labels:
        return [rows]
    borne = np.stack([find_labelled(values, rows) for values in labels.values()], 1)
    _, group = np.unique(borne, axis=0, return_inverse=True)
    group = group.reshape(-1)
    return [rows[group == number] for number in range(int(group.max()) + 1)]


def compute_shares(sizes: Sequence[int], settings: TrainConfig) -> np.ndarray:
    """The share of an epoch's batches that is drawn from each group, summing to 1."""
    exponent = {"proportional": 1.0, "uniform": 0.0, "temperature": 1 / settings.temperature}[settings.sampling]
    weights = np.asarray(sizes, np.float64) ** exponent
    return weights / weights.sum()


def sample_epoch(
    lengths: np.ndarray, groups: Sequence[np.ndarray], size: int, settings: TrainConfig, random: np.random.Generator
) -> list[np.ndarray]:
    """One epoch's batches of `size` rows: as many as all rows fill, each from one group; a group that is drawn more
    often than it has rows for repeats them, one that is drawn less often shows other rows in each epoch."""
    if len(groups) == 1:
        return sample_batches(lengths, groups[0], size, random)
    sizes = [len(group) for group in groups]
    total = -(-sum(sizes) // size)
    ends = np.floor(np.cumsum(compute_shares(sizes, settings)) * total + random.random())
    ends[-1] = total
    batches: list[np.ndarray] = []
    for group, count in zip(groups, np.diff(ends, prepend=0).astype(int), strict=True):
        drawn: list[np.ndarray] = []
        while len(drawn) < count:
            drawn += sample_batches(lengths, group, size, random)
        batches += drawn[:count]
    return [batches[index] for index in random.permutation(len(batches))]


def sample_batches(lengths: np.ndarray, rows: np.ndarray, size: int, random: np.random.Generator) -> list[np.ndarray]:
    """The rows in random order, in batches of `size` rows of like length, in random order."""
    order = random.permutation(rows)
    batches = []
    for start in range(0, len(order), BUCKET_BATCHES * size):
        bucket = order[start : start + BUCKET_BATCHES * size]
        bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
        batches += [bucket[first : first + size] for first in range(0, len(bucket), size)]
    return [batches[index] for index in random.permutation(len(batches))]
