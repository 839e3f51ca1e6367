"""What each kind of head is measured by. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LABELS = ("accuracy", "macro_f1", "weighted_f1")
METRICS = {
    "classification": _LABELS,
    "multilabel": ("micro_f1", "macro_f1", "exact_match"),
    "regression": ("r2", "mae", "rmse", "spearman"),
    "tagging": ("entity_f1", "entity_precision", "entity_recall", "token_accuracy", "token_micro_f1", "token_macro_f1"),
    "span": ("token_f1", "exact_match"),
    "relation": _LABELS,
    "masked_lm": ("perplexity", "accuracy"),
    "causal_lm": ("perplexity", "accuracy"),
    "next_sentence": ("accuracy",),
}
"""Head kind -> what its report measures, the main figure first."""


def list_metrics(heads: Any) -> list[str]:
    """`head/metric` for every figure that can choose the best epoch."""
    found: list[str] = []
    for name, head in heads.items() if isinstance(heads, Mapping) else ():
        if isinstance(head, Mapping):
            found += [f"{name}/{metric}" for metric in METRICS.get(str(head.get("kind")), ())]
    return [*found, "joint/exact_match"] if isinstance(heads, Mapping) and len(heads) > 1 else found
