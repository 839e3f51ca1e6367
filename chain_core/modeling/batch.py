"""A batch, and how it is cut out of flat arrays: offsets and one gather, no Python loop over rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from chain_core.data.encode import Encoded
from chain_core.modeling.joined import States, take_states


@dataclass(frozen=True)
class Batch:
    """B rows, T positions, W words."""

    rows: np.ndarray
    """(B,) int64 row numbers."""
    mask: Tensor
    """(B, T) bool, False at padding."""
    input_ids: Tensor | None = None
    """(B, T) int64"""
    token_type_ids: Tensor | None = None
    hidden: Mapping[int, Tensor] = field(default_factory=dict)
    """Backbone layer -> (B, T, H) cached states."""
    lexical: Tensor | None = None
    """(B, T, F) int64 buckets."""
    word_starts: Tensor | None = None
    """(B, W) int64 position of each word's first piece."""
    word_mask: Tensor | None = None
    """(B, W) bool, False where there is no such word or it was cut off."""
    labels: Mapping[str, Tensor] = field(default_factory=dict)
    grid: tuple[int, int] | None = None
    """(h, w) where the last h x w positions form a grid, row after row."""
    segments: Tensor | None = None
    """(B, T) int8: 0 for a pair's first text, 1 for its second, -1 for special tokens and padding."""
    begins: Tensor | None = None
    """(B, T) int32: first character or word that a position covers, -1 for special tokens and padding."""
    ends: Tensor | None = None
    """(B, T) int32: one after the last."""
    spans: Mapping[str, Tensor] = field(default_factory=dict)
    """Relation head -> (B, 4) int64: first and one after last character or word of both its spans, -1 for none."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        if device.type == "cpu":
            return self

        def move(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.to(device, non_blocking=True)

        return Batch(
            self.rows,
            self.mask.to(device),
            move(self.input_ids),
            move(self.token_type_ids),
            {layer: value.to(device, non_blocking=True) for layer, value in self.hidden.items()},
            move(self.lexical),
            move(self.word_starts),
            move(self.word_mask),
            {task: value.to(device, non_blocking=True) for task, value in self.labels.items()},
            self.grid,
            move(self.segments),
            move(self.begins),
            move(self.ends),
            {name: value.to(device, non_blocking=True) for name, value in self.spans.items()},
        )

    def split(self, parts: int) -> list[Batch]:
        """The rows in so many batches of a size, the first perhaps larger by one; fewer where there are fewer rows."""
        count = len(self.rows)
        ends = [0, *np.cumsum([len(part) for part in np.array_split(self.rows, min(parts, count))]).tolist()]
        return [self] if len(ends) == 2 else [self._cut(first, end) for first, end in pairwise(ends)]

    def _cut(self, first: int, end: int) -> Batch:
        def cut(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {name: cut(inner) for name, inner in value.items()}
            return value[first:end] if isinstance(value, Tensor | np.ndarray) else value

        return Batch(**{field.name: cut(getattr(self, field.name)) for field in fields(self)})


def build_batch(
    encoded: Encoded,
    rows: np.ndarray,
    *,
    hidden: Mapping[int, States] | None = None,
    pooled: bool = False,
    labels: Mapping[str, np.ndarray | tuple[np.ndarray, np.ndarray]] | None = None,
    spans: Mapping[str, np.ndarray] | None = None,
) -> Batch:
    """The rows' tokens or cached states, padded to the longest of them, with their words and labels.

    `hidden` maps a layer to (S, H) states of all tokens, or with `pooled` to (N, H) vectors of all rows. `labels` is
    what `data.labels.encode_labels` gives for all N rows, `spans` what `data.text.Texts` has of them.
    """
    chosen = _gather_labels(labels or {}, rows)
    if pooled:
        vectors = {
            layer: torch.from_numpy(take_states(states, rows))[:, None] for layer, states in (hidden or {}).items()
        }
        return Batch(rows, torch.ones(len(rows), 1, dtype=torch.bool), hidden=vectors, labels=chosen)
    index, mask = spread(encoded.offsets, rows)
    batch: dict[str, Any] = {
        "hidden": {layer: _gather_states(states, index, mask) for layer, states in (hidden or {}).items()},
        "input_ids": _ids(encoded.input_ids, index, mask) if not hidden else None,
        "token_type_ids": _ids(encoded.token_type_ids, index, mask) if not hidden else None,
        "lexical": None,
    }
    if len(encoded.lexical):
        batch["lexical"] = torch.from_numpy(
            encoded.lexical_table[np.where(mask, encoded.lexical[index], 0)].astype(np.int64)
        )
    if len(encoded.segments):
        batch["segments"] = torch.from_numpy(np.where(mask, encoded.segments[index], np.int8(-1)))
    for name, flat in (("begins", encoded.begins), ("ends", encoded.ends)):
        if len(flat):
            batch[name] = torch.from_numpy(np.where(mask, flat[index], np.int32(-1)))
    if spans:
        batch["spans"] = {name: torch.from_numpy(part[rows].astype(np.int64)) for name, part in spans.items()}
    word_index, word_mask = spread(encoded.word_offsets, rows)
    starts = _take(encoded.word_starts, word_index)
    word_mask &= starts >= 0
    batch["word_starts"] = torch.from_numpy(np.where(word_mask, starts, 0).astype(np.int64))
    batch["word_mask"] = torch.from_numpy(word_mask)
    return Batch(rows, torch.from_numpy(mask), labels=chosen, **batch)


def spread(offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat positions of the rows' items, padded: (B, T) int64 and (B, T) bool."""
    starts, lengths = offsets[rows], offsets[rows + 1] - offsets[rows]
    steps = np.arange(max(int(lengths.max(initial=0)), 1))
    mask = steps < lengths[:, None]
    return np.where(mask, starts[:, None] + steps, starts[:, None].clip(max=max(int(offsets[-1]) - 1, 0))), mask


def list_places(offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Flat positions of the rows' items, row after row, (S,) int64."""
    starts, lengths = offsets[rows], offsets[rows + 1] - offsets[rows]
    return np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(int(lengths.sum()))


def _ids(flat: np.ndarray, index: np.ndarray, mask: np.ndarray) -> Tensor:
    return torch.from_numpy(np.where(mask, _take(flat, index), 0).astype(np.int64))


def _take(flat: np.ndarray, index: np.ndarray) -> np.ndarray:
    """What stands at flat positions; zeros where nothing stands anywhere, since no row has an item."""
    return flat[index] if len(flat) else np.zeros(index.shape, flat.dtype)


def _gather_states(states: States, index: np.ndarray, mask: np.ndarray) -> Tensor:
    """(B, T, H): a row without a token has zeros, and not the states of the next one."""
    found, empty = torch.from_numpy(take_states(states, index)), ~mask.any(1)
    if empty.any():
        found[torch.from_numpy(empty)] = 0
    return found


def _gather_labels(labels: Mapping[str, np.ndarray | tuple[np.ndarray, np.ndarray]], rows: np.ndarray):
    chosen = {}
    for task, values in labels.items():
        if isinstance(values, tuple):
            flat, offsets = values
            index, mask = spread(offsets, rows)
            tags = flat[np.minimum(index, max(len(flat) - 1, 0))] if len(flat) else np.full(index.shape, -1)
            chosen[task] = torch.from_numpy(np.where(mask, tags, -1).astype(np.int64))
        else:
            some = torch.from_numpy(values[rows])
            chosen[task] = some if some.dtype.is_floating_point else some.long()
    return chosen
