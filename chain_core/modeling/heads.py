"""Heads: states in, logits out, with the loss and the decoding of their task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chain_core.config import HeadConfig
from chain_core.data.schema import Task
from chain_core.modeling.batch import Batch
from chain_core.modeling.bio import build_bio_rules, decode_bio
from chain_core.modeling.dropout import Dropout
from chain_core.modeling.links import pool_mean
from chain_core.registry import Registry

HEADS: Registry[type[Head]] = Registry("head kind")


@dataclass(frozen=True)
class Decoded:
    """What a head says of B rows."""

    values: np.ndarray
    """Label numbers, (B,); rows of 0 and 1, (B, K); scores, (B,); or tag numbers, (B, W)."""
    confidence: np.ndarray
    """(B,) float32 in [0, 1]; of tags, that of the least sure word."""
    probabilities: np.ndarray | None
    """(B, K) float32; None for scores and tags."""


@dataclass(frozen=True)
class Place:
    """Where a head sits."""

    width: int
    """Features of the states that it reads: D, or H at depth 0."""
    positions: bool = True
    """False: T is 1, the row's pooled vector."""
    pair: bool = False
    """Whether the rows are pairs of texts."""
    causal: bool = False
    """Whether a position knows only those before it: the backbone is a decoder."""
    embeddings: Tensor | None = None
    """(V, H) the backbone's input embeddings, for heads that predict tokens."""


class Head(nn.Module):
    """(B, T, D) -> logits."""

    def __init__(self, task: Task, config: HeadConfig, place: Place) -> None:
        super().__init__()
        self.task = task
        self.smoothing = config.label_smoothing
        self.norm = nn.LayerNorm(place.width)
        self.dropout = Dropout(config.dropout)

    def compute_loss(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """The mean loss over what is labelled; 0 where nothing is."""
        raise NotImplementedError

    def decode(self, logits: Tensor, batch: Batch) -> Decoded:
        raise NotImplementedError


class Pool(nn.Module):
    """A row's vector: the mean of its positions beside a learned weighting of them, (B, T, D) -> (B, 2D).

    Pooled inputs pass through: (B, 1, D) -> (B, D). Attention pooling as in Lin et al. 2017 (arXiv 1703.03130).
    """

    def __init__(self, width: int, *, positions: bool) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1) if positions else None
        self.size = 2 * width if positions else width

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        if self.score is None:
            return hidden[:, 0]
        scores = self.score(hidden).float()[:, :, 0].masked_fill(~mask, torch.finfo(torch.float32).min)
        weighted = torch.einsum("bt,btd->bd", scores.softmax(1), hidden.float())
        return torch.cat([pool_mean(hidden.float(), mask), weighted], 1)


class PooledHead(Head):
    """A head over one vector a row."""

    def __init__(self, task: Task, config: HeadConfig, place: Place) -> None:
        super().__init__(task, config, place)
        self.pool = Pool(place.width, positions=place.positions)
        self.out = nn.Linear(self.pool.size, max(len(task.label_space), 1))

    def forward(self, states: Tensor, batch: Batch) -> Tensor:
        return self.out(self.dropout(self.pool(self.norm(states), batch.mask))).float()


