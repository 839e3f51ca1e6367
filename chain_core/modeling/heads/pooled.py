"""Heads over one vector a row, or over a pair's two: classification, multilabel, regression."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chain_core.config import HeadConfig
from chain_core.data.schema import Task
from chain_core.modeling.batch import Batch
from chain_core.modeling.heads.head import HEADS, Decoded, Head, PairPool, Place, Pool
from chain_core.modeling.heads.losses import (
    balance_labels,
    compute_binary_cross_entropy,
    compute_cross_entropy,
    weigh_labels,
)


class PooledHead(Head):
    """A linear map of the pooled row, or of two pooled texts compared."""

    def __init__(self, task: Task, config: HeadConfig, place: Place) -> None:
        super().__init__(task, config, place)
        self.pool: Pool | PairPool
        if place.pair:
            self.pool = PairPool(place.width, causal=place.causal)
        else:
            self.pool = Pool(place.width, positions=place.positions, causal=place.causal)
        self.out = nn.Linear(self.pool.size, max(len(task.label_space), 1))

    def forward(self, states: Tensor, batch: Batch) -> Tensor:
        if isinstance(self.pool, PairPool):
            # Rows of another data set on the same chain may be single texts: their second text is empty.
            segments = torch.zeros_like(batch.mask, dtype=torch.int8) if batch.segments is None else batch.segments
            pooled = self.pool(self.norm(states), segments.masked_fill(~batch.mask, -1))
        else:
            pooled = self.pool(self.norm(states), batch.mask)
        return self.out(self.dropout(pooled)).float()


@HEADS.register("classification")
class ClassificationHead(PooledHead):
    """One of K labels; labels (B,) int64, -1 where missing."""

    def __init__(self, task: Task, config: HeadConfig, place: Place) -> None:
        super().__init__(task, config, place)
        self.register_buffer("class_weights", torch.ones(len(task.label_space)))

    def compute_loss(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        return compute_cross_entropy(logits, labels, self.class_weights, self.smoothing, self.focal)

    def count_known(self, labels: Tensor, batch: Batch) -> int:
        return int((labels >= 0).sum())

    def compute_mass(self, labels: Tensor, batch: Batch) -> float:
        return weigh_labels(labels, self.class_weights)

    def decode(self, logits: Tensor, batch: Batch) -> Decoded:
        probabilities = logits.softmax(1)
        confidence, values = probabilities.max(1)
        return Decoded(values.cpu().numpy(), confidence.cpu().numpy(), probabilities.cpu().numpy())


@HEADS.register("multilabel")
class MultilabelHead(PooledHead):
    """Any of K labels; labels (B, K) float32, rows of NaN where missing."""

    def __init__(self, task: Task, config: HeadConfig, place: Place) -> None:
        super().__init__(task, config, place)
        self.register_buffer("class_weights", torch.ones(len(task.label_space)))
        if config.threshold == "tuned":
            self.shift = torch.zeros(())

    def compute_loss(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        return compute_binary_cross_entropy(logits, labels, self.class_weights, self.smoothing, self.focal)

    def count_known(self, labels: Tensor, batch: Batch) -> int:
        return int((~labels[:, 0].isnan()).sum())

    def decode(self, logits: Tensor, batch: Batch) -> Decoded:
        probabilities = (logits if self.shift is None else logits + self.shift).sigmoid()
        confidence = torch.maximum(probabilities, 1 - probabilities).min(1).values
        return Decoded((probabilities > 0.5).cpu().numpy(), confidence.cpu().numpy(), probabilities.cpu().numpy())

    def fit(self, config: HeadConfig, labels: np.ndarray) -> None:
        if config.class_weights == "balanced":
            self.class_weights.copy_(torch.from_numpy(balance_labels(labels)))


@HEADS.register("regression")
class RegressionHead(PooledHead):
    """A number; labels (B,) float32, NaN where missing. Learned in units of the train rows' standard deviation."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, task: Task, config: HeadConfig, place: Place) -> None:
        super().__init__(task, config, place)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    def compute_loss(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        known = ~labels.isnan()
        if not known.any():
            return logits.sum() * 0
        return F.mse_loss(logits[known, 0], (labels[known] - self.mean) / self.deviation)

    def count_known(self, labels: Tensor, batch: Batch) -> int:
        return int((~labels.isnan()).sum())

    def decode(self, logits: Tensor, batch: Batch) -> Decoded:
        values = logits[:, 0] * self.deviation + self.mean
        return Decoded(values.cpu().numpy(), np.ones(len(values), np.float32), None)

    def fit(self, config: HeadConfig, labels: np.ndarray) -> None:
        known = labels[~np.isnan(labels)]
        deviation = float(known.std()) if len(known) else 1.0
        self.mean.fill_(float(known.mean()) if len(known) else 0.0)
        self.deviation.fill_(deviation or 1.0)
