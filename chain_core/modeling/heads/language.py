"""Heads that learn the texts themselves, without a label: hidden tokens, next tokens, next sentences.

Tokens are predicted through the backbone's own input embeddings E, (V, H):

    logits = LayerNorm(Linear(z)) E^T + bias

so a head adds a map to H features and a bias a token. What it calls its logits are the (M, H) factors before the
product with E, at the M positions that have a label: no (B, T, V) ever exists.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from chain_core.config import HeadConfig
from chain_core.data.schema import Task
from chain_core.modeling.batch import Batch
from chain_core.modeling.heads.head import HEADS, Head, Place
from chain_core.modeling.heads.pooled import ClassificationHead

POSITIONS_AT_ONCE = 1024
"""Whose logits over the vocabulary are held at a time."""


class TokenHead(Head):
    """A token for each labelled position; labels (B, T) integers, -1 where there is nothing to predict."""

    table: Tensor

    def __init__(self, task: Task, config: HeadConfig, place: Place) -> None:
        super().__init__(task, config, place)
        assert place.embeddings is not None
        vocabulary, size = place.embeddings.shape
        self.into = nn.Linear(place.width, size)
        self.norm_out = nn.LayerNorm(size)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self._tied: list[nn.Parameter] = []
        """The backbone's own parameter, where the model has it: in a list, so that it is not counted or saved twice."""
        if isinstance(place.embeddings, nn.Parameter):
            self._tied.append(place.embeddings)
        else:
            self.register_buffer("table", place.embeddings, persistent=False)

    @property
    def embeddings(self) -> Tensor:
        """(V, H)"""
        return self._tied[0] if self._tied else self.table

    def forward(self, states: Tensor, batch: Batch) -> Tensor:
        known = batch.labels[self.task.name] >= 0
        return self.norm_out(self.into(self.dropout(self.norm(states[known]))))  # (M, H)

    def compute_loss(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        targets = labels[labels >= 0].long()
        if not len(targets):
            return logits.sum() * 0
        several = len(targets) > POSITIONS_AT_ONCE and torch.is_grad_enabled()
        losses = [
            # Computed again on the way back, rather than kept: V numbers a position.
            checkpoint(self._sum_losses, *part, use_reentrant=False) if several else self._sum_losses(*part)
            for part in zip(logits.split(POSITIONS_AT_ONCE), targets.split(POSITIONS_AT_ONCE), strict=True)
        ]
        return torch.stack(losses).sum() / len(targets)

    def _sum_losses(self, factors: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(self.score(factors), targets, reduction="sum", label_smoothing=self.smoothing)

    def score(self, factors: Tensor) -> Tensor:
        """(M, H) -> logits over the vocabulary, (M, V) float32."""
        return (factors @ self.embeddings.to(factors.dtype).T).float() + self.bias

    def count_known(self, labels: Tensor, batch: Batch) -> int:
        return int((labels >= 0).sum())

    def count_right(self, logits: Tensor, labels: Tensor) -> int:
        """How many tokens are guessed right."""
        targets = labels[labels >= 0]
        parts = zip(logits.split(POSITIONS_AT_ONCE), targets.split(POSITIONS_AT_ONCE), strict=True)
        return sum(int((self.score(factors).argmax(1) == wanted).sum()) for factors, wanted in parts)


@HEADS.register("masked_lm")
class MaskedHead(TokenHead):
    """The token behind each mask (Devlin et al. 2019, arXiv 1810.04805)."""


@HEADS.register("causal_lm")
class CausalHead(TokenHead):
    """The token after each position, of a backbone that looks back only (Radford et al. 2018)."""


@HEADS.register("next_sentence")
class NextSentenceHead(ClassificationHead):
    """Whether the second text follows the first (Devlin et al. 2019); labels (B,) of 0 and 1."""

    def count_right(self, logits: Tensor, labels: Tensor) -> int:
        """How many pairs are judged right."""
        return int((logits.argmax(1) == labels).sum())
