"""A tag for each word, each by itself or, with a CRF, the whole row's at once."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chain_core.config import HeadConfig
from chain_core.data.schema import Task
from chain_core.modeling.batch import Batch
from chain_core.modeling.heads.bio import build_bio_rules, decode_bio
from chain_core.modeling.heads.crf import Crf
from chain_core.modeling.heads.head import HEADS, Decoded, Head, Place
from chain_core.modeling.heads.losses import compute_cross_entropy, weigh_labels


@HEADS.register("tagging")
class TaggingHead(Head):
    """A tag for each word, read at its first piece; labels (B, W) int64, -1 where missing. BIO-valid decoding."""

    def __init__(self, task: Task, config: HeadConfig, place: Place) -> None:
        super().__init__(task, config, place)
        self.out = nn.Linear(place.width, len(task.label_space))
        self.crf = Crf(len(task.label_space)) if config.crf == "on" else None
        self.rules = build_bio_rules(task.label_space)
        self.register_buffer("class_weights", torch.ones(len(task.label_space)))
        if config.threshold == "tuned" and "O" in task.label_space:
            self.shift = torch.zeros(())

    def forward(self, states: Tensor, batch: Batch) -> Tensor:
        assert batch.word_starts is not None
        index = batch.word_starts[:, :, None].expand(-1, -1, states.shape[2])
        return self.out(self.dropout(self.norm(states.gather(1, index)))).float()  # (B, W, K)

    def compute_loss(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        known = self._find_known(labels, batch)
        if self.crf is not None:
            assert batch.word_mask is not None
            return self.crf.compute_loss(logits, known, batch.word_mask)
        return compute_cross_entropy(
            logits.flatten(0, 1), known.flatten(), self.class_weights, self.smoothing, self.focal
        )

    def count_known(self, labels: Tensor, batch: Batch) -> int:
        return int((self._find_known(labels, batch) >= 0).sum())

    def compute_mass(self, labels: Tensor, batch: Batch) -> float:
        if self.crf is not None:
            return self.count_known(labels, batch)
        return weigh_labels(self._find_known(labels, batch), self.class_weights)

    def _find_known(self, labels: Tensor, batch: Batch) -> Tensor:
        """The labels as wide as the words, (B, W), -1 where a word was cut off as well.

        A row whose tags are all missing has no labels at all: its labels may be narrower than its words.
        """
        assert batch.word_mask is not None
        words = batch.word_mask.shape[1]
        wide = F.pad(labels[:, :words], (0, max(words - labels.shape[1], 0)), value=-1)
        return wide.masked_fill(~batch.word_mask, -1)

    def decode(self, logits: Tensor, batch: Batch) -> Decoded:
        assert batch.word_mask is not None
        if self.shift is not None:
            logits = logits.clone()
            logits[:, :, self.rules.outside] -= self.shift
        if self.crf is not None:
            tags, sure = self.crf.decode(logits, batch.word_mask, self.rules)
            return Decoded(tags.cpu().numpy(), sure.amin(1).float().cpu().numpy(), None)
        scores = logits.log_softmax(2).cpu().numpy()
        mask = batch.word_mask.cpu().numpy()
        values = decode_bio(scores, mask, self.rules)
        chosen = np.exp(np.take_along_axis(scores, values[:, :, None], 2)[:, :, 0])
        confidence = np.where(mask, chosen, 1.0).min(1, initial=1.0)
        return Decoded(values, confidence.astype(np.float32), None)
