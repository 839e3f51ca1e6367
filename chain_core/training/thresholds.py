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
import torch

from chain_core.data.cells import Note, build_note
from chain_core.data.schema import Task
from chain_core.modeling.heads.head import Head
from chain_core.modeling.model import ChainModel
from chain_core.modeling.team import SOLO, Team
from chain_core.training.evaluate import Answers, Key, compute_logits, compute_scores, keep_decoded
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
    said = _answer(model, feed, rows, heads, device, dtype, check)
    chosen = team.lead(partial(_choose, list(heads), said, tasks, feed))
    for head, (shift, _) in zip(heads.values(), chosen, strict=True):
        _get_shift(head).fill_(shift)
    return [note for _, note in chosen if note is not None]


def _get_shift(head: Head) -> torch.Tensor:
    assert head.shift is not None
    return head.shift


def _answer(
    model: ChainModel, feed: Feed, rows: np.ndarray, heads: Mapping[Key, Head], device, dtype, check
) -> dict[float, Answers]:
    """Shift -> what the heads say of the rows. Every process computes it all: shared layers need all to pass."""
    model.eval()
    place = {int(row): index for index, row in enumerate(rows)}
    gold: dict[str, list[Any]] = {}
    said = {shift: Answers(rows, gold=gold) for shift in SHIFTS}
    for answers in said.values():
        for key in heads:
            answers.expect(key)
    with torch.inference_mode(not model.sharded), torch.no_grad():
        for _, part, batch, logits in compute_logits(model, feed, rows, device, dtype, False, check, SOLO):
            places = np.array([place[int(row)] for row in part])
            for key, head in heads.items():
                for shift, answers in said.items():
                    _get_shift(head).fill_(shift)
                    keep_decoded(answers, key, places, head.decode(logits[key], batch), head.task, feed, part)
    return said


def _choose(
    keys: Sequence[Key], said: Mapping[float, Answers], tasks: Sequence[Task], feed: Feed
) -> list[tuple[float, Note | None]]:
    """For each head the best shift, and what is to be said of it."""
    scores = {shift: compute_scores(answers, tasks, feed.gold) for shift, answers in said.items()}
    return [_choose_one(key, {shift: heads[key] for shift, heads in scores.items()}) for key in keys]


def _choose_one(key: Key, figures: Mapping[float, Mapping[str, float]]) -> tuple[float, Note | None]:
    """0, and nothing to say, where no row has a label."""
    if not figures[0.0]:
        return 0.0, None
    metric = next(iter(figures[0.0]))
    best = max(figures, key=lambda shift: figures[shift][metric])
    if not best:
        return best, build_note("threshold_kept", head=key[0], depth=key[1])
    told = {"before": round(figures[0.0][metric], 4), "after": round(figures[best][metric], 4)}
    return best, build_note("threshold_tuned", head=key[0], depth=key[1], shift=best, **told)
