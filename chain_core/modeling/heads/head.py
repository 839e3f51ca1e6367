"""What every head is: states in, logits out, with the loss and the decoding of its task; and how rows are pooled.

One file a family: `pooled`, `tagging`, `span`, `relation`, `language`; `kinds` knows them all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from chain_core.config import HeadConfig
from chain_core.data.schema import Task
from chain_core.modeling.batch import Batch
from chain_core.modeling.dropout import Dropout
from chain_core.modeling.heads.losses import balance_classes
from chain_core.modeling.links.kinds import pool_last, pool_mean
from chain_core.registry import Registry

HEADS: Registry[type[Head]] = Registry("head kind")


@dataclass(frozen=True)
class Decoded:
    """What a head says of B rows."""

    values: np.ndarray
    """Label numbers, (B,), -1 for none; rows of 0 and 1, (B, K); scores, (B,); tag numbers, (B, W); or answers' first
    characters and those after their last, (B, 2), 0 and 0 for no answer."""
    confidence: np.ndarray
    """(B,) float32 in [0, 1]; of tags, that of the least sure word."""
    probabilities: np.ndarray | None
    """(B, K) float32; None for scores, tags and answers."""


@dataclass(frozen=True)
class Place:
    """Where a head sits."""

    width: int
    """Features of the states that it reads: D, or H at depth 0."""
    positions: bool = True
    """False: T is 1, the row's pooled vector."""
    pair: bool = False
    """Whether each text of a pair is pooled by itself."""
    causal: bool = False
    """Whether a position knows only those before it: the backbone is a decoder."""
    embeddings: Tensor | None = None
    """(V, H) the backbone's input embeddings, for heads that predict tokens."""


class Head(nn.Module):
    """(B, T, D) -> logits."""

    class_weights: Tensor
    """(K,) float32, a buffer of heads that choose among labels."""
    shift: Tensor | None
    """() float32, a buffer of heads whose threshold is tuned: by how much, in logits, they answer more readily."""

    def __init__(self, task: Task, config: HeadConfig, place: Place) -> None:
        super().__init__()
        self.task = task
        self.smoothing = config.label_smoothing
        self.focal = config.focal
        self.norm = nn.LayerNorm(place.width)
        self.dropout = Dropout(config.dropout)
        self.register_buffer("shift", None)

    def compute_loss(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """The mean loss over what is labelled; 0 where nothing is."""
        raise NotImplementedError

    def count_known(self, labels: Tensor, batch: Batch) -> int:
        """Over how many rows or words `compute_loss` is a mean."""
        raise NotImplementedError

    def compute_mass(self, labels: Tensor, batch: Batch) -> float:
        """What `compute_loss` divides by: weighted by it, the losses of a batch's parts have the whole's as mean."""
        return self.count_known(labels, batch)

    def decode(self, logits: Tensor, batch: Batch) -> Decoded:
        raise NotImplementedError

    def fit(self, config: HeadConfig, labels: np.ndarray) -> None:
        """Take from the train rows' labels what is counted, not learned: class weights, a score's mean."""
        if config.class_weights == "balanced":
            self.class_weights.copy_(torch.from_numpy(balance_classes(labels, len(self.class_weights))))


class Pool(nn.Module):
    """A row's vector: the mean of its positions beside a learned weighting of them, (B, T, D) -> (B, 2D).

    Pooled inputs pass through: (B, 1, D) -> (B, D). Attention pooling as in Lin et al. 2017 (arXiv 1703.03130). Of a
    decoder, the last position stands for the mean: it alone has read all others.
    """

    def __init__(self, width: int, *, positions: bool, causal: bool = False) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1) if positions else None
        self.causal = causal
        self.size = 2 * width if positions else width

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        if self.score is None:
            return hidden[:, 0]
        scores = self.score(hidden).float()[:, :, 0].masked_fill(~mask, torch.finfo(torch.float32).min)
        # An empty segment has no position to weigh: its vector is 0.
        weights = scores.softmax(1) * mask.any(1, keepdim=True)
        weighted = torch.einsum("bt,btd->bd", weights, hidden.float())
        pool = pool_last if self.causal else pool_mean
        return torch.cat([pool(hidden.float(), mask), weighted], 1)


class PairPool(nn.Module):
    """Two texts pooled by themselves, u and v, and compared: [u; v; |u - v|; u * v], (B, T, D) -> (B, 8D).

    Conneau et al. 2017 (arXiv 1705.02364), Reimers and Gurevych 2019 (arXiv 1908.10084).
    """

    def __init__(self, width: int, *, causal: bool = False) -> None:
        super().__init__()
        self.pool = Pool(width, positions=True, causal=causal)
        self.size = 4 * self.pool.size

    def forward(self, hidden: Tensor, segments: Tensor) -> Tensor:
        u, v = self.pool(hidden, segments == 0), self.pool(hidden, segments == 1)
        return torch.cat([u, v, (u - v).abs(), u * v], 1)
