"""Thresholds chosen after training: how readily a head answers an entity or a label, for the best validation figure.

A tagger that learns rare entities by cross-entropy is right about those that it names and silent about many others;
the best F1 lies elsewhere. One number a head: for tags what is taken off O's logits (Minkov et al. 2006, "NER systems
that suit user's preferences"), for labels what is added to all (Lipton et al. 2014, arXiv 1402.1892).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from chain_core.data.answers import drop_starts
from chain_core.data.cells import Note, build_note
from chain_core.data.schema import Task
from chain_core.modeling.heads.head import Head
from chain_core.modeling.model import ChainModel
from chain_core.modeling.team import SOLO, Team
from chain_core.reports.metrics import compute_metrics
from chain_core.training.evaluate import Key, compute_logits, name_values
from chain_core.training.feed import Feed

SHIFTS = (0.0, *(sign * amount / 4 for amount in range(1, 13) for sign in (1, -1)))
"""In logits, nearest to 0 first: of those that do equally well the first is taken."""
MOST_ROWS = 10_000
"""Of the validation rows, evenly spread: more would say the same."""


def tune_thresholds(
    model: ChainModel,
    feed: Feed,
    tasks: Sequence[Task],
    device: torch.device,
    dtype: torch.dtype,
    check: Callable[[], None],
    team: Team,
) -> list[Note]:
    """Set the shift of every head that has one, where the validation rows know its labels; a note for each.

    A head that several depths share is judged at the deepest. `check` is called before every batch and may raise.
    """
    answering = [key for key in model.chain.active_keys if key[0] in model.chain.answering_heads]
    deepest = {id(head): (key, head) for key in answering if (head := model.chain.get_head(*key)).shift is not None}
    heads = dict(deepest.values())
    rows = feed.splits["validation"]
    if not heads or not len(rows):
        return []
    rows = rows[:: -(-len(rows) // MOST_ROWS)]
    said = _answer(model, feed, rows, heads, tasks, device, dtype, check)
    notes = []
    for key, head in heads.items():
        task = next(task for task in tasks if task.name == key[0])
        shift, note = team.lead(partial(_choose, key, task, said[key], rows, feed))
        _get_shift(head).fill_(shift)
        notes += [note] if note is not None else []
    return notes


def _get_shift(head: Head) -> torch.Tensor:
    assert head.shift is not None
    return head.shift


def _answer(
    model: ChainModel,
    feed: Feed,
    rows: np.ndarray,
    heads: Mapping[Key, Head],
    tasks: Sequence[Task],
    device,
    dtype,
    check,
) -> dict[Key, dict[float, list[Any]]]:
    """Head -> shift -> its answers to the rows. Every process computes them all: shared layers need all to pass."""
    model.eval()
    kinds = {task.name: task for task in tasks}
    place = {int(row): index for index, row in enumerate(rows)}
    words = np.diff(feed.encoded.word_offsets)
    said: dict[Key, dict[float, list[Any]]] = {key: {shift: [None] * len(rows) for shift in SHIFTS} for key in heads}
    with torch.inference_mode(not model.sharded), torch.no_grad():
        for _, part, batch, logits in compute_logits(model, feed, rows, device, dtype, False, check, SOLO):
            for key, head in heads.items():
                for shift, answers in said[key].items():
                    _get_shift(head).fill_(shift)
                    values = head.decode(logits[key], batch).values
                    for row, value in zip(part, name_values(kinds[key[0]], values, words[part]), strict=True):
                        answers[place[int(row)]] = value
    return said


def _choose(
    key: Key, task: Task, said: Mapping[float, list[Any]], rows: np.ndarray, feed: Feed
) -> tuple[float, Note | None]:
    """The best shift, and what is to be said of it; 0 where no row has a label."""
    gold = drop_starts(feed.gold[key[0]].take(pa.array(rows))).to_pylist()
    figures = {shift: compute_metrics(task.kind, gold, answers) for shift, answers in said.items()}
    if not figures[0.0]:
        return 0.0, None
    metric = next(iter(figures[0.0]))
    best = max(figures, key=lambda shift: figures[shift][metric])
    if not best:
        return best, build_note("threshold_kept", head=key[0], depth=key[1])
    told = {"before": round(figures[0.0][metric], 4), "after": round(figures[best][metric], 4)}
    return best, build_note("threshold_tuned", head=key[0], depth=key[1], shift=best, **told)
