"""From columns to tasks: what a head predicts, and whether the labels can be learnt at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chain_core.config import HeadConfig, InputConfig
from chain_core.data.answers import count_unfound, encode_answers
from chain_core.data.cells import Note, build_note, is_list, split_lists, to_lists
from chain_core.data.infer import infer_columns, suggest_config
from chain_core.data.labels import find_separator, order_labels, read_gold, read_tags
from chain_core.data.task import KINDS, ROLES, SENTENCE_LABELS, Column, Task
from chain_core.data.text import check_lengths, get_column, read_texts
from chain_core.errors import DataError

__all__ = [
    "KINDS",
    "MAX_CLASSES",
    "ROLES",
    "SENTENCE_LABELS",
    "Column",
    "Task",
    "build_tasks",
    "infer_columns",
    "suggest_config",
]

MAX_CLASSES = 10_000


def build_tasks(
    table: pa.Table,
    heads: Mapping[str, HeadConfig],
    train_rows: np.ndarray | None = None,
    columns: InputConfig | None = None,
) -> tuple[Task, ...]:
    """One task a head, its label space from `train_rows` (row numbers; None: all rows), sorted, "O" first.

    With `columns`, tags are held against the tokens they belong to, and spans against their texts; a span head needs
    them to know where to search. Raises DataError for a missing column,
    no label or one class only, more than MAX_CLASSES, cells of the wrong kind, tags that do not fit tokens.
    """
    return tuple(_build_task(table, name, head, train_rows, columns) for name, head in heads.items())


def _build_task(
    table: pa.Table, name: str, head: HeadConfig, rows: np.ndarray | None, columns: InputConfig | None
) -> Task:
    column = get_column(table, head.column)
    separator = head.separator
    if head.kind == "multilabel" and separator is None and not is_list(column.type):
        separator = find_separator(column)
    searched = (columns.pair or columns.text) if head.kind == "span" and columns is not None else None
    task = Task(
        name, head.kind, head.column, separator=separator, searched=searched, start=head.start, data=head.data or ""
    )
    notes: list[Note] = []
    if head.kind == "tagging":
        gold, repaired, converted = read_tags(column)
        if repaired:
            notes.append(build_note("tags_repaired", column=head.column, count=repaired))
        if converted:
            notes.append(build_note("tags_converted", column=head.column))
        if columns is not None and columns.tokens:
            tokens = to_lists(get_column(table, columns.tokens))
            check_lengths(tokens, to_lists(column), columns.tokens, head.column)
    else:
        gold = read_gold(table, task)
    train = gold if rows is None else gold.take(pa.array(rows))
    if train.null_count == len(train):
        raise DataError("no_labels", column=head.column)
    if head.kind == "regression":
        _check_spread(train, head.column)
        return replace(task, notes=tuple(notes))
    if head.kind == "span":
        return _complete_span(task, gold, train)
    if head.kind == "relation" and columns is not None:
        read_texts(table, columns, {name: head})
    counts = _count_labels(train)
    _check_classes(counts, head)
    if rows is not None and (unseen := set(_count_labels(gold)) - set(counts)):
        notes.append(build_note("labels_unseen", column=head.column, labels=_name_some(unseen), count=len(unseen)))
    single = [label for label, count in counts.items() if count == 1]
    if single and head.kind != "tagging":
        notes.append(build_note("classes_single", column=head.column, labels=_name_some(single), count=len(single)))
    return replace(task, label_space=order_labels(counts, head.kind), notes=tuple(notes))


def _complete_span(task: Task, gold: pa.Array, train: pa.Array) -> Task:
    """A span task that knows whether a text may hold no answer; a note counts answers that stand nowhere."""
    answers = encode_answers(train)
    if not (answers[:, 1] > 0).any():
        raise DataError("no_answer_found", column=task.column, searched=task.searched)
    notes: list[Note] = []
    if unfound := count_unfound(gold):
        notes.append(build_note("answers_not_found", column=task.column, searched=task.searched, count=unfound))
    return replace(task, optional=bool((answers == 0).all(1).any()), notes=tuple(notes))


def _count_labels(gold: pa.Array) -> dict[str, int]:
    """Label -> how many cells, or items of lists, hold it."""
    labels = split_lists(gold)[0] if is_list(gold.type) else gold
    counted = pc.value_counts(labels.drop_null())
    counts = dict(zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True))
    counts.pop("", None)
    return counts


def _check_classes(counts: Mapping[str, int], head: HeadConfig) -> None:
    if not counts:
        raise DataError("no_labels", column=head.column)
    if len(counts) == 1 and head.kind != "multilabel":
        raise DataError("one_class", column=head.column, label=next(iter(counts))[:60])
    if len(counts) > MAX_CLASSES:
        raise DataError("too_many_classes", column=head.column, count=len(counts), limit=MAX_CLASSES)


def _check_spread(scores: pa.Array, column: str) -> None:
    lowest_highest = pc.min_max(scores).as_py()
    if lowest_highest["min"] == lowest_highest["max"]:
        raise DataError("one_score", column=column, value=lowest_highest["min"])


def _name_some(labels) -> str:
    names = sorted(labels)
    return ", ".join(name[:40] for name in names[:5]) + (" …" if len(names) > 5 else "")
