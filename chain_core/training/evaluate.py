"""What a model says of rows: decoded predictions of every head at every depth, and their losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from chain_core.data.answers import drop_starts
from chain_core.data.schema import Task
from chain_core.modeling.batch import Batch
from chain_core.modeling.device import autocast
from chain_core.modeling.halving import Halving
from chain_core.modeling.heads.head import Decoded
from chain_core.modeling.model import ChainModel
from chain_core.modeling.team import SOLO, Team
from chain_core.reports.metrics import LOWER_IS_BETTER, compute_joint_share, compute_metrics
from chain_core.training.feed import Feed

Key = tuple[str, int]
"""(head, depth)"""
MAX_EXPONENT = 80.0
"""Of a perplexity, so that it stays a number that JSON knows."""


@dataclass
class Answers:
    """Predictions for M rows, in the order asked for."""

    rows: np.ndarray
    values: dict[Key, list[Any]] = field(default_factory=dict)
    """A label, a list of labels, a number, a list of tags or an answer a row; None where a relation has no spans."""
    confidence: dict[Key, np.ndarray] = field(default_factory=dict)
    probabilities: dict[Key, np.ndarray] = field(default_factory=dict)
    """(M, K) float32, where asked for; not of scores, tags and answers."""
    losses: dict[Key, float] = field(default_factory=dict)
    guessed: dict[Key, float] = field(default_factory=dict)
    """The share of right guesses of the heads that learn the texts themselves; they predict nothing else."""
    gold: dict[str, list[Any]] = field(default_factory=dict)
    """Head -> its gold labels of these rows, as far as they were asked for."""

    def expect(self, key: Key) -> None:
        """Make room for a head's predictions, so far none."""
        self.values[key] = [None] * len(self.rows)
        self.confidence[key] = np.ones(len(self.rows), np.float32)

    def list_gold(self, head: str, gold: Mapping[str, pa.Array]) -> list[Any]:
        """A head's gold labels of these rows, as reports hold them; listed once."""
        if head not in self.gold:
            self.gold[head] = drop_starts(gold[head].take(pa.array(self.rows))).to_pylist()
        return self.gold[head]


def compute_answers(
    model: ChainModel,
    feed: Feed,
    rows: np.ndarray,
    device: torch.device,
    dtype: torch.dtype,
    *,
    labelled: bool = True,
    probabilities: bool = False,
    check: Callable[[], None] = lambda: None,
    team: Team = SOLO,
) -> Answers:
    """Predictions for the rows, and, with `labelled`, each head's mean loss over the rows that have its label.

    `check` is called before every batch and may raise. `team`: its processes share the batches, and the main one alone
    gets all answers.
    """
    model.eval()
    place = {int(row): index for index, row in enumerate(rows)}
    tasks = model.chain.get_tasks()
    answers = Answers(rows)
    tallies: list[Tally] = []
    given = np.zeros(len(rows), bool)
    for key in model.chain.active_keys:
        if key[0] not in model.chain.answering_heads:
            continue
        answers.expect(key)
        if probabilities and tasks[key[0]].kind in ("classification", "multilabel", "relation"):
            answers.probabilities[key] = np.zeros((len(rows), len(tasks[key[0]].label_space)), np.float32)
    # What a sharded layer is first put together from in inference mode could not be trained with afterwards.
    with torch.inference_mode(not model.sharded), torch.no_grad():
        for number, part, batch, logits in compute_logits(model, feed, rows, device, dtype, labelled, check, team):
            places = np.array([place[int(row)] for row in part])
            given[places] = True
            for key, values in logits.items():
                head = model.chain.get_head(*key)
                if key in answers.values:
                    keep_decoded(answers, key, places, head.decode(values, batch), tasks[key[0]], feed, part)
                if labelled:
                    labels = batch.labels[key[0]]
                    known = head.count_known(labels, batch)
                    right = 0.0 if key in answers.values else head.count_right(values, labels)  # type: ignore[operator]
                    loss = float(head.compute_loss(values, labels, batch))
                    tallies.append((number, key, loss * known, known, right))
    if team.size > 1:
        tallies = _collect(answers, tallies, np.flatnonzero(given), team)
    _sum_up(answers, tallies, model.chain.active_keys)
    return answers


Tally = tuple[int, Key, float, float, float]
"""Of one batch and head: the batch's number, the head, its summed loss, over how much, how much was right."""


def _sum_up(answers: Answers, tallies: Sequence[Tally], keys: Sequence[Key]) -> None:
    """The mean losses, batch after batch, whoever computed them."""
    sums: dict[Key, list[float]] = {key: [0.0, 0.0, 0.0] for key in keys}
    for _, key, *values in sorted(tallies, key=lambda tally: tally[0]):
        for index, value in enumerate(values):
            sums[key][index] += value
    answers.losses = {key: total / count for key, (total, count, _) in sums.items() if count}
    answers.guessed = {key: sums[key][2] / sums[key][1] for key in answers.losses if key not in answers.values}


def _collect(answers: Answers, tallies: list[Tally], own: np.ndarray, team: Team) -> list[Tally]:
    """Put the other processes' answers in their places, on the main one; all tallies there."""
    arrays = {**{("confidence", *key): part for key, part in answers.confidence.items()},
              **{("probabilities", *key): part for key, part in answers.probabilities.items()}}  # fmt: skip
    packs = team.collect(
        (
            own,
            {key: [values[place] for place in own] for key, values in answers.values.items()},
            {key: part[own] for key, part in arrays.items()},
            tallies,
        )
    )
    for places, named, parts, _ in packs[1:]:
        for key, values in named.items():
            for place, value in zip(places, values, strict=True):
                answers.values[key][place] = value
        for name, part in parts.items():
            arrays[name][places] = part
    return [tally for pack in packs for tally in pack[-1]]


