"""One run from its config to its folder: rows, features, training, predictions, report, bundle.

DIR/config.yaml  events.jsonl  predictions/{validation,test}.parquet  model/  report.json
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chain_core.config import BATCH_SIZES, Config, dump_yaml
from chain_core.errors import ResourceError
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.modeling.backbones.sharding import collect_whole
from chain_core.modeling.backbones.tuning import is_added
from chain_core.modeling.bundle import save_bundle
from chain_core.modeling.chain import count_parameters
from chain_core.modeling.device import choose_device, choose_precision, release_devices
from chain_core.modeling.model import ChainModel, build_model
from chain_core.modeling.team import SOLO, Team, choose_place, open_device
from chain_core.reports.metrics import compute_report
from chain_core.reports.predictions import Predictions, save_predictions
from chain_core.services.machine import release_memory, spare_collector
from chain_core.services.rows.prepare import augment_material, read_material
from chain_core.services.rows.replay import find_bundle
from chain_core.services.runs.answers import build_answer_table
from chain_core.services.runs.checkpoints import compute_run_key
from chain_core.services.runs.crew import agree_on_key, describe_team, hand_out
from chain_core.services.runs.journal import Follower, Journal
from chain_core.services.runs.trackers import follow
from chain_core.services.store.records import REPORT
from chain_core.storage.disk import is_full
from chain_core.storage.entries import make_room
from chain_core.storage.locks import hold_folder
from chain_core.training.assemble import Emit, FeedBuilder, Material
from chain_core.training.control import Interruption, ReadControl, Stopped, ask_nothing, heed, heed_early
from chain_core.training.evaluate import compute_answers
from chain_core.training.feed import Feed
from chain_core.training.loop import train
from chain_core.training.outcome import Outcome, StageOutcome
from chain_core.training.start import Start, match_start
from chain_core.training.thresholds import tune_thresholds

PATIENCE = 20.0
"""Seconds to wait for a run's folder: whoever holds it should be leaving, its run having been given to another."""


def execute_run(
    config: Config,
    out: Path,
    *,
    folder: Path,
    emit: Emit,
    read_control: ReadControl = ask_nothing,
    resume: bool = False,
    notes: Sequence[Mapping[str, Any]] = (),
    layers: Sequence[int] = (),
    team: Team = SOLO,
) -> dict[str, Any]:
    """Run a config and return its report. `folder` is what relative paths are relative to.

    Events go to `emit` and to `events.jsonl`. `resume`: go on from the newest checkpoint in the folder, if there is one
    that fits; the first event, `resumed`, says after how many of the earlier events the new ones stand. The
    checkpoints stay: whoever calls removes them once it is recorded that the run has finished. `notes`: told first of
    all, of earlier attempts. `layers`: backbone layers that other runs on the same rows will read; they are cached in
    the same pass. `team`: the processes that call this together; the main one alone tells, is asked to leave off,
    writes the folder and gets the report.
    Raises ChainError for what the user can mend, Paused and Cancelled where `read_control` asks for it.
    """
    try:
        with ExitStack() as stack:
            held = hold_folder(out, PATIENCE, lambda: heed(read_control()))
            team.lead(lambda: stack.enter_context(held))
            return _perform(config, out, folder, emit, read_control, notes, layers, team, resume=resume)
    except Interruption as caught:
        interruption = type(caught)
    except OSError as error:
        if is_full(error):
            raise ResourceError("disk_full", folder=str(out)) from error
        raise
    except torch.OutOfMemoryError as error:
        raise ResourceError("device_memory", batch_size=config.train.batch_size or BATCH_SIZES[0]) from error
    finally:
        with suppress(OSError):
            if team.main:
                make_room()  # the run's own entries are free again, and count as the last used
    # A new one: the old one holds on to the model, and the device's memory is to be free for other runs.
    release_memory()
    release_devices()
    raise interruption


def _perform(
    config: Config,
    out: Path,
    folder: Path,
    emit: Emit,
    read_control: ReadControl,
    notes: Sequence[Mapping[str, Any]],
    layers: Sequence[int],
    team: Team,
    *,
    resume: bool,
) -> dict[str, Any]:
    """The run and its journal, in a folder that nobody else writes to."""

    def open_journal() -> Journal | Follower:
        return Journal(out, emit, notes, resume=resume) if team.main else Follower()

    with closing(team.together(open_journal)) as journal:
        try:
            return _execute(config, out, folder, journal, read_control, layers, team)
        except Stopped:
            journal.begin()
            journal.tell({"kind": "done", "reason": "stopped", "report": {}})
            return {}


