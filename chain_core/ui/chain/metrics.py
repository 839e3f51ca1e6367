"""The figures of a draft that can choose its best epoch. Pure, whatever state the draft is in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chain_core.config import METRICS, list_metrics


def offer_metrics(heads: Any, stages: Any) -> list[str]:
    """`head/metric` for every figure; that of all heads together where there are several."""
    given = heads if isinstance(heads, Mapping) else {}
    kinds = {str(name): str(head.get("kind")) for name, head in given.items() if isinstance(head, Mapping)}
    kinds = {name: kind for name, kind in kinds.items() if kind in METRICS}
    found = list_metrics(kinds, _list_objectives(stages))
    return found if len(kinds) > 1 else [metric for metric in found if not metric.startswith("joint/")]


def _list_objectives(stages: Any) -> set[str]:
    if not isinstance(stages, list) or not stages:
        return {"tasks"}
    return {str(stage.get("objective", "tasks")) for stage in stages if isinstance(stage, Mapping)}
