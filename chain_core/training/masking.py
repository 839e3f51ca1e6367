"""Masked rows: a feed that hides tokens as each batch is built, so the frozen half runs live on what is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from chain_core.data.encode import Encoded
from chain_core.modeling.backbones.backbone import Backbone
from chain_core.modeling.backbones.objectives import Vocabulary
from chain_core.modeling.batch import Batch, build_batch, spread
from chain_core.training.feed import Feed
from chain_core.training.live import read_states

HIDDEN, SWAPPED = 0.8, 0.1
"""Of the chosen tokens: replaced by the mask, by any token; the rest stay as they are."""


@dataclass(frozen=True)
class Draws:
    """Numbers that decide, (B, T) each or flat: which tokens are hidden, how, and behind which others."""

    chosen: np.ndarray
    """[0, 1)"""
    how: np.ndarray
    """[0, 1)"""
    other: np.ndarray
    """Token ids."""

    def cut(self, rows: slice, width: int) -> Draws:
        """Those of some rows, (B, `width`) each."""
        return Draws(self.chosen[rows, :width], self.how[rows, :width], self.other[rows, :width])


def draw(shape: int | tuple[int, ...], vocabulary: int, random: np.random.Generator) -> Draws:
    return Draws(random.random(shape), random.random(shape), random.integers(0, vocabulary, shape))


def mask_tokens(
    ids: np.ndarray, mask: np.ndarray, vocabulary: Vocabulary, share: float, draws: Draws
) -> tuple[np.ndarray, np.ndarray]:
    """(B, T) ids -> (ids with some hidden, labels: what stood there, -1 where nothing is asked).

    Devlin et al. 2019 (arXiv 1810.04805): `share` of the tokens are chosen; of these 80 % become the mask token,
    10 % any token, 10 % stay.
    """
    chosen = mask & ~vocabulary.special[ids] & (draws.chosen < share)
    shown = np.where(chosen & (draws.how < HIDDEN), vocabulary.mask, ids)
    shown = np.where(chosen & (draws.how >= 1 - SWAPPED), draws.other, shown)
    return shown, np.where(chosen, ids, -1)


@dataclass(frozen=True)
class MaskedFeed(Feed):
    """Rows whose tokens are hidden anew in every batch; those of the validation split always in the same way."""

    heads: tuple[str, ...] = ()
    """That guess the hidden tokens."""
    vocabulary: Vocabulary | None = None
    share: float = 0.15
    load_lower: Callable[[], Backbone] | None = None
    """The frozen half, loaded once; None: the model reads token ids."""
    layers: tuple[int, ...] = ()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    random: np.random.Generator = field(default_factory=np.random.default_rng)
    fixed: Fixed | None = None

    @property
    def draws(self) -> np.random.Generator:
        return self.random

    def build_batch(self, rows: np.ndarray, *, labelled: bool = True) -> Batch:
        return self.read_batch(self.draw_batch(rows))

    def draw_batch(self, rows: np.ndarray, own: slice = slice(None)) -> Batch:
        batch = build_batch(self.encoded, rows[own])
        assert batch.input_ids is not None
        assert self.vocabulary is not None
        ids, mask = batch.input_ids.numpy(), batch.mask.numpy()
        draws = self.fixed.find(rows) if self.fixed is not None else None
        if draws is None:
            shape = len(rows), max(int(self.encoded.lengths[rows].max()), 1)
            draws = draw(shape, self.vocabulary.size, self.random)
        draws = draws.cut(own, ids.shape[1])
        shown, labels = mask_tokens(ids, mask, self.vocabulary, self.share, draws)
        if batch.lexical is not None:
            hidden = find_hidden_words(self.encoded, rows[own], labels >= 0)
            batch = replace(batch, lexical=batch.lexical.masked_fill(torch.from_numpy(hidden)[:, :, None], 0))
        asked = torch.from_numpy(labels)
        return replace(batch, input_ids=torch.from_numpy(shown), labels=dict.fromkeys(self.heads, asked))

    def read_batch(self, batch: Batch) -> Batch:
        if self.load_lower is None:
            return batch
        return read_states(self.load_lower(), batch, self.layers, self.device, self.dtype, pooled=False)


def find_hidden_words(encoded: Encoded, rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(B, T) bool: the pieces of words of which any is hidden; their shapes and affixes would give it away."""
    index, mask = spread(encoded.offsets, rows)
    table_rows = np.where(mask, encoded.lexical[index], 0).astype(np.int64)
    keys = (table_rows - 1) // 2 + np.arange(len(rows))[:, None] * len(encoded.lexical_table)
    return chosen | ((table_rows > 0) & np.isin(keys, keys[chosen & (table_rows > 0)]))


@dataclass(frozen=True)
class Fixed:
    """Draws that stay the same whenever a row is read."""

    rows: np.ndarray
    """Ascending."""
    offsets: np.ndarray
    draws: Draws

    def find(self, rows: np.ndarray) -> Draws | None:
        """The draws of these rows, (B, T); None where they are others."""
        places = np.searchsorted(self.rows, rows)
        if not len(self.rows) or (self.rows[places.clip(max=len(self.rows) - 1)] != rows).any():
            return None
        index, _ = spread(self.offsets, places)
        return Draws(self.draws.chosen[index], self.draws.how[index], self.draws.other[index])


def fix_draws(encoded: Encoded, rows: np.ndarray, vocabulary: Vocabulary, seed: int) -> Fixed:
    """The draws of some rows, by the seed."""
    rows = np.sort(rows)
    offsets = np.concatenate([[0], np.cumsum(encoded.lengths[rows])])
    return Fixed(rows, offsets, draw(int(offsets[-1]), vocabulary.size, np.random.default_rng(seed)))


def build_next_tokens(encoded: Encoded) -> tuple[np.ndarray, np.ndarray]:
    """For each position the token after it, (S,) int32, -1 at a row's end; and the rows' offsets."""
    following = np.full(len(encoded.input_ids), -1, np.int32)
    following[:-1] = encoded.input_ids[1:]
    following[encoded.offsets[1:][encoded.lengths > 0] - 1] = -1
    return following, np.asarray(encoded.offsets)
