"""Numbers of one head, and of all heads together, from gold and predicted cells.

Every figure is as scikit-learn defines it, of entities as seqeval does in its default mode, of answers as SQuAD. What
they leave undefined (a class that is never predicted, a correlation of a constant) counts 0: every figure is finite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from chain_core.reports.answers import is_answer, score_answer
from chain_core.reports.entities import count_entities, score_average
from chain_core.reports.predictions import Predictions

LOWER_IS_BETTER = frozenset({"mae", "rmse", "loss", "perplexity"})
Metrics = dict[str, float]


def compute_metrics(kind: str, gold: Sequence[Any], predicted: Sequence[Any]) -> Metrics:
    """The figures of one head at one depth; the first is its main one.

    Rows whose gold is None (or NaN) are skipped; where no row is left, no figure is known: {}.
    """
    kept = [(g, p) for g, p in zip(gold, predicted, strict=True) if not is_missing(g)]
    if not kept:
        return {}
    return _COMPUTE[kind]([g for g, _ in kept], [p for _, p in kept])


def compute_report(predictions: Mapping[str, Predictions]) -> dict[str, Any]:
    """Split -> predictions in; each head at its deepest depth, all heads jointly, and every depth out.

    {"test": {head: {...}, "joint": {"exact_match": …}}, …, "depths": {"test": {"1": {head: {...}}}, …}}
    """
    report: dict[str, Any] = {}
    depths: dict[str, dict[str, dict[str, Metrics]]] = {}
    for split, part in predictions.items():
        by_depth: dict[str, dict[str, Metrics]] = {}
        for depth in sorted({depth for _, depth in part.keys}):
            by_depth[str(depth)] = {
                head: compute_metrics(info.kind, part.get_gold(head), part.get_predicted(head, depth))
                for head, info in part.heads.items()
                if depth in info.depths
            }
        report[split] = {head: by_depth[str(info.depths[-1])][head] for head, info in part.heads.items()}
        report[split]["joint"] = compute_joint(part)
        depths[split] = by_depth
    return {**report, "depths": depths}


def compute_joint(predictions: Predictions) -> Metrics:
    """The share of rows on which every head is right at its deepest depth, of those with gold for all heads.

    Where heads learn from several data sets, a row counts once it has gold for all heads of one set, and those are
    asked. A number is never exactly right, so regression heads do not take part. No such row or head: {}.
    """
    heads = {head: info for head, info in predictions.heads.items() if info.kind != "regression"}
    if not heads or not predictions.rows:
        return {}
    cells = {
        head: (info.kind, predictions.get_gold(head), predictions.get_predicted(head, info.depths[-1]))
        for head, info in heads.items()
    }
    share = compute_joint_share(cells, {head: info.data for head, info in heads.items()})
    return {} if share is None else {"exact_match": share}


def compute_joint_share(
    cells: Mapping[str, tuple[str, Sequence[Any], Sequence[Any]]], sets: Mapping[str, str]
) -> float | None:
    """Head -> (kind, gold, predicted) and head -> data set; None where no row has gold for all heads of a set."""
    right_rows, counted_rows = 0, 0
    for name in dict.fromkeys(sets[head] for head in cells):
        own = [parts for head, parts in cells.items() if sets[head] == name]
        labelled = np.all([[not is_missing(cell) for cell in gold] for _, gold, _ in own], axis=0)
        right = np.all([compute_right(*parts) for parts in own], axis=0)
        right_rows += int((right & labelled).sum())
        counted_rows += int(labelled.sum())
    return right_rows / counted_rows if counted_rows else None


def compute_right(kind: str, gold: Sequence[Any], predicted: Sequence[Any]) -> np.ndarray:
    """(N,) whether each row is exactly right; False where its gold is missing. Not for regression."""
    same = _SAME[kind]
    pairs = zip(gold, predicted, strict=True)
    return np.fromiter((not is_missing(g) and same(g, p) for g, p in pairs), bool, len(gold))


def align_tags(gold: Sequence[Any], predicted: Sequence[Any]) -> list[str]:
    """Predicted tags for each word of gold: words beyond what the backbone read have none, which is O."""
    if len(predicted) == len(gold) and all(predicted):
        return list(predicted)
    tags = [tag or "O" for tag in predicted[: len(gold)]]
    return tags + ["O"] * (len(gold) - len(tags))


def is_missing(cell: Any) -> bool:
    """Whether a gold cell holds nothing."""
    return cell is None or (isinstance(cell, float) and cell != cell)


def _classification(gold: list[str], predicted: list[str]) -> Metrics:
    accuracy, _, macro, weighted = _score_labels(gold, predicted)
    return {"accuracy": accuracy, "macro_f1": macro, "weighted_f1": weighted}


def _multilabel(gold: list[list[str]], predicted: list[list[str]]) -> Metrics:
    from sklearn.metrics import f1_score

    labels, truth, guess = build_indicators(gold, predicted)
    exact = float(compute_right("multilabel", gold, predicted).mean())
    if not labels:
        return {"micro_f1": 0.0, "macro_f1": 0.0, "exact_match": exact}
    columns = range(len(labels))
    micro, macro = (f1_score(truth, guess, labels=columns, average=a, zero_division=0) for a in ("micro", "macro"))
    return {"micro_f1": float(micro), "macro_f1": float(macro), "exact_match": exact}


def _regression(gold: list[float], predicted: list[float]) -> Metrics:
    truth = np.asarray(gold, np.float64)
    # A run that diverged predicts NaN or infinity: count it as absurdly far off rather than fail.
    guess = np.clip(np.nan_to_num(np.asarray(predicted, np.float64), nan=1e30), -1e30, 1e30)
    error = guess - truth
    spread = float(((truth - truth.mean()) ** 2).sum())
    squared = float((error**2).sum())
    r2 = 1 - squared / spread if spread > 0 else float(squared == 0 and len(gold) > 1)
    return {
        "r2": r2,
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "spearman": _correlate_ranks(truth, guess),
    }


def _tagging(gold: list[list[str]], predicted: list[list[str]]) -> Metrics:
    truth = [align_tags(tags, tags) for tags in gold]
    guess = [align_tags(tags, other) for tags, other in zip(gold, predicted, strict=True)]
    flat_truth = [tag for tags in truth for tag in tags]
    if not flat_truth:
        return {}
    precision, recall, f1 = score_average(count_entities(truth, guess), "micro")
    accuracy, micro, macro, _ = _score_labels(flat_truth, [tag for tags in guess for tag in tags])
    return {
        "entity_f1": f1,
        "entity_precision": precision,
        "entity_recall": recall,
        "token_accuracy": accuracy,
        "token_micro_f1": micro,
        "token_macro_f1": macro,
    }


def build_indicators(gold: Sequence[Iterable[str]], predicted: Sequence[Iterable[str]]) -> tuple[list[str], Any, Any]:
    """The sorted labels that stand in either, and two sparse (N, K + 1) matrices of 0 and 1 over them.

    The last column is empty and is not to be counted (`labels=range(K)`): scikit-learn takes a single column
    for two classes.
    """
    from scipy.sparse import csr_matrix
    from sklearn.preprocessing import MultiLabelBinarizer

    labels = get_labels([*gold, *predicted])
    binarizer = MultiLabelBinarizer(classes=labels, sparse_output=True).fit([])
    truth, guess = (
        csr_matrix((part.data, part.indices, part.indptr), shape=(part.shape[0], len(labels) + 1))
        for part in (binarizer.transform(gold), binarizer.transform(predicted))
    )
    return labels, truth, guess


def get_labels(cells: Iterable[Iterable[str]]) -> list[str]:
    """All labels of cells that are lists, sorted, each once."""
    return sorted({label for cell in cells for label in cell})


def _score_labels(gold: list[str], predicted: list[str]) -> tuple[float, float, float, float]:
    """accuracy, micro, macro and weighted F1 over the labels that stand in gold or predicted.

    As scikit-learn's, to load which takes longer than a small run's epoch.
    """
    number = {label: i for i, label in enumerate(sorted({*gold, *predicted}))}
    truth = np.fromiter((number[label] for label in gold), np.int64, len(gold))
    guess = np.fromiter((number[label] for label in predicted), np.int64, len(gold))
    right = truth[truth == guess]
    hits, support, said = (np.bincount(part, minlength=len(number)) for part in (right, truth, guess))
    f1 = 2 * hits / (support + said)
    accuracy = len(right) / len(truth)
    # With every label counted, micro-averaged precision, recall and F1 are the accuracy.
    return accuracy, accuracy, float(np.mean(f1)), float(np.average(f1, weights=support))


def _correlate_ranks(a: np.ndarray, b: np.ndarray) -> float:
    import pandas as pd

    ranks = np.stack([pd.Series(a).rank().to_numpy(), pd.Series(b).rank().to_numpy()])
    if len(a) < 2 or (ranks.std(axis=1) == 0).any():
        return 0.0
    return float(np.corrcoef(ranks)[0, 1])


def _span(gold: list[list[str]], predicted: list[str]) -> Metrics:
    return {
        "token_f1": float(np.mean([score_answer(g, p) for g, p in zip(gold, predicted, strict=True)])),
        "exact_match": float(compute_right("span", gold, predicted).mean()),
    }


_COMPUTE: Mapping[str, Callable[[list[Any], list[Any]], Metrics]] = {
    "classification": _classification,
    "multilabel": _multilabel,
    "regression": _regression,
    "tagging": _tagging,
    "span": _span,
    "relation": _classification,
}
_SAME: Mapping[str, Callable[[Any, Any], bool]] = {
    "classification": lambda gold, predicted: gold == predicted,
    "multilabel": lambda gold, predicted: set(gold) == set(predicted),
    "tagging": lambda gold, predicted: list(gold) == align_tags(gold, predicted),
    "span": is_answer,
    "relation": lambda gold, predicted: gold == predicted,
}
