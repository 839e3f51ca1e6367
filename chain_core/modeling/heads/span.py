"""Where in a text its answer begins and ends, or that it holds none (BERT, Devlin et al. 2019, section 4.2)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from chain_core.config import HeadConfig
from chain_core.data.schema import Task
from chain_core.modeling.batch import Batch
from chain_core.modeling.heads.head import HEADS, Decoded, Head, Place
from chain_core.modeling.links.kinds import pool_last

LONGEST_WORDS = 30
"""Words of an answer at most."""
LONGEST_PIECES = 120
"""Positions of an answer at most, which bounds it where no space parts words."""
NEVER = -1e9
"""The logit of what cannot be: finite, so that no gradient becomes NaN."""


@HEADS.register("span")
class SpanHead(Head):
    """An answer's first and last position; labels (B, 2) int64 of characters, -1 where missing, 0 and 0 for no answer.

    Logits are (B, 1 + T, 2), of beginning and end. The first stands for "no answer", read from the first position (of a
    decoder the last, which alone has read all); the others are the row's positions, NEVER outside the searched text.
    """

    def __init__(self, task: Task, config: HeadConfig, place: Place) -> None:
        super().__init__(task, config, place)
        self.causal = place.causal
        self.out = nn.Linear(place.width, 3)

    def forward(self, states: Tensor, batch: Batch) -> Tensor:
        scores = self.out(self.dropout(self.norm(states))).float()  # (B, T, 3)
        none = pool_last(scores[:, :, 2:], batch.mask) if self.causal else scores[:, 0, 2:]
        if not self.task.optional:
            none = torch.full_like(none, NEVER)
        places = scores[:, :, :2].masked_fill(~find_searched(batch)[:, :, None], NEVER)
        return torch.cat([none[:, :, None].expand(-1, 1, 2), places], 1)

    def compute_loss(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """The mean of both ends' cross-entropies over the rows whose answer was not cut off."""
        targets, known = self._find_targets(labels, batch)
        if not known.any():
            return logits.sum() * 0
        chances = logits[known].log_softmax(1)  # (M, 1 + T, 2)
        losses = -chances.gather(1, targets[known][:, None, :])[:, 0]
        if self.smoothing:
            possible = logits[known] > NEVER / 2
            even = -(chances * possible).sum(1) / possible.sum(1)
            losses = (1 - self.smoothing) * losses + self.smoothing * even
        return losses.mean()

    def count_known(self, labels: Tensor, batch: Batch) -> int:
        return int(self._find_targets(labels, batch)[1].sum())

    def _find_targets(self, labels: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """(the logits' places of both ends, (B, 2); whether a row is labelled and its answer whole, (B,))."""
        assert batch.begins is not None
        assert batch.ends is not None
        inside = find_searched(batch) & (batch.begins < labels[:, 1:]) & (batch.ends > labels[:, :1])
        steps = torch.arange(1, inside.shape[1] + 1, device=inside.device)
        first = torch.where(inside, steps, len(steps) + 1).amin(1)
        last = torch.where(inside, steps, 0).amax(1)
        reach = torch.where(inside, batch.ends, 0).amax(1)
        answered = (labels[:, 0] >= 0) & (labels[:, 1] > labels[:, 0])
        none = (labels == 0).all(1)
        known = (answered & (last > 0) & (reach >= labels[:, 1])) | (none & self.task.optional)
        targets = torch.stack([first, last], 1).masked_fill(~(known & answered)[:, None], 0)
        return targets, known

    def decode(self, logits: Tensor, batch: Batch) -> Decoded:
        """The likeliest answer of all that may be, and its share of their probability."""
        assert batch.begins is not None
        assert batch.ends is not None
        searched = find_searched(batch)
        steps = torch.arange(searched.shape[1], device=searched.device)
        words = number_words(batch, searched)
        length = words[:, None, :] - words[:, :, None]
        allowed = searched[:, :, None] & searched[:, None, :] & (length < LONGEST_WORDS)
        distance = steps[None, :] - steps[:, None]
        allowed &= (distance >= 0) & (distance < LONGEST_PIECES)
        pairs = (logits[:, 1:, 0, None] + logits[:, None, 1:, 1]).masked_fill(~allowed, 2 * NEVER).flatten(1)
        scores = torch.cat([logits[:, :1].sum(2), pairs], 1)
        confidence, best = scores.softmax(1).max(1)
        place = (best - 1).clamp(min=0)
        rows = torch.arange(len(best), device=best.device)
        begin, end = batch.begins[rows, place // len(steps)], batch.ends[rows, place % len(steps)]
        found = (best > 0) & allowed.flatten(1)[rows, place]
        values = torch.stack([begin, end], 1).long() * found[:, None]
        return Decoded(values.cpu().numpy(), confidence.cpu().numpy().astype(np.float32), None)


def find_searched(batch: Batch) -> Tensor:
    """Which positions belong to the searched text, the pair's second or the only one, (B, T) bool.

    A batch may hold pairs beside single texts, of several data sets on one chain.
    """
    assert batch.begins is not None
    own = batch.begins >= 0
    if batch.segments is None:
        return own
    paired = (batch.segments == 1).any(1, keepdim=True)
    return own & (batch.segments == paired.to(batch.segments.dtype))


def number_words(batch: Batch, searched: Tensor) -> Tensor:
    """(B, T) int64: which word of the searched text a position belongs to, words being what white space parts."""
    assert batch.begins is not None
    assert batch.ends is not None
    opens = searched.clone()
    opens[:, 1:] &= ~searched[:, :-1] | (batch.begins[:, 1:] > batch.ends[:, :-1])
    return opens.long().cumsum(1)
