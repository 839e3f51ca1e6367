"""A head's figures as tables: per class, per depth, and what is taken for what.

Frames hold plain numbers and labels as they are; names, colours and rounding are the screen's or the export's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from chain_core.reports.answers import is_answer, score_answer
from chain_core.reports.entities import count_entities, score_average, score_classes
from chain_core.reports.metrics import align_tags, build_indicators, compute_metrics, get_labels, is_missing
from chain_core.reports.predictions import Predictions

REPORT_COLUMNS = ("part", "label", "precision", "recall", "f1", "support")
LIMIT = 30
"""Classes that one picture shows at most."""


@dataclass(frozen=True)
class Confusion:
    """`counts[i, j]`: how often `labels[i]` was taken for `labels[j]`. `total`: of all classes."""

    labels: tuple[str, ...]
    counts: np.ndarray
    total: int

    @property
    def shares(self) -> np.ndarray:
        """Each row of `counts` divided by its sum: where the gold class went; 0 for a class without gold."""
        sums = self.counts.sum(1, keepdims=True)
        return np.divide(self.counts, sums, out=np.zeros(self.counts.shape), where=sums > 0)


def get_pairs(predictions: Predictions, head: str, depth: int, *, tokens: bool = False) -> tuple[list[Any], list[Any]]:
    """Gold and predicted of the rows that have gold; tags aligned, and with `tokens` one word each."""
    pairs = zip(predictions.get_gold(head), predictions.get_predicted(head, depth), strict=True)
    kept = [(gold, predicted) for gold, predicted in pairs if not is_missing(gold)]
    if predictions.heads[head].kind == "tagging":
        kept = [(align_tags(gold, gold), align_tags(gold, predicted)) for gold, predicted in kept]
        if tokens:
            kept = [pair for gold, predicted in kept for pair in zip(gold, predicted, strict=True)]
    return [gold for gold, _ in kept], [predicted for _, predicted in kept]


def compute_class_report(predictions: Predictions, head: str, depth: int, *, tokens: bool = False) -> pd.DataFrame:
    """scikit-learn's classification report (seqeval's for tags, unless `tokens`) with REPORT_COLUMNS.

    `part` is "class" for a label's row, and "accuracy", "micro", "macro", "weighted" or "samples" for the
    rows below, which have no label; accuracy stands under `f1`, as in scikit-learn's own. Empty where nothing
    can be counted: no gold, scores, or answers.
    """
    kind = predictions.heads[head].kind
    gold, predicted = get_pairs(predictions, head, depth, tokens=tokens)
    if not gold or kind in ("regression", "span"):
        return pd.DataFrame(columns=list(REPORT_COLUMNS))
    if kind == "multilabel":
        return _report_multilabel(gold, predicted)
    if kind == "tagging" and not tokens:
        return _report_entities(gold, predicted)
    return _report_labels(gold, predicted)


def compute_confusion(predictions: Predictions, head: str, depth: int, limit: int = LIMIT) -> Confusion | None:
    """For one label a row, or one tag a word; None for the other kinds.

    Of more than `limit` classes, those that take part in the most mistakes, then those with the most rows.
    """
    kind = predictions.heads[head].kind
    gold, predicted = get_pairs(predictions, head, depth, tokens=True)
    if kind not in ("classification", "relation", "tagging") or not gold:
        return None
    labels = sorted({*gold, *predicted})
    if len(labels) > limit:
        weight: Counter[str] = Counter()
        for truth, guess in zip(gold, predicted, strict=True):
            weight.update((truth, guess) if truth != guess else ())
        support = Counter(gold)
        chosen = sorted(labels, key=lambda label: (-weight[label], -support[label], label))[:limit]
        shown = sorted(chosen)
    else:
        shown = labels
    place = {label: i for i, label in enumerate(shown)}
    counts = np.zeros((len(shown), len(shown)), np.int64)
    for (truth, guess), count in Counter(zip(gold, predicted, strict=True)).items():
        if truth in place and guess in place:
            counts[place[truth], place[guess]] = count
    return Confusion(tuple(shown), counts, len(labels))


def compute_mistakes(predictions: Predictions, head: str, depth: int, limit: int = 10) -> pd.DataFrame:
    """The most frequent mistakes: gold, predicted, count."""
    gold, predicted = get_pairs(predictions, head, depth, tokens=True)
    counts = Counter(pair for pair in zip(gold, predicted, strict=True) if pair[0] != pair[1])
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]
    return pd.DataFrame([(*pair, count) for pair, count in ordered], columns=["gold", "predicted", "count"])


def compute_label_counts(predictions: Predictions, head: str, depth: int) -> pd.DataFrame:
    """Of a multilabel head, for each label: found, missed, wrongly given; frequent labels first."""
    gold, predicted = get_pairs(predictions, head, depth)
    truth = Counter(label for cell in gold for label in set(cell))
    guess = Counter(label for cell in predicted for label in set(cell))
    both = Counter(
        label for g, p in zip(gold, predicted, strict=True) for label in set(g) & set(p)
    )  # fmt: skip
    labels = sorted(get_labels([*gold, *predicted]), key=lambda label: (-truth[label], label))
    rows = [(label, both[label], truth[label] - both[label], guess[label] - both[label]) for label in labels]
    return pd.DataFrame(rows, columns=["label", "found", "missed", "extra"])


def compute_depth_frame(predictions: Predictions, head: str) -> pd.DataFrame:
    """A row a depth, a column a metric, `depth` first."""
    info = predictions.heads[head]
    gold = predictions.get_gold(head)
    rows = [
        {"depth": depth, **compute_metrics(info.kind, gold, predictions.get_predicted(head, depth))}
        for depth in info.depths
    ]
    return pd.DataFrame(rows)


def compute_class_depths(predictions: Predictions, head: str, *, tokens: bool = False) -> pd.DataFrame:
    """Each class's F1 at each depth: `label`, `support`, then a column a depth (its number as text).

    The classes with the most gold first. A class that neither stands in gold nor is predicted at a depth: 0.
    """
    frames = {
        depth: compute_class_report(predictions, head, depth, tokens=tokens) for depth in predictions.heads[head].depths
    }
    classes = {depth: frame[frame["part"] == "class"].set_index("label") for depth, frame in frames.items()}
    support = {label: int(n) for frame in classes.values() for label, n in frame["support"].items()}
    labels = sorted(support, key=lambda label: (-support[label], label))
    columns: dict[str, Any] = {"label": labels, "support": [support[label] for label in labels]}
    for depth, frame in classes.items():
        columns[str(depth)] = frame["f1"].astype(float).reindex(labels).fillna(0.0).to_numpy()
    return pd.DataFrame(columns)


def compute_residuals(predictions: Predictions, head: str, depth: int) -> pd.DataFrame:
    """Of a regression head, for rows with gold: row, text, gold, predicted, residual = predicted - gold."""
    gold = np.array([np.nan if is_missing(cell) else cell for cell in predictions.get_gold(head)], float)
    predicted = np.array(predictions.get_predicted(head, depth), float)
    frame = pd.DataFrame({"text": predictions.table.column("text").to_pylist(), "gold": gold, "predicted": predicted})
    frame["residual"] = frame["predicted"] - frame["gold"]
    return frame[frame["gold"].notna()].rename_axis("row").reset_index()


def compute_answer_misses(predictions: Predictions, head: str, depth: int, limit: int = 10) -> pd.DataFrame:
    """Of a span head, wrong answers, the furthest off first: text, gold (a list), predicted, token_f1."""
    gold, predicted = predictions.get_gold(head), predictions.get_predicted(head, depth)
    texts = predictions.table.column("text").to_pylist()
    rows = [
        (text, right, said, score_answer(right, said))
        for text, right, said in zip(texts, gold, predicted, strict=True)
        if right is not None and not is_answer(right, said)
    ]
    rows.sort(key=lambda row: row[3])
    return pd.DataFrame(rows[:limit], columns=["text", "gold", "predicted", "token_f1"])


def _report_labels(gold: list[str], predicted: list[str]) -> pd.DataFrame:
    from sklearn.metrics import precision_recall_fscore_support as score

    labels = sorted({*gold, *predicted})
    number = {label: i for i, label in enumerate(labels)}
    truth = np.array([number[label] for label in gold])
    guess = np.array([number[label] for label in predicted])
    accuracy = float((truth == guess).mean())
    rows = _zip_classes(labels, score(truth, guess, average=None, zero_division=0))
    rows.append(("accuracy", "", np.nan, np.nan, accuracy, len(gold)))
    for average in ("macro", "weighted"):
        p, r, f, _ = score(truth, guess, average=average, zero_division=0)
        rows.append((average, "", p, r, f, len(gold)))
    return pd.DataFrame(rows, columns=list(REPORT_COLUMNS))


def _report_multilabel(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> pd.DataFrame:
    from sklearn.metrics import precision_recall_fscore_support as score

    labels, truth, guess = build_indicators(gold, predicted)
    if not labels:
        return pd.DataFrame(columns=list(REPORT_COLUMNS))
    columns = range(len(labels))
    rows = _zip_classes(labels, score(truth, guess, labels=columns, average=None, zero_division=0))
    total = int(truth.sum())
    for average in ("micro", "macro", "weighted", "samples"):
        p, r, f, _ = score(truth, guess, labels=columns, average=average, zero_division=0)
        rows.append((average, "", p, r, f, total))
    return pd.DataFrame(rows, columns=list(REPORT_COLUMNS))


def _report_entities(gold: list[list[str]], predicted: list[list[str]]) -> pd.DataFrame:
    counts = count_entities(gold, predicted)
    if not counts.labels:
        return pd.DataFrame(columns=list(REPORT_COLUMNS))
    rows = _zip_classes(counts.labels, (*score_classes(counts), counts.gold))
    total = int(counts.gold.sum())
    rows += [(average, "", *score_average(counts, average), total) for average in ("micro", "macro", "weighted")]
    return pd.DataFrame(rows, columns=list(REPORT_COLUMNS))


def _zip_classes(labels: Sequence[str], scores: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return [
        ("class", label, float(p), float(r), float(f), int(n))
        for label, p, r, f, n in zip(labels, *scores, strict=True)
    ]
