"""The loop: a generator of events. It never prints, draws or writes; whoever runs it decides what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from chain_core.config import SELF_SUPERVISED, Config
from chain_core.data.schema import Task
from chain_core.errors import ConfigError
from chain_core.modeling.model import ChainModel
from chain_core.training.anchors import Anchor, build_pretrained_anchor
from chain_core.training.evaluate import Key, choose_score, compute_answers, compute_joint_score, compute_scores
from chain_core.training.feed import Feed
from chain_core.training.optimiser import build_optimiser, build_schedule
from chain_core.training.outcome import Best, Outcome, StageOutcome
from chain_core.training.sampling import group_rows, sample_epoch
from chain_core.training.stages import Parts, Stage, plan_stages
from chain_core.training.start import Start
from chain_core.training.step import read_loss_weights, take_step

STEP_EVENTS = 1000
"""About how many step events a run makes, however long it is."""

Events = Generator[dict[str, Any], None, StageOutcome]


@dataclass
class _Course:
    """What the stages of one run share."""

    model: ChainModel
    tasks: Sequence[Task]
    device: torch.device
    dtype: torch.dtype
    should_stop: Callable[[], bool]
    random: np.random.Generator
    parts: Parts
    to_come: list[Stage]
    """This stage and those after it."""
    anchors: Sequence[Anchor] = ()
    tuned_steps: int = 0
    """Of all stages that train the backbone."""
    step: int = 0
    epoch: int = 0
    """Done so far."""
    tuned: int = 0
    """Steps done that trained the backbone."""

    @property
    def language(self) -> set[str]:
        """The heads that learn the texts themselves."""
        return {task.name for task in self.tasks if task.kind in SELF_SUPERVISED}

    @property
    def steps(self) -> int:
        """Of the whole run, as far as can be told."""
        return self.step + sum(stage.steps for stage in self.to_come)

    @property
    def epochs(self) -> int:
        return self.epoch + sum(stage.settings.epochs for stage in self.to_come)


def train(
    model: ChainModel,
    feed: Feed,
    tasks: Sequence[Task],
    config: Config,
    device: torch.device,
    dtype: torch.dtype,
    should_stop: Callable[[], bool],
    *,
    feeds: Mapping[int, Feed] | None = None,
    start: Start | None = None,
) -> Generator[dict[str, Any], None, Outcome]:
    """Train the model, stage after stage; yields stage, step and epoch events, returns an Outcome.

    `feeds`: number of a stage (from 1) -> the rows of its own; `start`: the old weights that it begins with.
    """
    started = time.perf_counter()
    stages = plan_stages(config, feed, feeds or {})
    parts = Parts(model)
    parts.check(stages)
    _fit_heads(model, feed, config, stages)
    if start is not None:
        start.apply(model)
    model.to(device)
    random = np.random.default_rng(config.train.seed)
    torch.manual_seed(config.train.seed)
    course = _Course(
        model, tasks, device, dtype, should_stop, random, parts, list(stages),
        anchors=_build_anchors(model, config, start, device),
        tuned_steps=sum(stage.steps for stage in stages if "backbone" in stage.config.trains),
    )  # fmt: skip
    outcomes: list[StageOutcome] = []
    while course.to_come and not (outcomes and outcomes[-1].reason == "stopped"):
        stage = course.to_come[0]
        parts.enter(stage)
        if config.stages is not None:
            yield stage.describe(course.step, course.epoch)
        outcomes.append((yield from _train_stage(stage, course)))
    parts.leave()
    return Outcome(tuple(outcomes), time.perf_counter() - started)


def _train_stage(stage: Stage, course: _Course) -> Events:
    """One stage; the model ends with its best weights."""
    model, settings, started = course.model, stage.settings, time.perf_counter()
    lesson = _Lesson(stage, course)
    lengths = stage.feed.lengths
    groups = group_rows(stage.labels, stage.rows, settings)
    best, first, epochs = Best(model, keep=course.epoch > 0), course.epoch, course.epochs
    reason = "finished"
    while course.epoch < first + settings.epochs and reason == "finished":
        course.epoch += 1
        course.parts.set_mode(stage)
        stopped = yield from lesson.train_epoch(sample_epoch(lengths, groups, settings, course.random))
        if not stopped or not best.kept:
            progress = {"stage": stage.number, "epoch": course.epoch, "epochs": epochs, "step": course.step}
            yield _finish_epoch(stage, course, best, progress)
        if stopped:
            reason = "stopped"
        elif settings.patience is not None and course.epoch - best.epoch >= settings.patience:
            reason = "early"
    best.restore(model)
    course.to_come.pop(0)
    assert stage.config.name is not None
    return StageOutcome(
        stage.config.name, stage.config.objective, reason, epochs=course.epoch - first, best_epoch=best.epoch,
        seconds=time.perf_counter() - started, validation=best.validation,
    )  # fmt: skip


class _Lesson:
    """A stage's optimiser and learning rates, and how far it has come."""

    def __init__(self, stage: Stage, course: _Course) -> None:
        self.stage, self.course = stage, course
        self.optimiser = build_optimiser(course.model, stage.settings)
        self.schedule = build_schedule(self.optimiser, stage.settings, stage.steps)
        self.steps = course.steps
        self.first_step, self.first_epoch = course.step, course.epoch
        self.tunes = "backbone" in stage.config.trains

    def train_epoch(self, batches: Iterable[np.ndarray]) -> Generator[dict[str, Any], None, bool]:
        """Take a step for each batch and tell of some; whether it was stopped."""
        stage, course = self.stage, self.course
        for rows in batches:
            if course.should_stop():
                return True
            before = time.perf_counter()
            course.step += 1
            course.tuned += self.tunes
            losses = take_step(
                course.model, stage.feed.build_batch(rows), stage.run, self.optimiser, course.device, course.dtype,
                anchors=course.anchors, progress=(course.tuned, course.tuned_steps) if self.tunes else None,
            )  # fmt: skip
            rate = self.schedule.get_last_lr()[-1]
            self.schedule.step()
            if course.step == 1 or course.step % max(1, self.steps // STEP_EVENTS) == 0:
                done = (course.step - self.first_step) * stage.settings.epochs / stage.steps
                progress = {
                    "stage": stage.number, "step": course.step, "steps": self.steps, "epoch": self.first_epoch + done,
                }  # fmt: skip
                yield _describe_step(course.model, progress, losses, rate, len(rows), before)
        return False


def _build_anchors(model: ChainModel, config: Config, start: Start | None, device: torch.device) -> list[Anchor]:
    """What the weights are pulled to: `train.l2_sp` and `start.l2`."""
    anchors = [build_pretrained_anchor(model, config.train.l2_sp, device)] if config.train.l2_sp else []
    if start is not None and config.start is not None and config.start.l2:
        anchors.append(start.build_anchor(model, config.start.l2, device))
    return anchors


def _fit_heads(model: ChainModel, feed: Feed, config: Config, stages: Sequence[Stage]) -> None:
    """What heads learn from counting labels, of the rows that the first stage with tasks trains on."""
    assert config.heads is not None
    rows = next((stage.rows for stage in stages if stage.supervised), feed.splits["train"])
    for name, position in model.chain.keys:
        if config.heads[name].kind in SELF_SUPERVISED:
            continue
        labels = feed.labels[name]
        if isinstance(labels, tuple):
            flat, offsets = labels
            known = np.concatenate([flat[offsets[row] : offsets[row + 1]] for row in rows])
        else:
            known = labels[rows]
        model.chain.get_head(name, position).fit(config.heads[name], known)


def _describe_step(
    model: ChainModel, progress: Mapping[str, Any], losses, rate: float, rows: int, before: float
) -> dict[str, Any]:
    return {
        "kind": "step",
        **progress,
        "loss": float(losses[("", 0)]),
        "losses": {f"{head}@{depth}": float(loss) for (head, depth), loss in losses.items() if head},
        **({"weights": read_loss_weights(model)} if model.log_variances is not None else {}),
        "learning_rate": rate,
        "rows_per_second": rows / (time.perf_counter() - before),
    }


def _finish_epoch(stage: Stage, course: _Course, best: Best, progress: Mapping[str, Any]) -> dict[str, Any]:
    """Judge the weights on the validation rows, and keep them if they are the best so far."""
    feed, metric = stage.feed, stage.settings.metric if stage.supervised else "mean"
    scores: dict[Key, dict[str, float]] = {}
    joint = None
    if len(feed.splits["validation"]):
        answers = compute_answers(course.model, feed, feed.splits["validation"], course.device, course.dtype)
        scores = compute_scores(answers, course.tasks, feed.gold)
        joint = compute_joint_score(answers, course.tasks, feed.gold)
    score = choose_score(scores, joint, metric, course.language)
    if score is None and scores and metric != "mean" and best.epoch == 0:
        known = sorted({f"{head}/{name}" for (head, _), values in scores.items() for name in values})
        raise ConfigError("metric_unknown_name", path="train.metric", given=metric, known=", ".join(known))
    validation = {f"{head}@{depth}": values for (head, depth), values in scores.items()}
    return {
        "kind": "epoch",
        **progress,
        "objective": stage.config.objective,
        "validation": validation,
        "joint": joint,
        "score": score,
        "best": best.offer(score, progress["epoch"], validation),
    }