@HEADS.register("classification")
class ClassificationHead(PooledHead):
    """One of K labels; labels (B,) int64, -1 where missing."""

    class_weights: Tensor

    def __init__(self, task: Task, config: HeadConfig, place: Place) -> None:
        super().__init__(task, config, place)
        self.register_buffer("class_weights", torch.ones(len(task.label_space)))

    def compute_loss(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        return mean_cross_entropy(logits, labels, self.class_weights, self.smoothing)

    def decode(self, logits: Tensor, batch: Batch) -> Decoded:
        probabilities = logits.softmax(1)
        confidence, values = probabilities.max(1)
        return Decoded(values.cpu().numpy(), confidence.cpu().numpy(), probabilities.cpu().numpy())


@HEADS.register("multilabel")
class MultilabelHead(PooledHead):
    """Any of K labels; labels (B, K) float32, rows of NaN where missing."""

    class_weights: Tensor

    def __init__(self, task: Task, config: HeadConfig, place: Place) -> None:
        super().__init__(task, config, place)
        self.register_buffer("class_weights", torch.ones(len(task.label_space)))

    def compute_loss(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        known = ~labels[:, 0].isnan()
        if not known.any():
            return logits.sum() * 0
        targets = labels[known] * (1 - self.smoothing) + 0.5 * self.smoothing
        return F.binary_cross_entropy_with_logits(logits[known], targets, pos_weight=self.class_weights)

    def decode(self, logits: Tensor, batch: Batch) -> Decoded:
        probabilities = logits.sigmoid()
        confidence = torch.maximum(probabilities, 1 - probabilities).min(1).values
        return Decoded((probabilities > 0.5).cpu().numpy(), confidence.cpu().numpy(), probabilities.cpu().numpy())


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

    def decode(self, logits: Tensor, batch: Batch) -> Decoded:
        values = logits[:, 0] * self.deviation + self.mean
        return Decoded(values.cpu().numpy(), np.ones(len(values), np.float32), None)


@HEADS.register("tagging")
class TaggingHead(Head):
    """A tag for each word, read at its first piece; labels (B, W) int64, -1 where missing. BIO-valid decoding."""

    class_weights: Tensor

    def __init__(self, task: Task, config: HeadConfig, place: Place) -> None:
        super().__init__(task, config, place)
        self.out = nn.Linear(place.width, len(task.label_space))
        self.rules = build_bio_rules(task.label_space)
        weights = torch.ones(len(task.label_space))
        self.register_buffer("class_weights", weights)

    def forward(self, states: Tensor, batch: Batch) -> Tensor:
        assert batch.word_starts is not None
        index = batch.word_starts[:, :, None].expand(-1, -1, states.shape[2])
        return self.out(self.dropout(self.norm(states.gather(1, index)))).float()  # (B, W, K)

    def compute_loss(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        # A row whose tags are all missing has no labels at all: its labels may be narrower than its words.
        width = min(logits.shape[1], labels.shape[1])
        assert batch.word_mask is not None
        known = labels[:, :width].masked_fill(~batch.word_mask[:, :width], -1)
        return mean_cross_entropy(
            logits[:, :width].flatten(0, 1), known.flatten(), self.class_weights, self.smoothing
        )  # fmt: skip

    def decode(self, logits: Tensor, batch: Batch) -> Decoded:
        assert batch.word_mask is not None
        scores = logits.log_softmax(2).cpu().numpy()
        mask = batch.word_mask.cpu().numpy()
        values = decode_bio(scores, mask, self.rules)
        chosen = np.exp(np.take_along_axis(scores, values[:, :, None], 2)[:, :, 0])
        confidence = np.where(mask, chosen, 1.0).min(1, initial=1.0)
        return Decoded(values, confidence.astype(np.float32), None)


def mean_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """Over the labels that are not -1: (M, K), (M,) -> a number; 0 where all are missing."""
    if not (labels >= 0).any():
        return logits.sum() * 0
    return F.cross_entropy(logits, labels, weights, ignore_index=-1, label_smoothing=smoothing)


def build_head(task: Task, config: HeadConfig, place: Place) -> Head:
    """The head of a task at a place."""
    return HEADS.get(config.kind)(task, config, place)


def fit_head(head: Head, config: HeadConfig, labels: np.ndarray) -> None:
    """Set what a head learns from counting the train rows' labels: class weights, or a score's mean and deviation.

    `balanced` gives class c the weight n / (K n_c), scikit-learn's rule; for multilabel, a positive counts as much as
    all negatives of its label together, at most 100 times as much as one.
    """
    if isinstance(head, RegressionHead):
        known = labels[~np.isnan(labels)]
        deviation = float(known.std()) if len(known) else 1.0
        head.mean.fill_(float(known.mean()) if len(known) else 0.0)
        head.deviation.fill_(deviation or 1.0)
    elif config.class_weights == "balanced":
        if isinstance(head, MultilabelHead):
            known = labels[~np.isnan(labels[:, 0])]
            positive = known.sum(0)
            weights = np.clip((len(known) - positive) / np.maximum(positive, 1), 1 / 100, 100)
        else:
            counts = np.bincount(labels[labels >= 0], minlength=len(head.task.label_space))
            weights = np.where(counts > 0, counts.sum() / (len(counts) * np.maximum(counts, 1)), 1.0)
        assert isinstance(head.class_weights, Tensor)
        head.class_weights.copy_(torch.from_numpy(weights))
