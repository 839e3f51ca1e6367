"""What a chain answered beside its rows and their gold labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from chain_core.data.answers import drop_starts
from chain_core.data.rows import take_texts
from chain_core.data.schema import Task
from chain_core.data.text import Texts
from chain_core.reports.predictions import HeadInfo, Predictions, build_predictions
from chain_core.training.evaluate import Answers


def build_answer_table(
    answers: Answers,
    texts: Sequence[Texts],
    gold: Mapping[str, pa.Array],
    tasks: tuple[Task, ...],
    split: str,
    run: str,
) -> Predictions:
    """Answers beside their rows and gold labels, in the form that is saved."""
    rows = pa.array(answers.rows)
    columns: dict[str, Any] = {"row": answers.rows, **take_texts(texts, answers.rows)}
    heads = {}
    for task in tasks:
        depths = tuple(depth for name, depth in answers.values if name == task.name)
        if not depths:
            continue
        heads[task.name] = HeadInfo(task.kind, depths, task.label_space, task.data)
        columns[f"gold:{task.name}"] = drop_starts(gold[task.name].take(rows))
        for depth in depths:
            columns[f"pred:{task.name}@{depth}"] = answers.values[task.name, depth]
            if task.kind != "regression":
                columns[f"conf:{task.name}@{depth}"] = answers.confidence[task.name, depth]
    return build_predictions(columns, heads, split=split, run=run)
