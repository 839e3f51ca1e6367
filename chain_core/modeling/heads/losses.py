"""Losses over what is labelled, with class weights, label smoothing and the focal factor.

The focal factor (1 - p)^gamma of an example whose label has probability p makes sure examples count less (Lin et al.
2017, arXiv 1708.02002). It multiplies the example's loss, smoothed and weighted as it is; gamma 0 is cross-entropy.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

EDGE = 1e-6
"""Least 1 - p: below 1, gamma would give a sure example an infinite slope."""
MOST = 100.0
"""How many times a rare positive may count."""


def compute_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float, focal: float) -> Tensor:
    """The mean over the labels that are not -1: (M, K), (M,), (K,) -> a number; 0 where all are missing.

    The mean is weighted by the labels' class weights, as torch's own.
    """
    known = labels >= 0
    if not known.any():
        return logits.sum() * 0
    if not focal:
        return F.cross_entropy(logits, labels, weights, ignore_index=-1, label_smoothing=smoothing)
    logits, labels = logits[known], labels[known]
    chances = logits.log_softmax(1).gather(1, labels[:, None])[:, 0]
    losses = F.cross_entropy(logits, labels, weights, reduction="none", label_smoothing=smoothing)
    return (compute_focal_factor(chances, focal) * losses).sum() / weights[labels].sum()


def weigh_labels(labels: Tensor, weights: Tensor) -> float:
    """The sum of the class weights of the labels that are not -1, any shape."""
    return float(weights[labels[labels >= 0]].sum())


def compute_binary_cross_entropy(
    logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float, focal: float
) -> Tensor:
    """The mean over the rows of labels that are not NaN: (B, K), (B, K) of 0 and 1, (K,) -> a number."""
    known = ~labels[:, 0].isnan()
    if not known.any():
        return logits.sum() * 0
    logits, labels = logits[known], labels[known]
    targets = labels * (1 - smoothing) + 0.5 * smoothing
    losses = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights, reduction="none")
    if focal:
        chances = F.logsigmoid(torch.where(labels > 0.5, logits, -logits))
        losses = compute_focal_factor(chances, focal) * losses
    return losses.mean()


def compute_focal_factor(chances: Tensor, focal: float) -> Tensor:
    """(1 - p)^gamma from log p, any shape."""
    return (-torch.expm1(chances)).clamp(min=EDGE) ** focal


def balance_classes(labels: np.ndarray, classes: int) -> np.ndarray:
    """Label numbers, -1 where missing -> (K,) weights n / (K n_c), scikit-learn's rule; 1 where a class has no row."""
    counts = np.bincount(labels[labels >= 0], minlength=classes)
    return np.where(counts > 0, counts.sum() / (classes * np.maximum(counts, 1)), 1.0)


def balance_labels(labels: np.ndarray) -> np.ndarray:
    """(N, K) of 0, 1 or NaN -> (K,): a positive counts as much as all negatives of its label, at most MOST times."""
    known = labels[~np.isnan(labels[:, 0])]
    positive = known.sum(0)
    return np.clip((len(known) - positive) / np.maximum(positive, 1), 1 / MOST, MOST)