def _execute(
    config: Config,
    out: Path,
    folder: Path,
    journal: Journal | Follower,
    read_control: ReadControl,
    layers: Sequence[int],
    team: Team,
) -> dict[str, Any]:
    tell = journal.tell
    tell({"kind": "phase", "phase": "reading"})
    # A run that goes on has something to report on: a stop waits until its training is there again.
    early = read_control if journal.checkpoint is None else partial(_read_but_stop, read_control)
    material = hand_out(team, lambda: read_material(config, folder, lambda: heed_early(early()), layers))
    config = material.config
    device = choose_device(choose_place(team, config.train.device))
    team = open_device(team, device)
    dtype = choose_precision(config.train.precision, device)
    model = build_model(config, material.tasks, material.facts)
    start = team.lead(lambda: _match_start(material, model, folder))
    # All that a config can be wrong in is known: only now is what the folder held before given up.
    team.together(journal.begin)
    team.lead(lambda: (out / "config.yaml").write_text(dump_yaml(config), encoding="utf-8"))
    if config.augment.copies:
        augmented = team.lead(lambda: augment_material(material, lambda: heed_early(early()), tell))
        material = replace(augmented, facts=material.facts)  # where this process has the backbone
    release_memory()
    for note in (*material.notes, *(start.notes if start is not None else ())):
        tell({"kind": "note", **note})
    before = time.perf_counter()
    done = team.lead(lambda: len(journal.checkpoint.state["outcomes"]) if journal.checkpoint is not None else 0)
    builder = FeedBuilder(material, model, device, dtype, tell, early, done, team)
    feed = builder.build()
    feeds = builder.build_stages(feed)
    release_memory()
    seconds = {"features": time.perf_counter() - before}

    key = agree_on_key(team, compute_run_key(config, feed, feeds, material.facts, start))
    journal.fit(key)
    checkpoint = team.lead(lambda: journal.checkpoint)
    tell({"kind": "phase", "phase": "training"})
    for note in describe_team(team, checkpoint):
        tell({"kind": "note", **note})
    step = checkpoint.step if checkpoint is not None else 0
    control = team.follow(read_control)
    with follow(config, out, tell, step) if team.main else nullcontext(tell) as told:
        with spare_collector():
            outcome = _drive(
                train(
                    model, feed, material.tasks, config, device, dtype, control, feeds=feeds, start=start,
                    keeper=journal.build_keeper(config.train), checkpoint=checkpoint, team=team,
                ),
                told,
            )  # fmt: skip
        seconds["training"] = outcome.seconds
        release_memory()

        splits = [name for name in ("validation", "test") if len(feed.splits[name]) and model.chain.answering_heads]
        if "test" in splits:
            before = time.perf_counter()
            feed = replace(builder, tell=told, read_control=partial(_read_but_stop, read_control)).complete(feed)
            seconds["features"] += time.perf_counter() - before
        told({"kind": "phase", "phase": "evaluating"})
        for note in tune_thresholds(model, feed, material.tasks, device, dtype, lambda: heed(control()), team):
            told({"kind": "note", **note})
        predict = partial(_predict, material, feed, model, device, dtype, control, team)
        predictions = {split: predict(split) for split in splits}
        told({"kind": "phase", "phase": "saving"})
        weights = collect_whole(model.get_saved(), team)
        report = team.lead(lambda: _save(out, material, model, weights, predictions, outcome, seconds, journal))
        told({"kind": "done", "reason": outcome.reason, "report": report})
    return report


def _save(
    out: Path,
    material: Material,
    model: ChainModel,
    weights: Mapping[str, Tensor],
    predictions: Mapping[str, Any],
    outcome: Outcome,
    seconds: Mapping[str, float],
    journal: Journal | Follower,
) -> dict[str, Any]:
    """Write what a run leaves in its folder; the report."""
    config = material.config
    for split, part in predictions.items():
        save_predictions(part, out / "predictions" / f"{split}.parquet")
    save_bundle(out / "model", model, config, material.tasks, material.facts, weights)
    report = {
        **compute_report(predictions),
        "best_epoch": outcome.best_epoch,
        **({"stages": [_describe_stage(stage) for stage in outcome.stages]} if config.stages else {}),
        "seconds": {**seconds, "total": journal.seconds},
        "parameters": _describe_parameters(model, material.facts),
    }
    (out / REPORT).write_text(json.dumps(report, indent=1), encoding="utf-8")
    return report


def _read_but_stop(read_control: ReadControl) -> str:
    word = read_control()
    return "" if word == "stop" else word


def _match_start(material: Material, model: ChainModel, folder: Path) -> Start | None:
    """The weights of the run that this one starts from."""
    if material.config.start is None:
        return None
    return match_start(find_bundle(material.config.start.run, folder), model, material.config, material.facts)


def _drive(events, tell: Emit) -> Outcome:
    """Pass a generator's events on; its return value."""
    while True:
        try:
            tell(next(events))
        except StopIteration as end:
            return end.value


def _predict(
    material: Material, feed: Feed, model: ChainModel, device, dtype, control: ReadControl, team: Team, split: str
) -> Predictions | None:
    """A split's answers as a table, on the main process."""
    answers = compute_answers(
        model, feed, feed.splits[split], device, dtype, labelled=False, check=lambda: heed(control()), team=team
    )
    build = partial(build_answer_table, answers, material.texts, feed.gold, material.tasks, split, material.config.name)
    return build() if team.main else None


def _describe_stage(stage: StageOutcome) -> dict[str, Any]:
    keys = ("name", "objective", "epochs", "best_epoch", "seconds", "validation")
    return {key: getattr(stage, key) for key in keys}


def _describe_parameters(model: ChainModel, facts: BackboneFacts) -> dict[str, Any]:
    chain = count_parameters(model.chain)
    added = 0
    if model.upper is not None:
        added = sum(p.numel() for name, p in model.upper.named_parameters() if is_added(name))
    return {
        "trainable": count_parameters(model, trainable=True),
        "total": facts.parameters + chain + added,
        "per_link": [count_parameters(cell) for cell in model.chain.cells],
    }
