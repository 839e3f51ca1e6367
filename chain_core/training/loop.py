"""The loop: a generator of events. It never prints, draws or writes; whoever runs it decides what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch

from chain_core.config import SELF_SUPERVISED, Config
from chain_core.data.cells import build_note
from chain_core.data.schema import Task
from chain_core.errors import ConfigError
from chain_core.modeling.backbones.ranks import count_ranks
from chain_core.modeling.backbones.sharding import is_worth_sharding, shard
from chain_core.modeling.batch import list_places
from chain_core.modeling.model import ChainModel
from chain_core.modeling.team import SOLO, Team
from chain_core.training.anchors import Anchor, build_pretrained_anchor
from chain_core.training.checkpoint import Checkpoint, Keeper
from chain_core.training.control import Paused, ReadControl, heed
from chain_core.training.course import Course
from chain_core.training.evaluate import Key, choose_score, compute_answers, compute_joint_score, compute_scores
from chain_core.training.feed import Feed
from chain_core.training.lesson import Lesson
from chain_core.training.outcome import Outcome, StageOutcome
from chain_core.training.stages import Parts, Stage, plan_stages
from chain_core.training.start import Start

Events = Generator[dict[str, Any], None, StageOutcome]


def train(
    model: ChainModel,
    feed: Feed,
    tasks: Sequence[Task],
    config: Config,
    device: torch.device,
    dtype: torch.dtype,
    read_control: ReadControl,
    *,
    feeds: Mapping[int, Feed] | None = None,
    start: Start | None = None,
    keeper: Keeper | None = None,
    checkpoint: Checkpoint | None = None,
    team: Team = SOLO,
) -> Generator[dict[str, Any], None, Outcome]:
    """Train the model, stage after stage; yields stage, step, epoch and checkpoint events, returns an Outcome.

    `feeds`: number of a stage (from 1) -> the rows of its own; `start`: the old weights that it begins with; `keeper`:
    takes checkpoints; `checkpoint`: where to go on; `team`: the processes that do all this together, whose controls say
    the same. Raises Paused, after a checkpoint, and Cancelled.
    """
    stages = plan_stages(config, feed, feeds or {})
    parts = Parts(model)
    parts.check(stages)
    _fit_heads(model, feed, config, stages)
    if start is not None:
        start.apply(model)
    if is_worth_sharding(config, model, device, team):
        shard(model, device, team)
    model.to(device)
    torch.manual_seed(config.train.seed + team.rank)  # dropout differs from process to process
    course = Course(
        model, tasks, device, dtype, read_control, np.random.default_rng(config.train.seed), parts, list(stages),
        team=team,
        keeper=keeper,
        accumulate=config.train.accumulate,
        anchors=_build_anchors(model, config, start, device),
    )  # fmt: skip
    if checkpoint is not None:
        course.restore(checkpoint)
    while course.to_come and not course.stopped:
        stage = course.to_come[0]
        under_way = checkpoint if checkpoint is not None and checkpoint.state["lesson"] is not None else None
        checkpoint = None
        parts.enter(stage)
        if config.stages is not None and under_way is None:
            yield stage.describe(course.step, course.epoch)
        course.outcomes.append((yield from _train_stage(stage, course, under_way)))
        course.to_come.pop(0)
        if keeper is not None and not course.stopped:
            yield course.keep()
    parts.leave()
    yield from _tell_ranks(model)
    return Outcome(tuple(course.outcomes), time.perf_counter() - course.started)


def _train_stage(stage: Stage, course: Course, under_way: Checkpoint | None) -> Events:
    """One stage, or what is left of it; the model ends with its best weights."""
    settings, lesson = stage.settings, Lesson(stage, course)
    if under_way is not None:
        lesson.restore(under_way)
    best, reason = lesson.best, "finished"
    try:
        while reason == "finished" and (lesson.epochs_done < settings.epochs or lesson.drawn_from is not None):
            stopped = yield from lesson.train_epoch()
            if stopped and course.keeper is not None:
                yield lesson.keep()  # whoever thinks better of it goes on from here
            if not stopped or not best.kept:
                yield _finish_epoch(lesson)
            lesson.end_epoch()
            if stopped:
                reason = "stopped"
            elif settings.patience is not None and course.epoch - best.risen >= settings.patience and not course.waits:
                reason = "early"
    except Paused:
        if course.keeper is not None:
            yield lesson.keep(needed=True)
        raise
    best.restore(course.model)
    assert stage.config.name is not None
    return StageOutcome(
        stage.config.name, stage.config.objective, reason, epochs=lesson.epochs_done, best_epoch=best.epoch,
        seconds=time.perf_counter() - lesson.started, validation=best.validation,
    )  # fmt: skip


def _tell_ranks(model: ChainModel) -> Iterator[dict[str, Any]]:
    """A note where AdaLoRA was stopped before it had pruned what the model holds."""
    if model.upper is None or model.upper.ranks is None:
        return
    mean, final = fmean(count_ranks(model.upper)), model.upper.ranks.final_rank
    if mean > final:
        yield {"kind": "note", **build_note("ranks_above", mean=mean, final=final)}


def _build_anchors(model: ChainModel, config: Config, start: Start | None, device: torch.device) -> list[Anchor]:
    """What the weights are pulled to: `train.l2_sp` and `start.l2`."""
    anchors = [build_pretrained_anchor(model, config.train.l2_sp, device)] if config.train.l2_sp else []
    if start is not None and config.start is not None and config.start.l2:
        anchors.append(start.build_anchor(model, config.start.l2, device))
    return anchors


def _fit_heads(model: ChainModel, feed: Feed, config: Config, stages: Sequence[Stage]) -> None:
    """What heads learn from counting labels, of the rows of the first stage with tasks that they take part in."""
    assert config.heads is not None
    for name, position in model.chain.keys:
        if config.heads[name].kind in SELF_SUPERVISED:
            continue
        taking = (stage.rows for stage in stages if stage.supervised and name in stage.heads)
        rows, labels = next(taking, feed.splits["train"]), feed.labels[name]
        if isinstance(labels, tuple):
            flat, offsets = labels
            known = flat[list_places(offsets, rows)]
        else:
            known = labels[rows]
        model.chain.get_head(name, position).fit(config.heads[name], known)


def _finish_epoch(lesson: Lesson) -> dict[str, Any]:
    """Judge the weights, or their average, on the validation rows, and keep them if they are the best so far.

    Raises Paused, Cancelled.
    """
    with lesson.average.applied():
        return _judge(lesson)


def _judge(lesson: Lesson) -> dict[str, Any]:
    stage, course, best = lesson.stage, lesson.course, lesson.best
    feed, metric = stage.feed, stage.metric
    scores: dict[Key, dict[str, float]] = {}
    joint = None
    if len(feed.splits["validation"]):
        answers = compute_answers(
            course.model, feed, feed.splits["validation"], course.device, course.dtype,
            check=lambda: heed(course.read_control()), team=course.team,
        )  # fmt: skip
        scores, joint = course.team.lead(
            lambda: (
                compute_scores(answers, course.tasks, feed.gold),
                compute_joint_score(answers, course.tasks, feed.gold),
            )
        )
    score = choose_score(scores, joint, metric, course.language)
    if score is None and scores and metric != "mean" and best.epoch == 0:
        known = sorted({f"{head}/{name}" for (head, _), values in scores.items() for name in values})
        raise ConfigError("metric_unknown_name", path="train.metric", given=metric, known=", ".join(known))
    validation = {f"{head}@{depth}": values for (head, depth), values in scores.items()}
    return {
        "kind": "epoch",
        "stage": stage.number,
        "epoch": course.epoch,
        "epochs": lesson.epochs,
        "step": course.step,
        "objective": stage.config.objective,
        "validation": validation,
        "joint": joint,
        "score": score,
        "best": best.offer(score, course.epoch, validation),
        "batches": lesson.drawn,
        "batches_planned": lesson.planned,
    }
