"""What each kind of head is measured by, and which of these figures can choose a run's best weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from chain_core.config.sections import SELF_SUPERVISED

_LABELS = ("accuracy", "macro_f1", "weighted_f1")
METRICS: dict[str, tuple[str, ...]] = {
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
JOINT = "joint/exact_match"


def list_metrics(kinds: Mapping[str, str], objectives: Collection[str]) -> list[str]:
    """`head/metric` for every figure that stages which learn tasks are judged by; none where there is no such stage.

    `kinds`: head -> kind; `objectives`: of all stages. The other stages are judged by the mean of their losses.
    """
    if "tasks" not in objectives:
        return []
    answering = {name: kind for name, kind in kinds.items() if kind not in SELF_SUPERVISED}
    judged = {name: kind for name, kind in kinds.items() if name in answering or kind == "causal_lm"}
    found = [f"{name}/{metric}" for name, kind in judged.items() for metric in (*METRICS.get(kind, ()), "loss")]
    return [*found, JOINT] if set(answering.values()) - {"regression"} else found