def compute_logits(
    model, feed, rows, device, dtype, labelled, check, team
) -> Iterator[tuple[int, np.ndarray, Batch, dict[Key, Tensor]]]:
    """This process's share of the rows in batches: their numbers, rows and logits; a batch for which the memory does
    not suffice is halved."""

    def compute(part: np.ndarray) -> tuple[Batch, dict[Key, Tensor]]:
        batch = feed.build_batch(part, labelled=labelled).to(device)
        with autocast(device, dtype):
            return batch, model(batch)

    parts, halving = list(feed.split_evaluation(rows)), Halving(allowed=not model.sharded)
    for first in range(0, len(parts), team.size):
        check()
        number = first + team.rank
        if number < len(parts):
            for part, (batch, logits) in halving.run(parts[number], compute):
                yield number, part, batch, logits
        elif model.sharded:
            compute(parts[-1][:1])  # passes are made by all alike


def keep_decoded(
    answers: Answers, key: Key, places: np.ndarray, decoded: Decoded, task: Task, feed: Feed, part: np.ndarray
) -> None:
    """Put what a head said of the rows `part` in their places among the answers."""
    if task.kind == "span":
        assert feed.texts is not None
        named = cut_answers(decoded.values, feed.texts.searched.take(part).to_pylist())
    else:
        offsets = feed.encoded.word_offsets
        named = name_values(task, decoded.values, offsets[part + 1] - offsets[part])
    for index, value in zip(places, named, strict=True):
        answers.values[key][index] = value
    answers.confidence[key][places] = decoded.confidence
    if key in answers.probabilities and decoded.probabilities is not None:
        answers.probabilities[key][places] = decoded.probabilities


def name_values(task: Task, values: np.ndarray, words: np.ndarray) -> list[Any]:
    """Label numbers -> labels, -1 -> None; a tagged row gets one tag for each of its words."""
    names = np.array([*task.label_space, None], dtype=object)
    if task.kind in ("classification", "relation"):
        return names[values].tolist()
    if task.kind == "multilabel":
        return [names[:-1][row].tolist() for row in values]
    if task.kind == "tagging":
        return [names[row[:count]].tolist() for row, count in zip(values, words, strict=True)]
    return values.astype(float).tolist()


def cut_answers(values: np.ndarray, texts: Sequence[str]) -> list[str]:
    """First characters and those after the last, (M, 2) -> the answers; "" for none."""
    return [text[begin:end] for text, (begin, end) in zip(texts, values.tolist(), strict=True)]


def compute_scores(answers: Answers, tasks: Sequence[Task], gold: Mapping[str, Any]) -> dict[Key, dict[str, float]]:
    """(head, depth) -> {"loss", metrics…}; heads without a labelled row among these have only what there is."""
    kinds = {task.name: task.kind for task in tasks}
    scores = {}
    for key, predicted in answers.values.items():
        metrics = compute_metrics(kinds[key[0]], answers.list_gold(key[0], gold), predicted)
        losses = {"loss": answers.losses[key]} if key in answers.losses else {}
        scores[key] = {**losses, **metrics}
    for key, share in answers.guessed.items():
        loss = answers.losses[key]
        perplexity = {} if kinds[key[0]] == "next_sentence" else {"perplexity": math.exp(min(loss, MAX_EXPONENT))}
        scores[key] = {"loss": loss, **perplexity, "accuracy": share}
    return scores


def compute_joint_score(answers: Answers, tasks: Sequence[Task], gold: Mapping[str, Any]) -> float | None:
    """The share of fully labelled rows on which every head but regression is right at its deepest depth.

    Fully labelled: with gold for all heads of one data set.
    """
    deepest = find_deepest(answers.values)
    asked = [task for task in tasks if task.kind != "regression" and task.name in deepest]
    cells = {
        task.name: (
            task.kind,
            answers.list_gold(task.name, gold),
            answers.values[task.name, deepest[task.name]],
        )
        for task in asked
    }
    return compute_joint_share(cells, {task.name: task.data for task in asked})


def find_deepest(keys: Iterable[Key]) -> dict[str, int]:
    """Head -> its deepest depth."""
    deepest: dict[str, int] = {}
    for head, depth in keys:
        deepest[head] = max(depth, deepest.get(head, 0))
    return deepest


def choose_score(
    scores: Mapping[Key, Mapping[str, float]], joint: float | None, metric: str, language: Collection[str] = ()
) -> float | None:
    """The number that selects the best weights, greater is better; None where no row was labelled.

    `mean`: the mean of each head's first metric at its deepest depth; `head/metric`: that one; `joint/exact_match`.
    `language`: heads that learn the texts themselves; they count only where no other head does, by their losses.
    """
    if metric == "joint/exact_match":
        return joint
    deepest = find_deepest(scores)
    if metric == "mean":
        firsts = [
            next((value for name, value in scores[key].items() if name != "loss"), None)
            for key in deepest.items()
            if key[0] not in language
        ]
        if not firsts:
            firsts = [-scores[key]["loss"] for key in deepest.items() if "loss" in scores[key]]
        known = [value for value in firsts if value is not None]
        return float(np.mean(known)) if known else None
    head, _, name = metric.partition("/")
    value = scores.get((head, deepest.get(head, 0)), {}).get(name)
    if value is None:
        return None
    return -value if name in LOWER_IS_BETTER else value
