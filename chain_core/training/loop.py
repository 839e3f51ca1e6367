"""The loop: a generator of events. It never prints, draws or writes; whoever runs it decides what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from chain_core.config import Config
from chain_core.data.schema import Task
from chain_core.errors import ConfigError, DataError
from chain_core.modeling.heads import fit_head
from chain_core.modeling.model import ChainModel
from chain_core.training.evaluate import Key, choose_score, compute_answers, compute_joint_score, compute_scores
from chain_core.training.feed import Feed, choose_labelled, sample_batches
from chain_core.training.optimiser import build_optimiser, build_schedule
from chain_core.training.step import take_step

STEP_EVENTS = 1000
"""About how many step events a run makes, however long it is."""


@dataclass(frozen=True)
class Outcome:
    """How training ended; the model holds the best weights."""

    reason: str
    """finished, stopped or early."""
    best_epoch: int
    seconds: float


def train(
    model: ChainModel,
    feed: Feed,
    tasks: Sequence[Task],
    config: Config,
    device: torch.device,
    dtype: torch.dtype,
    should_stop: Callable[[], bool],
) -> Generator[dict[str, Any], None, Outcome]:
    """Train the model; yields step and epoch events, returns an Outcome."""
    started = time.perf_counter()
    settings = config.train
    rows = choose_labelled(feed.labels, feed.splits["train"])
    if not len(rows):
        raise DataError("nothing_labelled")
    _fit_heads(model, feed, config, rows)
    model.to(device)
    lengths = np.ones(feed.encoded.rows, np.int64) if feed.pooled else feed.encoded.lengths
    steps = settings.epochs * -(-len(rows) // settings.batch_size)
    optimiser = build_optimiser(model, settings)
    schedule = build_schedule(optimiser, settings, steps)
    random = np.random.default_rng(settings.seed)
    torch.manual_seed(settings.seed)
    best = _Best(model)
    step, reason = 0, "finished"
    for epoch in range(1, settings.epochs + 1):
        model.train()
        for batch_rows in sample_batches(lengths, rows, settings.batch_size, random):
            if should_stop():
                reason = "stopped"
                break
            before = time.perf_counter()
            losses = take_step(model, feed.build_batch(batch_rows), config, optimiser, device, dtype)
            step += 1
            rate = schedule.get_last_lr()[-1]
            schedule.step()
            if step == 1 or step % max(1, steps // STEP_EVENTS) == 0:
                yield _describe_step(step, steps, settings.epochs, losses, rate, len(batch_rows), before)
        if reason != "stopped" or best.epoch == 0:
            yield _finish_epoch(model, feed, tasks, config, device, dtype, epoch, step, best)
        if reason == "stopped":
            break
        if settings.patience is not None and epoch - best.epoch >= settings.patience:
            reason = "early"
            break
    best.restore(model)
    return Outcome(reason, best.epoch, time.perf_counter() - started)


class _Best:
    """The best weights so far, kept in memory."""

    def __init__(self, model: ChainModel) -> None:
        self.score: float | None = None
        self.epoch = 0
        self._weights: dict[str, torch.Tensor] = {}

    def offer(self, model: ChainModel, score: float | None, epoch: int) -> bool:
        """Keep these weights if they score higher; without a score, the latest are the best."""
        if self.epoch and score is not None and self.score is not None and score <= self.score:
            return False
        self.score, self.epoch = score, epoch
        self._weights = {name: value.detach().clone() for name, value in model.get_saved().items()}
        return True

    def restore(self, model: ChainModel) -> None:
        model.load_state_dict(self._weights, strict=False)


def _fit_heads(model: ChainModel, feed: Feed, config: Config, rows: np.ndarray) -> None:
    assert config.heads is not None
    for name, position in model.chain.keys:
        labels = feed.labels[name]
        if isinstance(labels, tuple):
            flat, offsets = labels
            known = np.concatenate([flat[offsets[row] : offsets[row + 1]] for row in rows])
        else:
            known = labels[rows]
        fit_head(model.chain.get_head(name, position), config.heads[name], known)


def _describe_step(step, steps, epochs, losses, rate, rows, before) -> dict[str, Any]:
    return {
        "kind": "step",
        "step": step,
        "steps": steps,
        "epoch": step * epochs / steps,
        "loss": float(losses[("", 0)]),
        "losses": {f"{head}@{depth}": float(loss) for (head, depth), loss in losses.items() if head},
        "learning_rate": rate,
        "rows_per_second": rows / (time.perf_counter() - before),
    }


def _finish_epoch(model, feed, tasks, config, device, dtype, epoch, step, best) -> dict[str, Any]:
    scores: dict[Key, dict[str, float]] = {}
    joint = None
    if len(feed.splits["validation"]):
        answers = compute_answers(model, feed, feed.splits["validation"], device, dtype)
        scores = compute_scores(answers, tasks, feed.gold)
        joint = compute_joint_score(answers, tasks, feed.gold)
    score = choose_score(scores, joint, config.train.metric)
    if score is None and scores and config.train.metric != "mean" and epoch == 1:
        known = sorted({f"{head}/{name}" for (head, _), values in scores.items() for name in values})
        raise ConfigError("metric_unknown_name", path="train.metric", given=config.train.metric, known=", ".join(known))
    return {
        "kind": "epoch",
        "epoch": epoch,
        "epochs": config.train.epochs,
        "step": step,
        "validation": {f"{head}@{depth}": values for (head, depth), values in scores.items()},
        "joint": joint,
        "score": score,
        "best": best.offer(model, score, epoch),
    }
