"""How far two passes of the same rows disagree: R-Drop (Liang et al. 2021, arXiv 2106.14448).

Half the sum of both Kullback-Leibler divergences between the outputs' distributions; for scores, the squared
difference. A mean over the rows, or over what else the head judges. Shapes are the heads' own.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from chain_core.modeling.batch import Batch


def compute_disagreement(kind: str, first: Tensor, second: Tensor, batch: Batch) -> Tensor | None:
    """A number from a head's logits in two passes; None for kinds that are not asked to agree (language models)."""
    compare = COMPARISONS.get(kind)
    return None if compare is None else compare(first.float(), second.float(), batch)


def count_compared(kind: str, batch: Batch) -> int:
    """Over how many rows, or words, the disagreement is a mean."""
    if kind == "tagging":
        assert batch.word_mask is not None
        return int(batch.word_mask.sum())
    return len(batch.rows)


def _compare_classes(first: Tensor, second: Tensor, batch: Batch) -> Tensor:
    """(B, K)"""
    return _diverge(first, second).mean()


def _compare_labels(first: Tensor, second: Tensor, batch: Batch) -> Tensor:
    """(B, K), each label a coin of its own; a mean over the labels, as the loss is."""
    return 0.5 * ((first.sigmoid() - second.sigmoid()) * (first - second)).mean()


def _compare_scores(first: Tensor, second: Tensor, batch: Batch) -> Tensor:
    """(B, 1)"""
    return (first - second).square().mean()


def _compare_words(first: Tensor, second: Tensor, batch: Batch) -> Tensor:
    """(B, W, K)"""
    assert batch.word_mask is not None
    kept = batch.word_mask[:, : first.shape[1]]
    return (_diverge(first, second) * kept).sum() / kept.sum().clamp(min=1)


def _compare_places(first: Tensor, second: Tensor, batch: Batch) -> Tensor:
    """(B, places, 2), the first and the last place of an answer."""
    return _diverge(first.transpose(1, 2), second.transpose(1, 2)).mean()


COMPARISONS: dict[str, Callable[[Tensor, Tensor, Batch], Tensor]] = {
    "classification": _compare_classes,
    "relation": _compare_classes,
    "next_sentence": _compare_classes,
    "multilabel": _compare_labels,
    "regression": _compare_scores,
    "tagging": _compare_words,
    "span": _compare_places,
}


def _diverge(first: Tensor, second: Tensor) -> Tensor:
    """1/2 (KL(p, q) + KL(q, p)) over the last dimension."""
    return 0.5 * ((first.softmax(-1) - second.softmax(-1)) * (first.log_softmax(-1) - second.log_softmax(-1))).sum(-1)
