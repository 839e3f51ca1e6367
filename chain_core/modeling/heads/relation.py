"""Which relation holds between two spans of a row (Baldini Soares et al. 2019, arXiv 1906.03158)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chain_core.config import HeadConfig
from chain_core.data.schema import Task
from chain_core.modeling.batch import Batch
from chain_core.modeling.heads.head import HEADS, Decoded, Head, Place
from chain_core.modeling.heads.losses import compute_cross_entropy, weigh_labels
from chain_core.modeling.links.kinds import pool_mean


@HEADS.register("relation")
class RelationHead(Head):
    """One of K labels from the means over the first span, the second, and what stands between them.

    Labels (B,) int64, -1 where missing. A row whose spans were cut off teaches nothing; without spans it gets no label.
    """

    def __init__(self, task: Task, config: HeadConfig, place: Place) -> None:
        super().__init__(task, config, place)
        self.out = nn.Linear(3 * place.width, len(task.label_space))
        self.register_buffer("class_weights", torch.ones(len(task.label_space)))

    def forward(self, states: Tensor, batch: Batch) -> Tensor:
        normed = self.norm(states).float()
        pooled = torch.cat([pool_mean(normed, mask) for mask in self._find_masks(batch)], 1)
        return self.out(self.dropout(pooled)).float()

    def _find_masks(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The positions of the first span, of the second, and of those between, each (B, T) bool."""
        spans = self._get_spans(batch)
        first1, end1, first2, end2 = spans.unbind(1)
        between = torch.minimum(end1, end2), torch.maximum(first1, first2)
        return (
            find_positions(batch, first1, end1),
            find_positions(batch, first2, end2),
            find_positions(batch, *between),
        )

    def _get_spans(self, batch: Batch) -> Tensor:
        """(B, 4) int64; -1 throughout for rows of another data set, which know nothing of this head's spans."""
        spans = batch.spans.get(self.task.name)
        return torch.full((len(batch.mask), 4), -1, device=batch.mask.device) if spans is None else spans

    def _find_known(self, labels: Tensor, batch: Batch) -> Tensor:
        """The labels, -1 also where a span has no position left, (B,)."""
        first, second, _ = self._find_masks(batch)
        return labels.masked_fill(~(first.any(1) & second.any(1)), -1)

    def compute_loss(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        known = self._find_known(labels, batch)
        return compute_cross_entropy(logits, known, self.class_weights, self.smoothing, self.focal)

    def count_known(self, labels: Tensor, batch: Batch) -> int:
        return int((self._find_known(labels, batch) >= 0).sum())

    def compute_mass(self, labels: Tensor, batch: Batch) -> float:
        return weigh_labels(self._find_known(labels, batch), self.class_weights)

    def decode(self, logits: Tensor, batch: Batch) -> Decoded:
        probabilities = logits.softmax(1)
        confidence, values = probabilities.max(1)
        marked = self._get_spans(batch)[:, 0] >= 0
        values = values.masked_fill(~marked, -1)
        return Decoded(values.cpu().numpy(), (confidence * marked).cpu().numpy(), probabilities.cpu().numpy())


def find_positions(batch: Batch, first: Tensor, end: Tensor) -> Tensor:
    """Which positions of the first text cover any of the characters or words `first` … `end` - 1, (B, T) bool."""
    assert batch.begins is not None
    assert batch.ends is not None
    inside = (batch.begins >= 0) & (batch.begins < end[:, None]) & (batch.ends > first[:, None])
    return inside & (batch.segments == 0) if batch.segments is not None else inside
